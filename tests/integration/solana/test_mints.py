"""Mints that are none: their holdings are unknown, and cost the rest of the network nothing."""

import struct
import time
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from solders.pubkey import Pubkey
from structlog.testing import capture_logs

from chains.model import Asset, BlockRef, Holding
from chains.solana.accounts import TOKEN_PROGRAM, associated_account
from tests.contract.chain_contract import step_where
from tests.integration.solana.conftest import NETWORK, chain_on, coin
from tests.nodes.scripted_solana import ScriptedSolana, new_address

OWNER = new_address()
THERE = Asset(NETWORK, new_address(), "USDC", 6)
MISSING = Asset(NETWORK, new_address(), "EURC", 6)
ASSETS = (THERE, MISSING)
COIN, HELD, UNKNOWN = coin(OWNER), *(Holding(NETWORK, asset.reference, OWNER) for asset in ASSETS)
NOW = BlockRef(1000, None)


class Clock:
    """Monotonic seconds that a test moves on."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedSolana]:
    async with ScriptedSolana() as made:
        made.hold(OWNER, 5_000_000)
        make_mint(made, THERE)
        held = struct.pack("<32s32sQ36xB56x", *(bytes(Pubkey.from_string(k)) for k in (THERE.reference, OWNER)), 7, 1)
        made.hold(associated_account(OWNER, THERE.reference, TOKEN_PROGRAM), 2_039_280, owner=TOKEN_PROGRAM, data=held)
        yield made


def make_mint(node: ScriptedSolana, asset: Asset, program: str = TOKEN_PROGRAM) -> None:
    """Put an asset's mint account there."""
    node.hold(asset.reference, 1_461_600, owner=program, data=struct.pack("<44xBB36x", asset.decimals, 1))


async def test_a_missing_mint_costs_its_own_holdings_alone(scripted: ScriptedSolana) -> None:
    """With one mint missing the network is followed and read; only that mint's holdings have no balance."""
    chain = chain_on(scripted.url, assets=ASSETS, poll_seconds=0.05, tick_seconds=0.05, stale_seconds=2.0)
    chain.watch([COIN, HELD, UNKNOWN])
    with capture_logs() as logs:
        async with chain, aclosing(chain.follow(None)) as steps:
            first = await step_where(steps, lambda step: {COIN, HELD} <= step.dirty)
            await step_where(steps, lambda step: step.block.number > first.block.number + 5)
            found = await chain.balances([UNKNOWN, HELD, COIN], first.block)
            settled = await chain.settled_balances([COIN, UNKNOWN])
    assert [(balance.holding, balance.amount) for balance in found] == [(HELD, 7), (COIN, 5_000_000)]
    assert [balance.holding for balance in settled] == [COIN]
    told = [line for line in logs if line["event"] == "mint.unknown"]
    assert [(line["mint"], line["log_level"]) for line in told] == [(MISSING.reference, "warning")]


async def test_a_missing_mint_costs_no_call_a_read(scripted: ScriptedSolana) -> None:
    """An address that was no mint is not asked for again with every read."""
    async with chain_on(scripted.url, assets=ASSETS) as chain:
        await chain.balances([HELD, UNKNOWN], NOW)
        scripted.asked.clear()
        for _ in range(3):
            await chain.balances([HELD, UNKNOWN], NOW)
    assert scripted.asked.count("getMultipleAccounts") == 3


async def test_a_mint_made_later_is_found(scripted: ScriptedSolana) -> None:
    """Once the mint is there its holdings are watched and read, without a restart."""
    clock = Clock()
    chain = chain_on(scripted.url, ws=(scripted.ws_url,), assets=ASSETS, poll_seconds=0.05, tick_seconds=0, clock=clock)
    chain.watch([UNKNOWN])
    async with chain, aclosing(chain.follow(None)) as steps:
        await anext(steps)
        make_mint(scripted, MISSING)
        clock.ahead += 61
        account = associated_account(OWNER, MISSING.reference, TOKEN_PROGRAM)
        step = await step_where(steps, lambda step: UNKNOWN in step.dirty and account in scripted.subscribed)
        assert [balance.amount for balance in await chain.balances([UNKNOWN], step.block)] == [0]
