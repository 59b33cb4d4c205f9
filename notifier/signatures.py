"""Standard Webhooks signatures, both ways. The verifier is our own: the library's raises anything on bad input."""

import base64
import binascii
import hmac
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Final

from notifier.errors import BadSignature

TOLERANCE_SECONDS: Final = 300
MOST_SIGNATURES: Final = 16
MOST_ID_CHARACTERS: Final = 256
PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32


def make_secret(token_bytes: Callable[[int], bytes]) -> str:
    """A new signing secret. `token_bytes` is `secrets.token_bytes` outside of tests."""
    return PREFIX + base64.b64encode(token_bytes(SECRET_BYTES)).decode()


def sign(event_id: str, timestamp: int, body: bytes, secrets: Sequence[str]) -> dict[str, str]:
    """The three headers; signed with every secret, so that one can be replaced while both are valid."""
    signatures = " ".join(f"v1,{_digest(event_id, str(timestamp), body, _key(secret))}" for secret in secrets)
    return {"webhook-id": event_id, "webhook-timestamp": str(timestamp), "webhook-signature": signatures}


def verify(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], *, now: datetime) -> str:
    """The webhook's id, if one of the secrets signed it within 300 s of `now`. Raises `BadSignature`, nothing else."""
    event_id, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    given = headers.get("webhook-signature", "")
    if not (event_id and stamp and given):
        raise BadSignature("missing", "webhook-id, webhook-timestamp and webhook-signature are required")
    if len(event_id) > MOST_ID_CHARACTERS or not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):  # noqa: PLR2004
        raise BadSignature("malformed", "webhook-timestamp must be whole seconds since 1970")
    age = int(now.timestamp()) - int(stamp)
    if age > TOLERANCE_SECONDS:
        raise BadSignature("timestamp_too_old", "webhook-timestamp is more than 5 minutes ago")
    if age < -TOLERANCE_SECONDS:
        raise BadSignature("timestamp_in_future", "webhook-timestamp is more than 5 minutes ahead")
    offered = [s.partition(",")[2] for s in given.split(" ")[:MOST_SIGNATURES] if s.startswith("v1,")]
    expected = [_digest(event_id, stamp, body, key) for key in _usable(secrets)]
    if not any(hmac.compare_digest(o.encode(errors="surrogatepass"), e.encode()) for o in offered for e in expected):
        raise BadSignature("no_match", "no signature fits: wrong secret, or the body was changed on its way")
    return event_id


def _usable(secrets: Sequence[str]) -> list[bytes]:
    """Keys; an empty one would verify anybody's forgery."""
    keys = []
    for secret in secrets:
        try:
            key = _key(secret)
        except (binascii.Error, ValueError):
            continue
        if key:
            keys.append(key)
    return keys


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(PREFIX), validate=True)


def _digest(event_id: str, stamp: str, body: bytes, key: bytes) -> str:
    signed = event_id.encode(errors="surrogatepass") + b"." + stamp.encode() + b"." + body
    return base64.b64encode(hmac.new(key, signed, sha256).digest()).decode()
