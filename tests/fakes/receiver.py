"""A receiving webhook on loopback: verifies, keeps everything it got, answers as it was told to."""

import asyncio
import base64
import contextlib
import json
import secrets
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from aiohttp import web

from notifier.errors import BadSignature
from notifier.signatures import verify

HANG = 0
"""An answer that never comes."""


@dataclass(frozen=True)
class Delivery:
    """One request."""

    id: str
    headers: Mapping[str, str]
    body: bytes
    verified: bool

    @property
    def event(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


class Receiver:
    """An async context manager. `answers` holds statuses for the next requests; 200 afterwards."""

    def __init__(self, *, answers: tuple[int, ...] = (), headers: Mapping[str, str] | None = None) -> None:
        self.secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        self.answers = deque(answers)
        self.headers = dict(headers or {})
        self.ledger: list[Delivery] = []
        self.url = ""
        self._runner: web.AppRunner | None = None
        self._closing = asyncio.Event()

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=2**20)
        app.router.add_route("*", "/{tail:.*}", self._receive)
        self._runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=1, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/hook"
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._closing.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        try:
            event_id, good = verify(request.headers, body, [self.secret], now=datetime.now(UTC)), True
        except BadSignature:
            event_id, good = request.headers.get("webhook-id", ""), False
        self.ledger.append(Delivery(event_id, dict(request.headers), body, good))
        status = self.answers.popleft() if self.answers else 200
        if status == HANG:
            with contextlib.suppress(asyncio.CancelledError):
                await self._closing.wait()
            status = 503
        return web.Response(status=status, headers=self.headers)
