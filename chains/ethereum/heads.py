"""New heads over a websocket, as an alarm clock only: what the node says of them is not used."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import aiohttp
import structlog
from yarl import URL

log = structlog.get_logger()

_SUBSCRIBE: Final = {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]}
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 30.0
_HEALTHY: Final = 10.0
"""Seconds a connection must live before the pause between attempts shrinks back."""


class HeadFeed:
    """Sets an event at each new head, at each (re)connection, and after a silence."""

    def __init__(self, urls: Sequence[str], wake: asyncio.Event, *, silence_seconds: float) -> None:
        """After `silence_seconds` without a frame the connection is taken for dead and made anew."""
        self._urls = tuple(urls)
        self._wake = wake
        self._silence = silence_seconds
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Listen in a task of its own."""
        if self._urls:
            self._task = asyncio.create_task(self._run(), name="heads")

    async def stop(self) -> None:
        """End the task, and wait until it has ended."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        pause, attempt = _FIRST_PAUSE, 0
        timeout = aiohttp.ClientTimeout(total=None, connect=10)
        async with aiohttp.ClientSession(trust_env=False, timeout=timeout) as session:
            while True:
                url = self._urls[attempt % len(self._urls)]
                attempt += 1
                began = asyncio.get_running_loop().time()
                try:
                    await self._listen(session, url)
                except (aiohttp.ClientError, OSError, TimeoutError, ValueError, TypeError) as error:
                    log.info("heads.lost", host=URL(url).host, reason=type(error).__name__)
                self._wake.set()
                lived = asyncio.get_running_loop().time() - began
                pause = _FIRST_PAUSE if lived > _HEALTHY else min(pause * 2, _LONGEST_PAUSE)
                await asyncio.sleep(pause)

    async def _listen(self, session: aiohttp.ClientSession, url: str) -> None:
        """Until the connection ends, or was silent for too long."""
        async with session.ws_connect(url, heartbeat=20, max_msg_size=2**24) as socket:
            await socket.send_json(_SUBSCRIBE)
            self._wake.set()
            while True:
                message = await socket.receive(timeout=self._silence)
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return
                self._wake.set()
