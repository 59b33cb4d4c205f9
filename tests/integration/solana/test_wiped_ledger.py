"""A local validator whose ledger was wiped: a new chain begins, on a local network and nowhere else."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from chains.errors import Unavailable, WrongNetwork
from chains.model import Asset, BlockRef, Holding
from chains.solana.accounts import TOKEN_2022_PROGRAM, TOKEN_PROGRAM, associated_account
from tests.contract.chain_contract import step_where
from tests.integration.solana.conftest import NETWORK, chain_on, coin
from tests.integration.solana.test_mints import make_mint
from tests.nodes.scripted_solana import GENESIS, ScriptedSolana, new_address

WALLET = coin(new_address())
TOKEN = Asset(NETWORK, new_address(), "USDC", 6)
HELD = Holding(NETWORK, TOKEN.reference, WALLET.address)
ANOTHER = "4uhcVJyU9pJkvQyS88uRDiswHXSCkY3zQawwpjk2NsNY"
QUICK: dict[str, Any] = {"poll_seconds": 0.05, "tick_seconds": 0.05, "stale_seconds": 1.0}


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedSolana]:
    async with ScriptedSolana() as made:
        made.hold(WALLET.address, 5_000_000)
        make_mint(made, TOKEN)
        yield made


def wipe(node: ScriptedSolana) -> None:
    """A new ledger: another genesis hash, low slots, none of the accounts."""
    node.genesis, node.slot = ANOTHER, 10
    node.accounts.clear()
    node.hold(WALLET.address, 7)


async def test_a_wiped_ledger_is_followed_from_its_head(scripted: ScriptedSolana) -> None:
    """While it is followed: the next step is a gap at the new head with every holding, and its balances are read."""
    chain = chain_on(scripted.url, ws=(scripted.ws_url,), **QUICK)
    chain.watch([WALLET])
    async with chain, aclosing(chain.follow(None)) as steps:
        await step_where(steps, lambda step: step.block.number > 1000 and not step.dirty)
        wipe(scripted)
        step = await anext(steps)
        assert step.gap
        assert step.block.number < 100
        assert step.dirty == {WALLET}
        assert [balance.amount for balance in await chain.balances([WALLET], step.block)] == [7]
        assert not (await step_where(steps, lambda step: not step.dirty)).gap


async def test_an_old_cursor_is_left_behind(scripted: ScriptedSolana) -> None:
    """After a restart with a cursor from before the wipe: a gap at the new head, whoever notices the wipe first."""
    async with chain_on(scripted.url, **QUICK) as chain, aclosing(chain.follow(None)) as steps:
        cursor = (await anext(steps)).block
    wipe(scripted)
    for check in (False, True):
        async with chain_on(scripted.url, **QUICK) as chain, aclosing(chain.follow(cursor)) as steps:
            chain.watch([WALLET])
            if check:
                await chain.check()
            step = await anext(steps)
            assert (step.gap, step.dirty, step.block.number < 100) == (True, {WALLET}, True)


async def test_a_cursor_of_this_ledger_stands(scripted: ScriptedSolana) -> None:
    """A validator that answers an older slot after its restart, from the same ledger, is not believed."""
    async with chain_on(scripted.url, **QUICK) as chain, aclosing(chain.follow(None)) as steps:
        cursor = (await anext(steps)).block
    scripted.slot -= 500
    async with chain_on(scripted.url, **QUICK) as chain, aclosing(chain.follow(cursor)) as steps:
        with pytest.raises(Unavailable):
            await anext(steps)


async def test_a_mint_that_was_wiped_is_unknown(scripted: ScriptedSolana) -> None:
    """A token whose mint went with the ledger has no balance, not one of zero; made again, it has one."""
    chain = chain_on(scripted.url, assets=(TOKEN,), **QUICK)
    chain.watch([WALLET, HELD])
    async with chain, aclosing(chain.follow(None)) as steps:
        first = await anext(steps)
        assert [balance.amount for balance in await chain.balances([HELD], first.block)] == [0]
        wipe(scripted)
        with pytest.raises(Unavailable):
            await chain.balances([HELD], first.block)
        step = await step_where(steps, lambda step: step.gap)
        assert await chain.balances([HELD], step.block) == ()
        assert associated_account(WALLET.address, TOKEN.reference, TOKEN_PROGRAM) not in scripted.subscribed


async def test_a_mint_made_anew_by_another_program_is_heard(scripted: ScriptedSolana) -> None:
    """A token that another program owns on the new ledger lies in another account: that one is subscribed."""
    chain = chain_on(scripted.url, ws=(scripted.ws_url,), assets=(TOKEN,), **QUICK)
    chain.watch([HELD])
    before, after = (
        associated_account(WALLET.address, TOKEN.reference, p) for p in (TOKEN_PROGRAM, TOKEN_2022_PROGRAM)
    )
    async with chain, aclosing(chain.follow(None)) as steps:
        await step_where(steps, lambda _: before in scripted.subscribed)
        wipe(scripted)
        make_mint(scripted, TOKEN, TOKEN_2022_PROGRAM)
        await step_where(steps, lambda _: after in scripted.subscribed and before not in scripted.subscribed)


async def test_a_wipe_seen_by_a_read_is_a_gap_too(scripted: ScriptedSolana) -> None:
    """When a read between two steps is what finds the new ledger, the next step is a gap all the same."""
    async with chain_on(scripted.url, **QUICK) as chain, aclosing(chain.follow(None)) as steps:
        chain.watch([WALLET])
        await chain.balances([WALLET], (await anext(steps)).block)
        wipe(scripted)
        with pytest.raises(Unavailable, match="wiped"):
            await chain.settled_balances([WALLET])
        assert [balance.amount for balance in await chain.settled_balances([WALLET])] == [7]
        step = await anext(steps)
        assert (step.gap, step.dirty) == (True, {WALLET})


async def test_a_public_cluster_never_begins_anew(scripted: ScriptedSolana) -> None:
    """Where the genesis hash is configured, another one is the wrong network, and lower slots are not believed."""
    async with chain_on(scripted.url, genesis_hash=GENESIS, **QUICK) as chain:
        found = await chain.balances([WALLET], BlockRef(0, None))
        async with aclosing(chain.follow(None)) as steps:
            assert (await anext(steps)).block.hash is None
        wipe(scripted)
        with pytest.raises((Unavailable, WrongNetwork)):
            await chain.balances([WALLET], found[0].at)
        with pytest.raises(WrongNetwork):
            await chain.balances([WALLET], BlockRef(0, None))
