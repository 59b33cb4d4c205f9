"""What nothing in a block tells of: found by the rotation, or by a full read, and told only where it differs."""

from contextlib import aclosing

import pytest

from chains.model import Balance
from tests.integration.ethereum.conftest import chain_on, coin
from tests.nodes.anvil import Anvil

WALLETS = [f"0x{number:040x}" for number in range(0xA000, 0xA010)]


async def test_what_was_recorded_and_stands_is_not_dirty(anvil: Anvil) -> None:
    """Of recalled balances, one full read makes exactly those dirty that differ: a start costs no decisions."""
    await anvil.rpc("anvil_setBalance", WALLETS[3], hex(5))
    await anvil.rpc("anvil_setBalance", WALLETS[4], hex(7))
    await anvil.mine()
    block = await anvil.rpc("eth_getBlockByNumber", "latest", False)
    async with chain_on(anvil.http) as chain, aclosing(chain.follow(None)) as steps:
        known = {WALLETS[3]: 5, WALLETS[4]: 6}
        async with aclosing(chain.follow(None)) as first:
            at = (await anext(first)).block
        chain.recall(Balance(coin(wallet), known.get(wallet, 0), at) for wallet in WALLETS)
        step = await anext(steps)
        assert (step.block.hash, step.dirty) == (block["hash"], {coin(WALLETS[4])})


async def test_the_rotation_finds_what_no_transaction_moved(anvil: Anvil) -> None:
    """A balance that changed without a trace is dirty within one rotation, and dirty once."""
    async with chain_on(anvil.http, slice_size=4) as chain, aclosing(chain.follow(None)) as steps:
        chain.watch([coin(wallet) for wallet in WALLETS])
        step = await anext(steps)
        await chain.balances(sorted(step.dirty), step.block)
        await anvil.rpc("anvil_setBalance", WALLETS[9], hex(5))
        told = 0
        for _ in range(8):
            await anvil.mine()
            step = await anext(steps)
            await chain.balances(sorted(step.dirty), step.block)
            assert step.dirty <= {coin(WALLETS[9])}
            told += len(step.dirty)
    assert told == 1


async def test_a_change_that_was_seen_and_went_back_unseen_is_found(anvil: Anvil) -> None:
    """The rotation compares with what was read last, by whatever it was made dirty."""
    wallet = WALLETS[2]
    rich = (await anvil.accounts())[0]
    async with chain_on(anvil.http, slice_size=16) as chain, aclosing(chain.follow(None)) as steps:
        chain.watch([coin(wallet)])
        step = await anext(steps)
        await chain.balances(sorted(step.dirty), step.block)
        await anvil.send(rich, wallet, value=9)
        step = await anext(steps)
        assert step.dirty == {coin(wallet)}
        assert [b.amount for b in await chain.balances(sorted(step.dirty), step.block)] == [9]
        await anvil.rpc("anvil_setBalance", wallet, hex(0))
        await anvil.mine()
        while not (step := await anext(steps)).dirty:
            await anvil.mine()
        assert [b.amount for b in await chain.balances(sorted(step.dirty), step.block)] == [0]


@pytest.mark.parametrize(("calls", "read"), [(0, 0), (600, 1)])
async def test_the_rotation_keeps_to_its_budget(anvil: Anvil, calls: float, read: int) -> None:
    """Without calls left, no slice is read; detection goes on."""
    async with chain_on(anvil.http, slice_size=16, sweep_calls_a_minute=calls) as chain:
        chain.watch([coin(wallet) for wallet in WALLETS])
        async with aclosing(chain.follow(None)) as steps:
            step = await anext(steps)
            await chain.balances(sorted(step.dirty), step.block)
            await anvil.rpc("anvil_setBalance", WALLETS[9], hex(5))
            seen = 0
            for _ in range(4):
                await anvil.mine()
                step = await anext(steps)
                await chain.balances(sorted(step.dirty), step.block)
                seen += len(step.dirty)
            assert seen == read


async def test_many_new_ones_come_in_steps_of_a_bounded_size(anvil: Anvil) -> None:
    """Forty-five thousand new holdings are dirty in three steps that follow at once, each of them once."""
    many = [coin(f"0x{number:040x}") for number in range(0xB00000, 0xB00000 + 45_000)]
    async with chain_on(anvil.http) as chain, aclosing(chain.follow(None)) as steps:
        chain.watch(many)
        seen = [(await anext(steps)).dirty for _ in range(3)]
    assert [len(dirty) for dirty in seen] == [20_000, 20_000, 5_000]
    assert set().union(*seen) == set(many)
