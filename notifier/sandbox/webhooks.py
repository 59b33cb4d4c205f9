"""Stripe's webhooks: signed, on each status change after creation, tried a few times; a lost one is lost."""

import asyncio
import hmac
import json
import secrets
from collections import deque
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
MOST_AT_ONCE: Final = 32
SUCCESSES: Final = range(200, 300)


class Webhooks:
    """One endpoint's events: those of a session one after another, sessions beside each other. `run` sends for ever."""

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
        self._waiting: dict[str, deque[bytes]] = {}
        """What is still to be sent, by session."""
        self._count = 0
        self._fresh: asyncio.Queue[str] = asyncio.Queue()
        """Sessions that nobody sends for yet; never more than are waiting."""
        self._at_once = asyncio.Semaphore(MOST_AT_ONCE)

    def announce(self, session: Mapping[str, Any]) -> None:
        """Queue the event of a session as it is now."""
        if self._url is None:
            return
        if self._count >= MOST_WAITING:
            log.warning("sandbox.webhook_dropped", session=session["id"])
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
        self._count += 1
        if session["id"] not in self._waiting:
            self._waiting[session["id"]] = deque()
            self._fresh.put_nowait(session["id"])
        self._waiting[session["id"]].append(json.dumps(event).encode())

    async def run(self) -> None:
        """Send what is queued until cancelled."""
        async with asyncio.TaskGroup() as senders:
            while True:
                senders.create_task(self._send_all(await self._fresh.get()))

    async def _send_all(self, session: str) -> None:
        waiting = self._waiting[session]
        while waiting:
            await self._deliver(waiting.popleft())
            self._count -= 1
        del self._waiting[session]

    async def _deliver(self, body: bytes) -> None:
        for attempt in range(TRIES):
            async with self._at_once:
                if await self._send(body):
                    return
            if attempt < TRIES - 1:
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
