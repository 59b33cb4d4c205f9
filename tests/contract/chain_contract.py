"""What every `Chain` must do, whatever the network. A test module takes it over by subclassing `ChainContract`.

The subclass's module has an async fixture `bench` that gives a `Bench`: an open chain on a real local node.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Protocol, TypeVar

from chains.chain import Chain
from chains.errors import Unavailable
from chains.model import BlockRef, Holding, Step

T = TypeVar("T")


class Bench(Protocol):
    """A chain, a holding on it, and somebody who moves real coins."""

    chain: Chain
    holding: Holding
    """Of the network's own coin, with some of it."""
    other: Holding
    """Another one, with some of it."""

    async def fund(self, address: str, amount: int) -> str:
        """Send base units of the coin to an address; the transaction's id, once it is in a block."""

    async def spend(self, amount: int) -> str:
        """Send base units away from `holding`."""

    async def truth(self, holding: Holding) -> int:
        """The balance by the node's plainest call."""

    def reopen(self) -> Chain:
        """A second, closed chain with the same settings."""


async def step_where(
    steps: AsyncIterator[Step], holds: Callable[[Step], bool], *, limit: int = 200, what: str = "a step"
) -> Step:
    """The first step for which something holds."""
    for _ in range(limit):
        step = await anext(steps)
        if holds(step):
            return step
    raise AssertionError(f"{what} did not come within {limit} steps")


async def poll(ask: Callable[[], Awaitable[T | None]], *, seconds: float = 20) -> T:
    """What `ask` gives once it gives something; a chain that is too young counts as nothing yet."""
    deadline = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < deadline:
        with suppress(Unavailable):
            found = await ask()
            if found is not None:
                return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"nothing within {seconds} s")


async def first_block(chain: Chain, holding: Holding) -> BlockRef:
    """Take the first step that has the holding, and hand its block over."""
    async with aclosing(chain.follow(None)) as steps:
        return (await step_where(steps, lambda step: holding in step.dirty)).block


class ChainContract:
    """The promises of `chains.chain.Chain`."""

    async def test_checks_its_network(self, bench: Bench) -> None:
        """A chain accepts the network it was made for."""
        await bench.chain.check()
        assert bench.chain.network == bench.holding.network

    async def test_watched_is_dirty_at_once(self, bench: Bench) -> None:
        """A holding is dirty in the first step after `watch`, also when nothing happens on chain."""
        bench.chain.watch([bench.holding])
        async with aclosing(bench.chain.follow(None)) as steps:
            step = await step_where(steps, lambda step: bench.holding in step.dirty)
            bench.chain.watch([bench.other])
            step = await step_where(steps, lambda step: bench.other in step.dirty)
        assert step.block.number >= 0

    async def test_reads_true_balances(self, bench: Bench) -> None:
        """Balances come in the order asked, and are the node's own."""
        bench.chain.watch([bench.holding, bench.other])
        block = await first_block(bench.chain, bench.holding)
        asked = [bench.other, bench.holding]
        balances = await bench.chain.balances(asked, block)
        assert [balance.holding for balance in balances] == asked
        assert [balance.amount for balance in balances] == [await bench.truth(holding) for holding in asked]

    async def test_sees_funds_arrive(self, bench: Bench) -> None:
        """A payment makes the holding dirty, and its balance at that step has grown by the amount."""
        bench.chain.watch([bench.holding])
        async with aclosing(bench.chain.follow(None)) as steps:
            first = await step_where(steps, lambda step: bench.holding in step.dirty)
            before = (await bench.chain.balances([bench.holding], first.block))[0].amount
            await bench.fund(bench.holding.address, 12_345_678)

            grown = before + 12_345_678
            async for step in steps:
                if bench.holding in step.dirty:
                    balance = (await bench.chain.balances([bench.holding], step.block))[0]
                    if balance.amount == grown:
                        return
        raise AssertionError("unreachable: a chain is followed for ever")

    async def test_sees_funds_leave(self, bench: Bench) -> None:
        """A spend makes the holding dirty, and its balance at that step is the node's own."""
        bench.chain.watch([bench.holding])
        async with aclosing(bench.chain.follow(None)) as steps:
            first = await step_where(steps, lambda step: bench.holding in step.dirty)
            before = (await bench.chain.balances([bench.holding], first.block))[0].amount
            await bench.spend(54_321)
            async for step in steps:
                if bench.holding in step.dirty:
                    balance = (await bench.chain.balances([bench.holding], step.block))[0]
                    if balance.amount <= before - 54_321:
                        assert balance.amount == await bench.truth(bench.holding)
                        return

    async def test_an_abandoned_step_comes_again(self, bench: Bench) -> None:
        """Holdings of a step whose successor was never asked for are dirty again."""
        bench.chain.watch([bench.holding])
        async with aclosing(bench.chain.follow(None)) as steps:
            step = await step_where(steps, lambda step: bench.holding in step.dirty)
        async with aclosing(bench.chain.follow(step.block)) as steps:
            again = await anext(steps)
        assert bench.holding in again.dirty

    async def test_a_stored_cursor_is_followed(self, bench: Bench) -> None:
        """What happened while nobody followed is dirty after a start with the stored cursor."""
        bench.chain.watch([bench.holding])
        block = await first_block(bench.chain, bench.holding)
        await bench.fund(bench.holding.address, 1_000_000)
        async with bench.reopen() as chain:
            chain.watch([bench.holding])
            async with aclosing(chain.follow(block)) as steps:
                step = await step_where(steps, lambda step: bench.holding in step.dirty)
                balance = (await chain.balances([bench.holding], step.block))[0]
        assert step.block.number >= block.number
        assert balance.amount == await bench.truth(bench.holding)

    async def test_unwatched_is_never_dirty(self, bench: Bench) -> None:
        """After `unwatch`, changes of a holding are nobody's business."""
        bench.chain.watch([bench.holding, bench.other])
        async with aclosing(bench.chain.follow(None)) as steps:
            await step_where(steps, lambda step: bench.holding in step.dirty)
            bench.chain.unwatch([bench.holding])
            await bench.fund(bench.holding.address, 1_000)
            await bench.fund(bench.other.address, 1_000)
            step = await step_where(steps, lambda step: bench.other in step.dirty)
        assert bench.holding not in step.dirty

    async def test_finds_what_a_transaction_brought(self, bench: Bench) -> None:
        """A receipt names the amount that arrived; a transaction to somebody else brought nothing."""
        transaction = await bench.fund(bench.holding.address, 7_654_321)
        receipt = await poll(lambda: bench.chain.find_receipt(transaction, bench.holding))
        assert receipt.amount == 7_654_321
        assert await bench.chain.find_receipt(transaction, bench.other) is None

    async def test_settled_balances_are_the_truth_once_settled(self, bench: Bench) -> None:
        """At the closing depth of a local network the balances are those of the node."""
        await bench.fund(bench.holding.address, 5)
        truth = await bench.truth(bench.holding)

        async def at_depth() -> bool | None:
            balances = await bench.chain.settled_balances([bench.holding])
            return balances[0].amount == truth or None

        assert await poll(at_depth)

    async def test_costs_something(self, bench: Bench) -> None:
        """A typical transaction costs a positive number of base units."""
        assert (await bench.chain.fee()).cost(65_000) > 0
