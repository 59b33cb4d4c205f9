"""Stripe's `crypto.onramp_session` read strictly: what isn't understood is said, never guessed. Pure."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlsplit

import structlog

from notifier.errors import OnrampMisconfigured, OnrampUnknown
from notifier.model import OnrampSession, SessionStatus

log = structlog.get_logger()

OBJECT: Final = "crypto.onramp_session"
SESSION_ID: Final = re.compile(r"cos_[A-Za-z0-9_]{1,200}", re.ASCII)
_EVM_HASH = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)
_SOLANA_SIGNATURE = re.compile(r"[1-9A-HJ-NP-Za-km-z]{86,88}", re.ASCII)
_AMOUNT = re.compile(r"[0-9]{1,60}(?:\.[0-9]{1,30})?", re.ASCII)
_LINK = re.compile(r"https?://[!-~]{1,4000}", re.ASCII)
_WORD = re.compile(r"[a-z0-9_]{1,40}", re.ASCII)
_LATEST: Final = 2**35
"""Seconds since 1970 beyond which no session was created."""


def parse_session(data: Any, *, livemode: bool, insecure_links: bool = False) -> OnrampSession:
    """The session, without its client_secret.

    `insecure_links` lets a plain http link pass, which only a sandbox gives. Raises `OnrampMisconfigured` for a session
    of the other mode, `OnrampUnknown` for an answer that is not a session.
    """
    if not isinstance(data, Mapping) or data.get("object") != OBJECT:
        raise OnrampUnknown("Stripe's answer is not an onramp session")
    session_id, created, mode = data.get("id"), data.get("created"), data.get("livemode")
    if not isinstance(session_id, str) or not SESSION_ID.fullmatch(session_id):
        raise OnrampUnknown("Stripe's session has no id of the known shape")
    if not isinstance(created, int) or isinstance(created, bool) or not 0 < created < _LATEST:
        raise OnrampUnknown("Stripe's session has no time of creation")
    if mode is not livemode:
        message = "a live session came for a test key" if mode else "a test session came for a live key"
        raise OnrampMisconfigured(message, code="livemode_mismatch")
    details = data.get("transaction_details")
    details = details if isinstance(details, Mapping) else {}
    return OnrampSession(
        id=session_id,
        status=_read_status(data.get("status"), session_id),
        livemode=livemode,
        link=_read_link(data.get("redirect_url"), insecure=insecure_links),
        created_at=datetime.fromtimestamp(created, UTC),
        metadata=read_metadata(data),
        transaction=_read_transaction(details.get("transaction_id")),
        currency=_read_word(details.get("destination_currency")),
        network=_read_network(details.get("destination_network")),
        amount=_read_amount(details.get("destination_amount")),
        destinations=_read_destinations(details.get("wallet_addresses")),
        currencies=_read_currencies(details.get("destination_currencies")),
    )


def read_metadata(data: Mapping[str, Any]) -> dict[str, str]:
    """The pairs of text; a missing or odd map is empty."""
    metadata = data.get("metadata")
    if not isinstance(metadata, Mapping):
        return {}
    return {str(key): value for key, value in metadata.items() if isinstance(value, str)}


def _read_status(value: Any, session_id: str) -> SessionStatus:
    try:
        return SessionStatus(value)
    except ValueError:
        log.warning("onramp.status_unknown", session=session_id, status=str(value)[:40])
        return SessionStatus.UNKNOWN


def _read_link(value: Any, *, insecure: bool) -> str | None:
    if not isinstance(value, str) or not _LINK.fullmatch(value):
        return None
    try:
        parts = urlsplit(value)
    except ValueError:
        return None
    return value if parts.hostname and (insecure or parts.scheme == "https") else None


def _read_transaction(value: Any) -> str | None:
    """Also seen in this place: Stripe's own `cxt_…`, which no chain knows."""
    if isinstance(value, str) and (_EVM_HASH.fullmatch(value) or _SOLANA_SIGNATURE.fullmatch(value)):
        return value
    return None


def _read_network(value: Any) -> str | None:
    """`base_network` and `base` are one network; ours is the enum's word."""
    word = _read_word(value)
    return "base" if word == "base_network" else word


def _read_destinations(value: Any) -> frozenset[tuple[str, str]]:
    """Of all keys that Stripe has, those with an address; `destination_tags` is a map of its own."""
    pairs = value.items() if isinstance(value, Mapping) else ()
    return frozenset((str(key), address) for key, address in pairs if isinstance(address, str) and address)


def _read_currencies(value: Any) -> frozenset[str]:
    words = (_read_word(item) for item in value) if isinstance(value, list) else ()
    return frozenset(word for word in words if word is not None)


def _read_word(value: Any) -> str | None:
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None


def _read_amount(value: Any) -> Decimal | None:
    return Decimal(value) if isinstance(value, str) and _AMOUNT.fullmatch(value) else None
