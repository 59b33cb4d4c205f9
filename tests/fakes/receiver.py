"""A receiving webhook on loopback: verifies, keeps everything it got, answers as it was told to.

As a program it outlives what it receives from: `python -m tests.fakes.receiver --port P --secret S --ledger FILE`.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import os
import secrets
import signal
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
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
    """An async context manager. `answers` holds statuses for the next requests; 200 afterwards.

    With a `file`, each verified event is a line of it, on disk before its 200.
    """

    def __init__(
        self,
        *,
        answers: tuple[int, ...] = (),
        headers: Mapping[str, str] | None = None,
        port: int = 0,
        secret: str | None = None,
        file: Path | None = None,
    ) -> None:
        self.secret = secret or "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        self.answers = deque(answers)
        self.headers = dict(headers or {})
        self._port = port
        self._file = file
        self.ledger: list[Delivery] = []
        self.url = ""
        self._runner: web.AppRunner | None = None
        self._closing = asyncio.Event()

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=2**20)
        app.router.add_route("*", "/{tail:.*}", self._receive)
        self._runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=1, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
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
        delivery = Delivery(event_id, dict(request.headers), body, good)
        self.ledger.append(delivery)
        if self._file is not None and good:
            _append(self._file, delivery)
        status = self.answers.popleft() if self.answers else 200
        if status == HANG:
            with contextlib.suppress(asyncio.CancelledError):
                await self._closing.wait()
            status = 503
        return web.Response(status=status, headers=self.headers)


def _append(file: Path, delivery: Delivery) -> None:
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps({"id": delivery.id, "event": delivery.event}) + "\n")
        lines.flush()
        os.fsync(lines.fileno())


async def _serve(receiver: Receiver) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with receiver:
        await stop.wait()


def main() -> None:
    """Receive until SIGTERM. Prints nothing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--secret", required=True)
    parser.add_argument("--ledger", type=Path, required=True)
    given = parser.parse_args()
    asyncio.run(_serve(Receiver(port=given.port, secret=given.secret, file=given.ledger)))


if __name__ == "__main__":
    main()
