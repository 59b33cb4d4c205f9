"""The alarm clock: heads wake the chain, a lost or silent websocket is made anew, and polling goes on below it."""

import asyncio
from contextlib import aclosing

import pytest
from aiohttp import WSMsgType, web

from chains.ethereum.heads import HeadFeed
from tests.integration.ethereum.conftest import chain_on
from tests.nodes.anvil import Anvil, free_port


class Socket:
    """A websocket server that says what it is told to each connection, and then keeps quiet or closes."""

    def __init__(self, says: list[bytes], *, closes: bool) -> None:
        self.port = free_port()
        self.url = f"ws://127.0.0.1:{self.port}/key/s3cret"
        self.says = says
        self.closes = closes
        self.connections = 0
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        application = web.Application()
        application.router.add_get("/{path:.*}", self._serve)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.connections += 1
        await socket.receive()
        for text in self.says:
            await socket.send_str(text.decode())
        if not self.closes:
            async for message in socket:
                if message.type is WSMsgType.CLOSE:
                    break
        return socket


@pytest.fixture
async def wake() -> asyncio.Event:
    return asyncio.Event()


async def woken(wake: asyncio.Event) -> None:
    await asyncio.wait_for(wake.wait(), 10)
    wake.clear()


@pytest.mark.evm
async def test_a_head_wakes_long_before_the_poll(anvil: Anvil) -> None:
    """With a websocket, a new block gives a step at once though polling is minutes away."""
    chain = chain_on(anvil.http, ws=(anvil.ws,), poll_seconds=200.0, stale_seconds=1_000.0)
    async with chain, aclosing(chain.follow(None)) as steps, asyncio.timeout(30):
        first = await anext(steps)
        while True:  # until the subscription stands
            asked = asyncio.ensure_future(anext(steps))
            await anvil.mine()
            done, _ = await asyncio.wait([asked], timeout=5)
            if done:
                break
        assert asked.result().block.number > first.block.number


async def test_without_a_websocket_polling_suffices(anvil: Anvil) -> None:
    """Nothing listens at the websocket's port: the poll finds the block."""
    chain = chain_on(anvil.http, ws=(f"ws://127.0.0.1:{free_port()}",), poll_seconds=0.1)
    async with chain, aclosing(chain.follow(None)) as steps, asyncio.timeout(30):
        first = await anext(steps)
        await anvil.mine()
        assert (await anext(steps)).block.number == first.block.number + 1


@pytest.mark.parametrize("says", [[b"not json at all"], [b'{"id":null,"error":{"code":-32700}}'], [b"[]"]])
@pytest.mark.parametrize("closes", [True, False])
async def test_it_comes_back(says: list[bytes], closes: bool, wake: asyncio.Event) -> None:  # noqa: FBT001  a parameter
    """Garbage, a close, or silence: the feed connects again, and wakes the chain each time."""
    server = Socket(says, closes=closes)
    await server.start()
    feed = HeadFeed([server.url], wake, silence_seconds=0.1)
    feed.start()
    try:
        while server.connections < 2:
            await woken(wake)
    finally:
        await feed.stop()
        await server.stop()


async def test_the_task_ends_with_its_feed(wake: asyncio.Event) -> None:
    """After `stop` no task is left."""
    before = asyncio.all_tasks()
    feed = HeadFeed([f"ws://127.0.0.1:{free_port()}"], wake, silence_seconds=1)
    feed.start()
    await woken(wake)
    await feed.stop()
    assert asyncio.all_tasks() == before
