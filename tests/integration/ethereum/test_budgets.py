"""Endpoints with budgets: calls keep to them, and what a node refuses at once is asked in parts."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from chains.errors import RpcError, Unavailable
from chains.rpc import RpcClient
from chains.rpc_budget import Budget
from tests.integration.ethereum.conftest import Clock


@dataclass
class Capped:
    """A node that takes so many calls at once, and echoes the first parameter of each."""

    url: str = ""
    most: int = 1_000
    refusal: Any = None
    """What it answers to more: a JSON-RPC error for the batch, or for each item beyond."""
    each_item: bool = False
    busy: list[Any] = field(default_factory=list)
    """`data` of the -32005 that it answers with next."""
    sizes: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        asked = body if isinstance(body, list) else [body]
        self.sizes.append(len(asked))
        self.times.append(asyncio.get_running_loop().time())
        if self.busy:
            error = {"code": -32005, "message": "project ID request rate exceeded", "data": self.busy.pop()}
            return web.json_response({"jsonrpc": "2.0", "id": asked[0]["id"], "error": error}, status=429)
        results = [{"jsonrpc": "2.0", "id": call["id"], "result": call["params"][0]} for call in asked]
        if len(asked) > self.most and not self.each_item:
            return web.json_response({"jsonrpc": "2.0", "id": None, "error": self.refusal})
        for result in results[self.most :]:
            del result["result"]
            result["error"] = self.refusal
        return web.json_response(results if isinstance(body, list) else results[0])


@pytest.fixture
async def node() -> AsyncIterator[Capped]:
    capped = Capped()
    app = web.Application(client_max_size=2**24)
    app.router.add_post("/", capped.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    capped.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield capped
    await runner.cleanup()


def calls(count: int) -> list[tuple[str, list[int]]]:
    return [("eth_call", [number]) for number in range(count)]


@pytest.mark.parametrize(
    ("refusal", "each_item"),
    [
        ({"code": -32600, "message": "batch too large"}, False),
        ({"code": -32010, "message": "The batch request was too large"}, False),
        ({"code": -32003, "message": "response too large"}, True),
    ],
)
async def test_a_batch_cap_is_learned(node: Capped, refusal: Any, *, each_item: bool) -> None:
    """Refused as a whole or for its later items: halved until it fits, in the order asked, and so from then on."""
    node.most, node.refusal, node.each_item = 30, refusal, each_item
    async with RpcClient([node.url]) as client:
        assert await client.batch(calls(100)) == list(range(100))
        assert node.sizes == [100, 50, 25, 25, 25, 25]
        assert await client.batch(calls(60)) == list(range(60))
    assert node.sizes[6:] == [25, 25, 10]


async def test_one_call_that_is_too_large_is_told_as_that(node: Capped) -> None:
    """There is nothing to halve: the node's own word."""
    node.most, node.refusal = 0, {"code": -32600, "message": "batch too large"}
    async with RpcClient([node.url]) as client:
        with pytest.raises(RpcError, match="too large"):
            await client.batch(calls(4))
    assert node.sizes == [4, 2, 1]


async def test_an_answer_that_is_too_long_is_asked_in_parts(node: Capped) -> None:
    """Longer than is read: half as many calls at once."""
    async with RpcClient([node.url], max_bytes=1_000) as client:
        assert await client.batch(calls(40)) == list(range(40))
    assert node.sizes == [40, 20, 20]


async def test_all_who_ask_share_the_budget(node: Capped) -> None:
    """Thirty calls a second: sixty asked at once by sixty tasks, in batches and alone, take about a second more."""
    host = node.url.removeprefix("http://")
    async with RpcClient([node.url], budgets={host: Budget(calls_per_second=30)}) as client:
        await asyncio.gather(
            *(client.call("eth_call", [n]) for n in range(30)), *(client.batch(calls(3)) for _ in range(10))
        )
    assert sum(node.sizes) == 60
    assert node.times[-1] - node.times[0] > 0.8


async def test_a_used_up_budget_goes_to_the_next_endpoint(node: Capped) -> None:
    """Who would wait too long asks elsewhere at once; with nobody else it is `Unavailable`, not a wait for ever."""
    async with RpcClient([node.url], budgets={"*": Budget(calls_per_second=1)}, clock=Clock()) as client:
        endpoint = client.endpoints[0]
        for _ in range(7):
            endpoint.allowance.take(["eth_call"])
        with pytest.raises(Unavailable, match="budget is used up"):
            await client.call("eth_call", [1])
    assert node.sizes == []


async def test_a_busy_node_gets_the_rest_that_it_asks_for(node: Capped) -> None:
    """-32005 with 30 seconds in its data: not asked for as long, though the answer has no Retry-After."""
    clock = Clock()
    node.busy = [{"rate": {"backoff_seconds": 30}}]
    async with RpcClient([node.url], clock=clock) as client:
        with pytest.raises(Unavailable):
            await client.call("eth_call", [1])
        clock.now += 29
        with pytest.raises(Unavailable, match="asked for a rest"):
            await client.call("eth_call", [1])
        clock.now += 2
        assert await client.call("eth_call", [1]) == 1
    assert node.sizes == [1, 1]


async def test_each_call_that_is_sent_is_counted(node: Capped) -> None:
    """By host and method, those of a batch one by one."""
    counted: list[tuple[str, str]] = []
    async with RpcClient([node.url], on_call=lambda host, method: counted.append((host, method))) as client:
        await client.batch(calls(3))
        await client.call("eth_blockNumber", [1])
    host = node.url.removeprefix("http://")
    assert counted == [(host, "eth_call")] * 3 + [(host, "eth_blockNumber")]
