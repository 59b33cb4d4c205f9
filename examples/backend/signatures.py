"""Standard Webhooks signatures (https://www.standardwebhooks.com), written out: both ways, no library needed."""

import base64
import hmac
from collections.abc import Mapping, Sequence
from hashlib import sha256


def verify(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: int) -> bool:
    """Whether a secret signed these very bytes within 5 minutes of now. Two secrets: one is being replaced."""
    event_id, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not (event_id and stamp.isascii() and stamp.isdigit() and len(stamp) <= len("9999999999")):
        return False
    expected = [sign(event_id, body, s, int(stamp))["webhook-signature"] for s in secrets if s.removeprefix("whsec_")]
    offered = headers.get("webhook-signature", "").split(" ")
    signed = any(hmac.compare_digest(o.encode(errors="replace"), e.encode()) for o in offered for e in expected)
    return signed and abs(now - int(stamp)) <= 300


def sign(event_id: str, body: bytes, secret: str, now: int) -> dict[str, str]:
    """The headers of a webhook of ours. Sent again, it keeps its id and gets a new timestamp."""
    key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    digest = hmac.new(key, f"{event_id}.{now}.".encode(errors="replace") + body, sha256).digest()
    signature = "v1," + base64.b64encode(digest).decode()
    return {"webhook-id": event_id, "webhook-timestamp": str(now), "webhook-signature": signature}
