"""Receivers that do not speak HTTP as they should: each attempt has an outcome, soon, and at little cost."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from notifier.model import Endpoint, Verdict
from notifier.webhook import WebhookChannel
from tests.contract.test_channel_contract import EVENT

SECRET = "whsec_a2tra2tra2tra2tra2tra2tra2tra2tra2s="
FLOOD = 64 * 2**20
CHUNK = bytes(2**16)

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def raw_server(answer: Answer) -> AsyncIterator[str]:
    """A socket that reads a request's head and has `answer` write what it will. Gives its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            await answer(writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"


async def deliver(url: str) -> Verdict:
    async with WebhookChannel(clock=lambda: datetime.now(UTC), allow_private=True) as channel:
        return (await asyncio.wait_for(channel.send(EVENT, Endpoint("main", url, (SECRET,))), 20)).verdict


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 999999 What\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        b"\x16\x03\x01\x00\x05hello",
    ],
)
async def test_an_answer_that_is_none_is_tried_again(answer: bytes) -> None:
    """Nothing is raised, and nothing of this is taken for a delivery."""

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    async with raw_server(write) as url:
        assert await deliver(url) is Verdict.RETRY


@pytest.mark.parametrize(("status", "verdict"), [(b"200 OK", Verdict.DELIVERED), (b"500 No", Verdict.RETRY)])
async def test_a_flood_is_not_read(status: bytes, verdict: Verdict) -> None:
    """The status says all: of an endless body no more is taken than what the sockets hold."""
    written = 0
    ended = asyncio.Event()

    async def write(writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Type: text/plain\r\n\r\n")
        try:
            while written < FLOOD:
                writer.write(CHUNK)
                await writer.drain()
                written += len(CHUNK)
        finally:
            ended.set()

    async with raw_server(write) as url:
        assert await deliver(url) is verdict
        await asyncio.wait_for(ended.wait(), 20)
    assert written < FLOOD // 4
