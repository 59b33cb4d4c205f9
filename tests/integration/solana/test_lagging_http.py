"""HTTP that lags behind the websocket's node: what was told early is read again when HTTP has come that far."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from chains.model import Step
from tests.contract.chain_contract import step_where
from tests.integration.solana.conftest import chain_on, coin
from tests.nodes.scripted_solana import ScriptedSolana, new_address

WALLET = coin(new_address())


@pytest.fixture
async def http() -> AsyncIterator[ScriptedSolana]:
    async with ScriptedSolana() as made:
        made.hold(WALLET.address, 5_000_000)
        yield made


@pytest.fixture
async def ahead() -> AsyncIterator[ScriptedSolana]:
    """Gives the websocket, and is further on than `http`."""
    async with ScriptedSolana() as made:
        made.slot += 40
        yield made


async def test_a_hint_is_kept_until_its_slot(http: ScriptedSolana) -> None:
    """A change told long before HTTP reaches its slot is read early, and again at that slot."""
    chain = chain_on(http.url, ws=(http.ws_url,), poll_seconds=0.1, tick_seconds=0.1)
    chain.watch([WALLET])
    async with chain, aclosing(chain.follow(None)) as steps:
        await step_where(steps, lambda step: bool(http.subscribed) and not step.dirty)
        http.frozen = True
        told = http.slot + 10
        await http.notify(WALLET.address, slot=told)
        early = await anext(steps)
        http.frozen = False
        late = await step_where(steps, lambda step: step.block.number >= told and bool(step.dirty))
    assert early.block.number < told
    assert early.dirty == late.dirty == {WALLET}


async def test_a_subscription_is_read_at_its_slot(http: ScriptedSolana, ahead: ScriptedSolana) -> None:
    """What changed before a subscription stood, on a node further on than HTTP, is read once HTTP is there."""
    chain = chain_on(http.url, ws=(ahead.ws_url,), poll_seconds=0.1, tick_seconds=0.1)
    chain.watch([WALLET])
    seen: list[Step] = []

    async def collect() -> None:
        async with aclosing(chain.follow(None)) as steps:
            async for step in steps:
                seen.append(step)
                if step.dirty and step.block.number >= ahead.slot:
                    return

    async with chain:
        await asyncio.wait_for(collect(), 15)
    assert seen[0].block.number < ahead.slot
