"""Websockets that are silent, refuse, close or say nonsense: nothing that changed is missed for it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from chains.model import Holding, Step
from chains.solana.adapter import SolanaChain
from tests.contract.chain_contract import step_where
from tests.integration.solana.conftest import chain_on, coin
from tests.nodes.scripted_solana import ScriptedSolana, new_address

WALLETS = tuple(coin(new_address()) for _ in range(5))


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedSolana]:
    async with ScriptedSolana() as made:
        for wallet in WALLETS:
            made.hold(wallet.address, 5_000_000)
        yield made


async def until(holds: Callable[[], object]) -> None:
    """Poll until something holds."""
    for _ in range(500):
        if holds():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not hold within 10 s")


@asynccontextmanager
async def followed(
    node: ScriptedSolana, watched: Collection[Holding] = WALLETS, **settings: Any
) -> AsyncIterator[tuple[SolanaChain, AsyncGenerator[Step, None]]]:
    """A chain that watches, and its steps, of which the first was taken."""
    chain = chain_on(node.url, ws=(node.ws_url,), poll_seconds=0.1, tick_seconds=0.1, **settings)
    chain.watch(watched)
    async with chain, aclosing(chain.follow(None)) as steps:
        await anext(steps)
        yield chain, steps


async def subscribed(node: ScriptedSolana, steps: AsyncIterator[Step], count: int = len(WALLETS)) -> None:
    """Take steps until so many accounts are subscribed, and a step has nothing dirty any more."""
    await step_where(steps, lambda step: len(node.subscribed) == count and not step.dirty)


async def test_a_notified_account_alone_is_dirty(scripted: ScriptedSolana) -> None:
    """A notification makes its holding dirty, and no other."""
    async with followed(scripted) as (_, steps):
        await subscribed(scripted, steps)
        await scripted.notify(WALLETS[2].address)
        step = await step_where(steps, lambda step: bool(step.dirty))
    assert step.dirty == {WALLETS[2]}
    assert not step.gap


async def test_a_frozen_slot_is_a_change_too(scripted: ScriptedSolana) -> None:
    """A notification from an older slot than was read is in doubt, not dropped: some nodes freeze that slot."""
    async with followed(scripted) as (_, steps):
        await subscribed(scripted, steps)
        await scripted.notify(WALLETS[0].address, slot=1)
        step = await step_where(steps, lambda step: bool(step.dirty))
    assert step.dirty == {WALLETS[0]}


async def test_a_hint_ahead_waits_for_its_slot(scripted: ScriptedSolana) -> None:
    """A change told of slot N is read at N or later, though the HTTP endpoint is not there yet."""
    async with followed(scripted) as (_, steps):
        await subscribed(scripted, steps)
        ahead = scripted.slot + 10
        await scripted.notify(WALLETS[0].address, slot=ahead)
        step = await step_where(steps, lambda step: bool(step.dirty))
    assert step.block.number >= ahead


async def test_a_closed_socket_means_a_full_resync(scripted: ScriptedSolana) -> None:
    """After a reconnection everything is subscribed again, and every holding dirty in a step with a gap."""
    async with followed(scripted) as (_, steps):
        await subscribed(scripted, steps)
        await scripted.drop_sockets()
        step = await step_where(steps, lambda step: step.gap)
        assert scripted.subscribed.keys() == {wallet.address for wallet in WALLETS}
        assert step.dirty == set(WALLETS)


async def test_while_nobody_tells_holdings_are_read(scripted: ScriptedSolana) -> None:
    """As long as no subscription stands, each poll has the holdings dirty."""
    scripted.acknowledges = False
    async with followed(scripted) as (_, steps):
        for _ in range(3):
            await step_where(steps, lambda step: step.dirty == set(WALLETS), limit=5)


async def test_an_unanswered_subscribe_is_a_dead_connection(scripted: ScriptedSolana) -> None:
    """A subscription that is never acknowledged makes a new connection, which then works."""
    scripted.acknowledges = False
    async with followed(scripted, ack_seconds=0.3) as (_, steps):
        await until(lambda: scripted.connections >= 2)
        scripted.acknowledges = True
        await subscribed(scripted, steps)


async def test_a_subscription_that_stands_is_read_once_more(scripted: ScriptedSolana) -> None:
    """What changed between the first read and the acknowledgement is seen: the holding is dirty again after it."""
    scripted.acknowledges = False
    chain = chain_on(scripted.url, ws=(scripted.ws_url,), ack_seconds=0.5, poll_seconds=4.0, tick_seconds=60.0)
    chain.watch(WALLETS[:1])
    async with chain, aclosing(chain.follow(None)) as steps:
        await step_where(steps, lambda step: bool(step.dirty))
        scripted.acknowledges = True
        await until(lambda: scripted.subscribed)
        step = await asyncio.wait_for(anext(steps), 1.0)  # sooner than the next poll
    assert step.dirty == set(WALLETS[:1])
    assert not step.gap


async def test_a_silent_socket_is_a_dead_connection(scripted: ScriptedSolana) -> None:
    """An open socket that tells no slots any more is left for a new one, and everything resynced."""
    async with followed(scripted, silence_seconds=0.5) as (_, steps):
        await subscribed(scripted, steps)
        scripted.tells_slots = False
        await until(lambda: scripted.connections >= 2)
        scripted.tells_slots = True
        await step_where(steps, lambda step: step.gap)


@pytest.mark.parametrize("text", ["", "[]", "nonsense", '{"id": 77, "result": 1}', '{"params": {}, "method": "x"}'])
async def test_nonsense_does_no_harm(scripted: ScriptedSolana, text: str) -> None:
    """After a frame that makes no sense, changes are seen as before."""
    async with followed(scripted) as (_, steps):
        await subscribed(scripted, steps)
        await scripted.say(text)
        await subscribed(scripted, steps)
        await until(lambda: WALLETS[1].address in scripted.subscribed)
        await scripted.notify(WALLETS[1].address)
        await step_where(steps, lambda step: WALLETS[1] in step.dirty)


async def test_a_refused_account_is_read_instead(scripted: ScriptedSolana) -> None:
    """An account that the node will not subscribe is read at each poll; the others are not."""
    scripted.refuses = {WALLETS[3].address}
    async with followed(scripted) as (_, steps):
        for _ in range(3):
            await step_where(steps, lambda step: step.dirty == {WALLETS[3]})


async def test_watching_follows_at_once(scripted: ScriptedSolana) -> None:
    """A holding added while following is subscribed; one removed is unsubscribed."""
    async with followed(scripted, WALLETS[:2]) as (chain, steps):
        await subscribed(scripted, steps, 2)
        chain.watch(WALLETS[2:3])
        await step_where(steps, lambda step: WALLETS[2] in step.dirty, limit=3)
        await subscribed(scripted, steps, 3)
        chain.unwatch(WALLETS[:1])
        await until(lambda: WALLETS[0].address not in scripted.subscribed)
        chain.watch(WALLETS[:1])
        await subscribed(scripted, steps, 3)


async def test_removed_and_added_at_once_stays_subscribed(scripted: ScriptedSolana) -> None:
    """A holding unwatched and watched again in one breath ends up subscribed."""
    async with followed(scripted) as (chain, steps):
        await subscribed(scripted, steps)
        chain.unwatch(WALLETS)
        chain.watch(WALLETS)
        await subscribed(scripted, steps)
        await scripted.notify(WALLETS[4].address)
        await step_where(steps, lambda step: WALLETS[4] in step.dirty)


async def test_subscriptions_are_spread_over_connections(scripted: ScriptedSolana) -> None:
    """No connection has more subscriptions than allowed, and every account is on one."""
    async with followed(scripted, subscriptions_per_connection=2) as (_, steps):
        await subscribed(scripted, steps)
        assert scripted.connections == 3


async def test_an_abandoned_change_comes_again(scripted: ScriptedSolana) -> None:
    """The dirty holdings of a step that was not taken to its end, and no others, are dirty in the next one."""
    async with followed(scripted) as (chain, steps):
        await subscribed(scripted, steps)
        await scripted.notify(WALLETS[0].address)
        step = await step_where(steps, lambda step: bool(step.dirty))
        await steps.aclose()
        async with aclosing(chain.follow(step.block)) as again:
            step = await anext(again)
    assert step.dirty == {WALLETS[0]}
    assert not step.gap


async def test_an_abandoned_gap_comes_again(scripted: ScriptedSolana) -> None:
    """A gap whose step was not taken to its end is told again."""
    async with followed(scripted) as (chain, steps):
        await subscribed(scripted, steps)
        await scripted.drop_sockets()
        step = await step_where(steps, lambda step: step.gap)
        await steps.aclose()
        async with aclosing(chain.follow(step.block)) as again:
            step = await anext(again)
    assert step.gap
    assert step.dirty == set(WALLETS)


async def test_the_slice_rotates(scripted: ScriptedSolana) -> None:
    """Within as many ticks as it takes, the slices have had every holding."""
    async with followed(scripted, slice_size=2) as (_, steps):
        await step_where(steps, lambda step: len(scripted.subscribed) == 5 and len(step.dirty) <= 2)
        seen: set[Holding] = set()
        for _ in range(5):
            step = await anext(steps)
            assert len(step.dirty) <= 2
            seen |= step.dirty
    assert seen == set(WALLETS)


async def test_what_a_connection_takes_is_learned(scripted: ScriptedSolana) -> None:
    """A node that takes two a connection is given a connection for every two, and none is asked for more again."""
    scripted.most_per_socket = 2
    async with followed(scripted, WALLETS) as (_, steps):
        await subscribed(scripted, steps)
        assert scripted.connections == 3
        await scripted.drop_sockets()
        refused = scripted.refused
        await subscribed(scripted, steps)
        assert scripted.refused == refused
        await scripted.notify(WALLETS[4].address)
        await step_where(steps, lambda step: WALLETS[4] in step.dirty)
