"""Following the head: gaps, lags, rollbacks, old heads, withdrawals, and what a node refuses to tell."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from itertools import pairwise
from typing import Any

import pytest

from chains.errors import Unavailable, WrongNetwork
from chains.ethereum.dirty import TRANSFER
from chains.model import BlockRef, Step
from tests.contract.chain_contract import step_where
from tests.integration.ethereum.conftest import chain_on, coin, token, token_asset
from tests.nodes.anvil import Anvil
from tests.nodes.scripted_ethereum import GENESIS_TIME, MINER, Fault, Refused, ScriptedEthereum, make_hash

A, B, C = (f"0x{number:040x}" for number in (0xA1, 0xB2, 0xC3))
CONTRACT = "0x" + "70" * 20


@pytest.fixture
async def node() -> AsyncIterator[ScriptedEthereum]:
    async with ScriptedEthereum() as node:
        for _ in range(5):
            node.mine()
        yield node


def ref(node: ScriptedEthereum) -> BlockRef:
    return BlockRef(node.head.number, node.head.hash)


def transaction(sender: str, to: str | None, **more: Any) -> dict[str, Any]:
    return {"from": sender, "to": to, "value": "0x1", "hash": "0x" + "11" * 32, **more}


async def test_a_withdrawal_is_seen(node: ScriptedEthereum) -> None:
    """A validator's withdrawal has no transaction: it makes its address dirty, and no other."""
    async with chain_on(node.url) as chain, aclosing(chain.follow(ref(node))) as steps:
        chain.watch([coin(A), coin(B)])
        await anext(steps)
        node.mine({B: 5}, withdrawals=[{"index": "0x1", "validatorIndex": "0x1", "address": B, "amount": "0x5"}])
        step = await anext(steps)
    assert step.dirty == {coin(B)}


async def test_the_first_step_comes_without_a_move(node: ScriptedEthereum) -> None:
    """A start at the stored cursor gives a step at once, though nothing happened: the network can be read."""
    async with chain_on(node.url) as chain, aclosing(chain.follow(ref(node))) as steps:
        step = await anext(steps)
    assert (step.block.number, step.dirty, step.gap, step.orphaned) == (5, frozenset(), False, ())


async def test_a_short_absence_is_walked(node: ScriptedEthereum) -> None:
    """Blocks mined while nobody followed are walked: only what they touched is dirty, at the head."""
    cursor = ref(node)
    async with chain_on(node.url) as chain:
        chain.watch([coin(A), coin(B), coin(C)])
        async with aclosing(chain.follow(cursor)) as steps:
            await anext(steps)
            await chain_gets(node, steps)
            node.mine({A: 1}, transactions=[transaction(C, A)])
            for _ in range(20):
                node.mine()
            step = await step_where(steps, lambda step: step.block.number == node.head.number)
    assert step.dirty <= {coin(A), coin(C)}
    assert not step.gap


async def chain_gets(node: ScriptedEthereum, steps: Any) -> None:
    node.mine()
    await anext(steps)


async def test_a_long_absence_is_one_full_read(node: ScriptedEthereum) -> None:
    """A gap deeper than the window is one step with everything dirty; the old cursor is not called orphaned."""
    cursor = ref(node)
    for _ in range(200):
        node.mine()
    async with chain_on(node.url) as chain, aclosing(chain.follow(cursor)) as steps:
        chain.watch([coin(A), coin(B)])
        step = await anext(steps)
    assert step.gap
    assert step.block.number == 205
    assert step.dirty == {coin(A), coin(B)}
    assert step.orphaned == ()
    assert node.calls["eth_getBlockByHash"] < 70


async def test_an_orphaned_cursor_is_told(node: ScriptedEthereum) -> None:
    """A stored cursor that is no longer part of the chain is listed as orphaned, and everything is read."""
    cursor = BlockRef(5, make_hash(5, "old"))
    node.mine()
    async with chain_on(node.url) as chain, aclosing(chain.follow(cursor)) as steps:
        chain.watch([coin(A)])
        step = await anext(steps)
    assert step.orphaned == (cursor,)
    assert step.gap


async def test_a_reorg_reads_again_what_the_lost_blocks_touched(node: ScriptedEthereum) -> None:
    """After a reorg the receivers of the lost block are dirty at the new head, and the lost block is listed."""
    async with chain_on(node.url) as chain, aclosing(chain.follow(ref(node))) as steps:
        chain.watch([coin(A), coin(B), coin(C)])
        await anext(steps)
        lost = node.mine({A: 1}, transactions=[transaction(C, A)])
        first = await anext(steps)
        node.drop(1)
        node.mine({B: 1}, transactions=[transaction(C, B)], fork="f")
        second = await anext(steps)
    assert first.dirty == {coin(A), coin(C)}
    assert second.dirty == {coin(A), coin(B), coin(C)}
    assert [block.hash for block in second.orphaned] == [lost.hash]


async def test_a_lagging_node_is_no_reorg() -> None:
    """A node whose head is behind what another endpoint knows as canonical gives no step and orphans nothing."""
    async with ScriptedEthereum() as first, ScriptedEthereum() as second:
        for node in (first, second):
            for _ in range(6):
                node.mine()
        async with chain_on(first.url, second.url) as chain, aclosing(chain.follow(None)) as steps:
            await anext(steps)
            first.lag = 3
            for node in (first, second):
                node.mine()
            step = await anext(steps)
    assert step.block.number == 7
    assert step.orphaned == ()


async def test_a_rollback_is_believed_in_the_end(node: ScriptedEthereum) -> None:
    """A head that only went back is believed once several looks agree; what was above it is orphaned."""
    async with chain_on(node.url) as chain, aclosing(chain.follow(None)) as steps:
        chain.watch([coin(A)])
        await anext(steps)
        node.mine({A: 1}, transactions=[transaction(C, A)])
        await anext(steps)
        node.drop(1)
        looks = node.calls["eth_getBlockByNumber"]
        step = await anext(steps)
    assert (step.block.number, step.dirty) == (5, {coin(A)})
    assert [block.number for block in step.orphaned] == [6]
    assert node.calls["eth_getBlockByNumber"] - looks >= 3


async def test_an_old_head_is_not_believed(node: ScriptedEthereum) -> None:
    """A head older than configured is no head; after the configured patience the network is `Unavailable`."""
    seconds = iter(range(0, 10_000, 5))
    chain = chain_on(
        node.url,
        max_head_age_seconds=60,
        wall_clock=lambda: GENESIS_TIME + 12 * 5 + 61,
        clock=lambda: float(next(seconds)),
        stale_seconds=20,
    )
    async with chain, aclosing(chain.follow(None)) as steps:
        with pytest.raises(Unavailable, match="no usable head"):
            await anext(steps)


async def test_a_dead_node_is_waited_for(anvil: Anvil) -> None:
    """A node that is down and comes back is followed again, without a new start."""
    anvil.kill()
    async with chain_on(anvil.http, ws=(anvil.ws,)) as chain, aclosing(chain.follow(None)) as steps:
        chain.watch([coin(A)])
        await anvil.start()
        assert coin(A) in (await anext(steps)).dirty


async def test_logs_refused_make_every_holder_dirty(node: ScriptedEthereum) -> None:
    """A node that won't give a block's logs costs a full read of the token, never a missed change."""
    async with chain_on(node.url, assets=(token_asset(CONTRACT),)) as chain, aclosing(chain.follow(ref(node))) as steps:
        chain.watch([token(CONTRACT, A), token(CONTRACT, B), coin(C)])
        await anext(steps)
        node.refused["eth_getLogs"] = Refused(-32000, "query returned more than 10000 results")
        node.mine()
        step = await anext(steps)
    assert step.dirty == {token(CONTRACT, A), token(CONTRACT, B)}


async def test_a_transfer_event_makes_both_sides_dirty(node: ScriptedEthereum) -> None:
    """Both parties of a token's event are dirty, in that token alone; an unknown contract's event is nothing."""
    topics = [TRANSFER, *("0x" + who[2:].rjust(64, "0") for who in (A, B))]
    async with chain_on(node.url, assets=(token_asset(CONTRACT),)) as chain, aclosing(chain.follow(ref(node))) as steps:
        chain.watch([token(CONTRACT, A), token(CONTRACT, B), token(CONTRACT, C), coin(A)])
        await anext(steps)
        node.mine(logs=[{"address": CONTRACT, "topics": topics, "data": "0x01"}])
        step = await anext(steps)
    assert step.dirty == {token(CONTRACT, A), token(CONTRACT, B)}


async def test_traces_that_fail_for_one_transaction(node: ScriptedEthereum) -> None:
    """Where a trace has an error for one transaction, wallets with code are read instead."""
    del node.refused["debug_traceBlockByHash"]
    node.codes.add(B.lower())
    async with chain_on(node.url) as chain, aclosing(chain.follow(ref(node))) as steps:
        chain.watch([coin(A), coin(B), coin(C)])
        await anext(steps)
        node.mine(traces=[{"result": {"pre": {A: {"balance": "0x1"}}, "post": {A: {"balance": "0x2"}}}}])
        whole = await anext(steps)
        node.mine(traces=[{"txHash": "0x1", "error": "Resource not found"}])
        failed = await anext(steps)
    assert whole.dirty == {coin(A)}
    assert failed.dirty == {coin(B)}


@pytest.mark.parametrize("overrides", ["taken", "refused", "ignored"])
async def test_wallets_with_code_are_dirty_at_every_block(node: ScriptedEthereum, overrides: str) -> None:
    """Without traces, a wallet with code is dirty at each block, however its code was learned."""
    node.overrides = overrides
    node.codes.add(B.lower())
    async with chain_on(node.url, trace=False) as chain, aclosing(chain.follow(ref(node))) as steps:
        chain.watch([coin(A), coin(B)])
        await anext(steps)
        node.mine()
        assert (await anext(steps)).dirty == {coin(B)}


async def test_the_rotating_slice_reaches_everyone(node: ScriptedEthereum) -> None:
    """With a slice of two, what six wallets got unseen is found in a few steps; code that appeared is, too."""
    wallets = [coin(f"0x{number:040x}") for number in range(0xD0, 0xD6)]
    async with chain_on(node.url, trace=False, slice_size=2) as chain, aclosing(chain.follow(ref(node))) as steps:
        chain.watch(wallets)
        await anext(steps)
        node.codes.add(wallets[3].address)
        seen: list[Step] = []
        for number in range(12):
            node.mine({wallet.address: 1 for wallet in wallets} if number == 0 else {})
            step = await anext(steps)
            await chain.balances(sorted(step.dirty), step.block)
            seen.append(step)
    assert frozenset().union(*(step.dirty for step in seen[:8])) == set(wallets)
    moved = [after for before, after in pairwise(seen[6:]) if after.block.number > before.block.number]
    assert moved
    assert all(wallets[3] in step.dirty for step in moved)
    assert all(len(step.dirty) <= 3 for step in seen)


async def test_watching_during_a_step_is_not_lost(node: ScriptedEthereum) -> None:
    """A holding watched while a step is being worked on is dirty in the next one."""
    async with chain_on(node.url) as chain, aclosing(chain.follow(None)) as steps:
        chain.watch([coin(A)])
        await anext(steps)
        chain.watch([coin(A), coin(B)])
        assert (await anext(steps)).dirty == {coin(A), coin(B)}


async def test_what_was_read_at_a_lost_block_is_read_again(node: ScriptedEthereum) -> None:
    """A holding first watched, and read, at a block that is then lost is dirty at the new head."""
    async with chain_on(node.url) as chain, aclosing(chain.follow(ref(node))) as steps:
        await anext(steps)
        node.mine({A: 1}, transactions=[transaction(C, A)])
        await anext(steps)
        chain.watch([coin(A)])
        assert (await anext(steps)).dirty == {coin(A)}
        node.drop(1)
        node.mine(fork="f")
        assert (await anext(steps)).dirty == {coin(A)}


async def test_the_miner_is_dirty(node: ScriptedEthereum) -> None:
    """Whoever is paid for a block is in no transaction, and is dirty at it."""
    async with chain_on(node.url) as chain, aclosing(chain.follow(ref(node))) as steps:
        chain.watch([coin(MINER), coin(A)])
        await anext(steps)
        node.mine()
        assert (await anext(steps)).dirty == {coin(MINER)}


async def test_the_chain_id_is_asked_again_every_hour(node: ScriptedEthereum) -> None:
    """An endpoint that turns into another chain is found within the hour, while nothing fails."""
    seconds = iter(range(0, 10**9, 600))
    async with chain_on(node.url, clock=lambda: float(next(seconds))) as chain, aclosing(chain.follow(None)) as steps:
        await anext(steps)
        node.chain_id = 1
        with pytest.raises(WrongNetwork):
            await anext(steps)


async def test_a_failure_amid_many_blocks_loses_nothing(node: ScriptedEthereum) -> None:
    """One block of thirty that can't be read at first delays the step; it still has everything the blocks touched."""
    async with chain_on(node.url, timeout_seconds=1) as chain, aclosing(chain.follow(ref(node))) as steps:
        chain.watch([coin(A), coin(B)])
        await anext(steps)
        node.mine({A: 1}, transactions=[transaction(C, A)])
        for _ in range(29):
            node.mine()
        node.fault_on = lambda method: method == "eth_getLogs"
        node.faults.extend([Fault.HTML] * 3)
        step = await anext(steps)
    assert step.dirty == {coin(A)}
    assert step.block.number == node.head.number


async def test_a_wallet_that_gets_code_is_a_contract_from_then_on(node: ScriptedEthereum) -> None:
    """An address called at the block that gave it code is dirty at every later block, without tracing."""
    async with chain_on(node.url, trace=False) as chain, aclosing(chain.follow(ref(node))) as steps:
        chain.watch([coin(A), coin(B)])
        await anext(steps)
        node.codes.add(B.lower())
        node.mine(transactions=[transaction(C, B)])
        await anext(steps)
        node.mine()
        assert (await anext(steps)).dirty == {coin(B)}
