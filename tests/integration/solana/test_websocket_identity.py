"""Which chain a websocket's node serves: another one's is not listened to, and nothing is missed for it."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from structlog.testing import capture_logs

from chains.solana.pubsub import find_twins
from tests.contract.chain_contract import step_where
from tests.integration.solana.conftest import chain_on, coin
from tests.nodes.scripted_solana import GENESIS, ScriptedSolana, new_address

WALLET = coin(new_address())
ANOTHER = "4uhcVJyU9pJkvQyS88uRDiswHXSCkY3zQawwpjk2NsNY"
QUICK: dict[str, Any] = {"poll_seconds": 0.05, "tick_seconds": 0.05, "genesis_hash": GENESIS}


@pytest.fixture
async def http() -> AsyncIterator[ScriptedSolana]:
    async with ScriptedSolana() as made:
        yield made


@pytest.fixture
async def ws() -> AsyncIterator[ScriptedSolana]:
    async with ScriptedSolana() as made:
        yield made


async def test_another_chains_websocket_is_left(http: ScriptedSolana, ws: ScriptedSolana) -> None:
    """A websocket of another genesis hash is never subscribed on, and its holdings are read at each poll instead."""
    ws.genesis = ANOTHER
    chain = chain_on(http.url, ws=(ws.ws_url,), **QUICK)
    chain.watch([WALLET])
    with capture_logs() as logs:
        async with chain, aclosing(chain.follow(None)) as steps:
            for _ in range(20):
                await step_where(steps, lambda step: step.dirty == {WALLET}, limit=5)
    assert ws.connections == 0
    assert {line["reason"] for line in logs if line["event"] == "pubsub.lost"} == {"serves another chain"}
    assert "secret" not in str(logs)


@pytest.mark.parametrize("identifies", [True, False])
async def test_the_right_websocket_is_heard(http: ScriptedSolana, ws: ScriptedSolana, *, identifies: bool) -> None:
    """One of the right genesis hash is subscribed on; so is one that won't tell, as no node tells it there."""
    ws.identifies = identifies
    chain = chain_on(http.url, ws=(ws.ws_url,), **QUICK)
    chain.watch([WALLET])
    async with chain, aclosing(chain.follow(None)) as steps:
        await step_where(steps, lambda step: WALLET.address in ws.subscribed and not step.dirty)
    assert ws.asked == ["getGenesisHash"]


@pytest.mark.parametrize(
    ("url", "twins"),
    [
        ("wss://rpc.example/?api-key=k", ["https://rpc.example/?api-key=k"]),
        ("ws://127.0.0.1:8900", ["http://127.0.0.1:8900", "http://127.0.0.1:8899/"]),
        ("wss://rpc.example:8900/v2/k?k=k", ["https://rpc.example:8900/v2/k?k=k", "https://rpc.example:8899/"]),
    ],
)
def test_where_a_websocket_answers_over_http(url: str, twins: list[str]) -> None:
    """At the same URL with its key, or on the port before, which is not told the key."""
    assert find_twins(url) == twins
