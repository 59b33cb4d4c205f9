"""Slots far ahead: one bad answer blinds nobody, and a cluster that really is so far on is followed."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from chains.model import BlockRef
from tests.contract.chain_contract import step_where
from tests.integration.solana.conftest import chain_on, coin
from tests.nodes.scripted_solana import Fault, ScriptedSolana, new_address

WALLET = coin(new_address())
FAR = 10**9
QUICK: dict[str, Any] = {"poll_seconds": 0.02, "tick_seconds": 0.02, "stale_seconds": 2.0}


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedSolana]:
    async with ScriptedSolana() as made:
        made.hold(WALLET.address, 5_000_000)
        yield made


@pytest.fixture
async def second() -> AsyncIterator[ScriptedSolana]:
    async with ScriptedSolana() as made:
        made.hold(WALLET.address, 5_000_000)
        yield made


async def test_one_absurd_head_is_not_believed(scripted: ScriptedSolana) -> None:
    """The steps go on at the true slot after a single endpoint has once told one far ahead, and none has that slot."""
    async with chain_on(scripted.url, **QUICK) as chain, aclosing(chain.follow(None)) as steps:
        first = await anext(steps)
        scripted.slips.append(FAR)
        seen = [await anext(steps) for _ in range(5)]
    assert not scripted.slips
    assert all(first.block.number < step.block.number < FAR for step in seen)


async def test_the_first_answer_of_all_may_be_absurd(scripted: ScriptedSolana) -> None:
    """Before any slot is known one is asked for twice: the first step has the true one."""
    scripted.slips.append(FAR)
    async with chain_on(scripted.url, **QUICK) as chain, aclosing(chain.follow(None)) as steps:
        assert (await anext(steps)).block.number < FAR


async def test_one_absurd_read_is_not_believed(scripted: ScriptedSolana) -> None:
    """Accounts told of a slot far ahead are read again, and later reads are believed at the true slot."""
    async with chain_on(scripted.url) as chain:
        at = (await chain.balances([WALLET], BlockRef(0, None)))[0].at
        scripted.slips.append(FAR)
        for _ in range(2):
            found = (await chain.balances([WALLET], at))[0]
            assert (found.amount, found.at.number) == (5_000_000, scripted.slot)
        assert not scripted.slips


async def test_a_liar_beside_an_honest_endpoint(scripted: ScriptedSolana, second: ScriptedSolana) -> None:
    """An endpoint that goes on telling a slot far ahead is not believed while another one contradicts it."""
    async with chain_on(scripted.url, second.url, **QUICK) as chain, aclosing(chain.follow(None)) as steps:
        await anext(steps)
        scripted.slot += FAR
        seen = [await anext(steps) for _ in range(5)]
        assert (await chain.balances([WALLET], seen[-1].block))[0].at.number < FAR
    assert all(step.block.number < FAR for step in seen)


async def test_a_second_endpoint_confirms(scripted: ScriptedSolana, second: ScriptedSolana) -> None:
    """A slot far ahead that two endpoints tell is believed at once."""
    async with chain_on(scripted.url, second.url, **QUICK) as chain, aclosing(chain.follow(None)) as steps:
        await anext(steps)
        scripted.slot += FAR
        second.slot += FAR
        await step_where(steps, lambda step: step.block.number > FAR, limit=3)


async def test_two_are_believed_against_a_third(scripted: ScriptedSolana, second: ScriptedSolana) -> None:
    """A slot far ahead that two endpoints tell is believed, though a third one is behind."""
    async with (
        ScriptedSolana() as third,
        chain_on(scripted.url, second.url, third.url, **QUICK) as chain,
        aclosing(chain.follow(None)) as steps,
    ):
        await anext(steps)
        scripted.slot += FAR
        second.slot += FAR
        await step_where(steps, lambda step: step.block.number > FAR, limit=3)


async def test_a_cluster_that_went_on_is_followed(scripted: ScriptedSolana, second: ScriptedSolana) -> None:
    """After a long sleep of the machine a single endpoint, the other one being down, is believed: it says so twice."""
    async with chain_on(scripted.url, second.url, **QUICK) as chain, aclosing(chain.follow(None)) as steps:
        await anext(steps)
        second.always = Fault.UNAVAILABLE
        scripted.slot += FAR
        await step_where(steps, lambda step: step.block.number > FAR, limit=3)
        scripted.slot += FAR
        assert (await chain.balances([WALLET], BlockRef(0, None)))[0].at.number > 2 * FAR
