"""The list call: filters, window and cursors, newest first (docs.stripe.com/api/crypto/onramp_sessions/list)."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from operator import eq, ge, gt, le, lt
from typing import Any, Final

from notifier.sandbox.errors import StripeRefusal, refuse, unknown_parameter
from notifier.sandbox.rules import DECIMALS, WALLET_KEYS
from notifier.sandbox.sessions import SandboxSession

STATUSES: Final = (
    "initialized",
    "rejected",
    "requires_payment",
    "fulfillment_processing",
    "fulfillment_complete",
)
PARAMETERS: Final = frozenset(
    {
        "created",
        "status",
        "destination_currency",
        "destination_network",
        "limit",
        "starting_after",
        "ending_before",
        "expand",
    }
)
MOST: Final = 100
_BOUNDS: Final[Mapping[str, Callable[[int, int], bool]]] = {"gt": gt, "gte": ge, "lt": lt, "lte": le}
_WHOLE = re.compile(r"[0-9]{1,12}", re.ASCII)


def list_sessions(
    newest_first: Sequence[SandboxSession], params: Mapping[str, Any]
) -> tuple[list[SandboxSession], bool]:
    """One page and whether there are more. Raises `StripeRefusal`, whether or not there is anything to list."""
    for name in params:
        if name not in PARAMETERS:
            raise unknown_parameter(name)
    currency = _read_enum(params, "destination_currency", DECIMALS)
    network = _read_enum(params, "destination_network", WALLET_KEYS)
    status = _read_enum(params, "status", STATUSES)
    window = _read_window(params.get("created"))
    limit = _read_whole(params.get("limit", "10"), "limit")
    if not 1 <= limit <= MOST:
        raise refuse("parameter_invalid_integer", f"limit must be between 1 and {MOST}", "limit")
    after, before = (_read_cursor(newest_first, params, name) for name in ("starting_after", "ending_before"))
    if after is not None and before is not None:
        raise refuse("parameter_invalid", "Use starting_after or ending_before, not both.", "ending_before")

    def matches(session: SandboxSession) -> bool:
        details = session.render("")["transaction_details"]
        return (
            currency in (None, details["destination_currency"])
            and network in (None, details["destination_network"])
            and status in (None, session.status)
            and all(compare(session.created, bound) for compare, bound in window)
        )

    if before is not None:
        found = [s for s in newest_first[:before] if matches(s)]
        return found[-limit:], len(found) > limit
    found = [s for s in newest_first[0 if after is None else after + 1 :] if matches(s)]
    return found[:limit], len(found) > limit


def _read_enum(params: Mapping[str, Any], name: str, known: Collection[str]) -> str | None:
    if name not in params:
        return None
    value = params[name]
    if not isinstance(value, str) or value not in known:
        raise refuse("parameter_invalid", f"Invalid {name}: must be one of {', '.join(known)}", name)
    return value


def _read_window(value: Any) -> list[tuple[Callable[[int, int], bool], int]]:
    if value is None:
        return []
    if not isinstance(value, dict):
        return [(eq, _read_whole(value, "created"))]
    for name in value:
        if name not in _BOUNDS:
            raise unknown_parameter(f"created[{name}]")
    return [(_BOUNDS[name], _read_whole(text, f"created[{name}]")) for name, text in value.items()]


def _read_whole(text: Any, name: str) -> int:
    if not isinstance(text, str) or not _WHOLE.fullmatch(text):
        raise refuse("parameter_invalid_integer", f"Invalid integer: {name}", name)
    return int(text)


def _read_cursor(sessions: Sequence[SandboxSession], params: Mapping[str, Any], name: str) -> int | None:
    """The place of the session that a cursor names, in the account's whole list."""
    if name not in params:
        return None
    place = next((i for i, s in enumerate(sessions) if s.id == params[name]), None)
    if place is None:
        raise StripeRefusal(400, "resource_missing", f"No such onramp session: '{params[name]}'", name)
    return place
