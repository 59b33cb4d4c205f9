"""Stripe's webhooks: signed, on each status change after creation, tried a few times; a lost one is lost."""

import asyncio
import hmac
import json
import secrets
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, Final

import aiohttp
import structlog

log = structlog.get_logger()

API_VERSION: Final = "2026-10-28.endive"
EVENT_TYPE: Final = "crypto.onramp_session.updated"
TRIES: Final = 3
PAUSE_SECONDS: Final = 1.0
MOST_WAITING: Final = 10_000
SUCCESSES: Final = range(200, 300)


class Webhooks:
    """One endpoint's queue. `run` sends until cancelled."""

    def __init__(
        self, url: str | None, secret: str | None, http: aiohttp.ClientSession, *, now: Callable[[], int]
    ) -> None:
        """Without a URL nothing is sent. Raises ValueError for a URL without a secret: anybody could sign."""
        if url is not None and not secret:
            raise ValueError("webhooks need a secret to be signed with")
        self._url = url
        self._secret = secret or ""
        self._http = http
        self._now = now
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(MOST_WAITING)

    def announce(self, session: Mapping[str, Any]) -> None:
        """Queue the event of a session as it is now."""
        if self._url is None:
            return
        event = {
            "id": "evt_" + secrets.token_hex(12),
            "object": "event",
            "api_version": API_VERSION,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": EVENT_TYPE,
            "created": self._now(),
            "livemode": False,
            "data": {"object": dict(session)},
        }
        try:
            self._queue.put_nowait(json.dumps(event).encode())
        except asyncio.QueueFull:
            log.warning("sandbox.webhook_dropped")

    async def run(self) -> None:
        """Send what is queued, one after another."""
        while True:
            body = await self._queue.get()
            for attempt in range(TRIES):
                if await self._send(body):
                    break
                await asyncio.sleep(PAUSE_SECONDS * 2**attempt)

    async def _send(self, body: bytes) -> bool:
        stamp = str(self._now())
        digest = hmac.new(self._secret.encode(), stamp.encode() + b"." + body, sha256).hexdigest()
        headers = {"Stripe-Signature": f"t={stamp},v1={digest}", "Content-Type": "application/json"}
        try:
            async with self._http.post(self._url or "", data=body, headers=headers, allow_redirects=False) as answer:
                return answer.status in SUCCESSES
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False
