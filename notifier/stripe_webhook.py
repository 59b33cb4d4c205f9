"""Stripe's webhooks: is it from Stripe, and which session is it about. Our own verifier, because the SDK's takes stamps
from the future and raises half a dozen kinds of error on bad input. Pure.

Signature: header `t=<unix>,v1=<hex>[,v1=…]`, HMAC-SHA256 of `t.body` (docs.stripe.com/webhooks).
"""

import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from chains.bounded_json import loads
from notifier.errors import BadSignature
from notifier.model import StripeEvent
from notifier.stripe_session import OBJECT, SESSION_ID

TOLERANCE_SECONDS: Final = 300
MOST_SIGNATURES: Final = 16
MOST_HEADER_CHARACTERS: Final = 8192
EVENT_PREFIX: Final = "crypto.onramp_session"
"""Sources disagree on the rest of the name (`.updated`, `_updated`, `.fulfillment_completed`): any is taken."""
_STAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_EVENT_ID = re.compile(r"[A-Za-z0-9_]{1,255}", re.ASCII)
_EVENT_TYPE = re.compile(r"[A-Za-z0-9_.]{1,255}", re.ASCII)


def read_event(body: bytes, header: str | None, secrets: Sequence[str], *, now: datetime) -> StripeEvent:
    """The event, if one of the secrets signed it within 300 s of `now`. Raises `BadSignature`, nothing else.

    `secrets` are used as they are, `whsec_` included; an empty one signs nothing.
    """
    verify_signature(body, header, secrets, now=now)
    return parse_event(body)


def verify_signature(body: bytes, header: str | None, secrets: Sequence[str], *, now: datetime) -> None:
    """Raises `BadSignature` with its reason unless the body is signed, freshly, with one of the secrets."""
    if not header:
        raise BadSignature("missing", "Stripe-Signature is required")
    stamp, offered = _read_header(header)
    age = int(now.timestamp()) - int(stamp)
    if age > TOLERANCE_SECONDS:
        raise BadSignature("timestamp_too_old", "Stripe-Signature is more than 5 minutes old")
    if age < -TOLERANCE_SECONDS:
        raise BadSignature("timestamp_in_future", "Stripe-Signature is more than 5 minutes ahead")
    signed = stamp.encode() + b"." + body
    expected = [hmac.new(_encode(secret), signed, sha256).hexdigest() for secret in secrets if secret]
    if not any(hmac.compare_digest(o, e) for o in offered for e in expected):
        raise BadSignature("no_match", "no signature fits: wrong secret, or the body was changed on its way")


def parse_event(body: bytes) -> StripeEvent:
    """What is needed of an event already verified. Raises `BadSignature` (`bad_body`) when it is no event."""
    try:
        event = loads(body.decode())
    except (ValueError, RecursionError):
        raise BadSignature("bad_body", "the body is not JSON") from None
    if not isinstance(event, Mapping):
        raise BadSignature("bad_body", "the body is not an event")
    event_id, kind, livemode = event.get("id"), event.get("type"), event.get("livemode")
    if not (isinstance(event_id, str) and _EVENT_ID.fullmatch(event_id)):
        raise BadSignature("bad_body", "the event has no id")
    if not (isinstance(kind, str) and _EVENT_TYPE.fullmatch(kind)) or not isinstance(livemode, bool):
        raise BadSignature("bad_body", "the event has no type or no mode")
    return StripeEvent(event_id, kind, livemode, _find_session(kind, event.get("data")))


def _find_session(kind: str, data: Any) -> str | None:
    if not kind.startswith(EVENT_PREFIX) or not isinstance(data, Mapping):
        return None
    thing = data.get("object")
    if not isinstance(thing, Mapping) or thing.get("object") != OBJECT:
        return None
    session = thing.get("id")
    return session if isinstance(session, str) and SESSION_ID.fullmatch(session) else None


def _read_header(header: str) -> tuple[str, list[str]]:
    """The stamp, and the first few signatures that have the right shape."""
    parts = [part.strip().partition("=") for part in header[:MOST_HEADER_CHARACTERS].split(",")]
    stamps = [value for name, _, value in parts if name == "t"]
    if len(stamps) != 1 or not _STAMP.fullmatch(stamps[0]):
        raise BadSignature("malformed", "Stripe-Signature must have one t=, whole seconds since 1970")
    offered = [value for name, _, value in parts if name == "v1"][:MOST_SIGNATURES]
    if not offered:
        raise BadSignature("malformed", "Stripe-Signature has no v1=")
    return stamps[0], [value for value in offered if _DIGEST.fullmatch(value)]


def _encode(secret: str) -> bytes:
    return secret.encode(errors="surrogatepass")
