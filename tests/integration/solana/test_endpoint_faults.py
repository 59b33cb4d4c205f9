"""Endpoints that fail, lie or lag: unknown is never zero, and a good endpoint beside a bad one is enough."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from structlog.testing import capture_logs

from chains.errors import ChainError, Unavailable, WrongNetwork
from chains.model import BlockRef
from tests.contract.chain_contract import step_where
from tests.integration.solana.conftest import chain_on, coin
from tests.nodes.scripted_solana import GENESIS, Fault, ScriptedSolana, new_address

WALLET = coin(new_address())
NOW = BlockRef(1000, None)
BAD_ANSWERS = [fault for fault in Fault if fault is not Fault.BAD_BASE64]


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


@pytest.mark.parametrize("fault", list(Fault))
async def test_a_fault_is_never_a_balance(scripted: ScriptedSolana, fault: Fault) -> None:
    """When the only endpoint fails, reading raises `Unavailable`."""
    async with chain_on(scripted.url, genesis_hash=GENESIS) as chain:
        scripted.always = fault
        with pytest.raises(Unavailable):
            await chain.balances([WALLET], NOW)


@pytest.mark.parametrize("fault", BAD_ANSWERS)
async def test_another_endpoint_is_asked(scripted: ScriptedSolana, second: ScriptedSolana, fault: Fault) -> None:
    """A failing first endpoint costs nothing when the second one answers."""
    async with chain_on(scripted.url, second.url, genesis_hash=GENESIS) as chain:
        scripted.always = fault
        balances = await chain.balances([WALLET], NOW)
    assert balances[0].amount == 5_000_000


async def test_a_lower_slot_is_not_believed(scripted: ScriptedSolana) -> None:
    """An answer from before what was seen is not taken, and waited out when it passes."""
    async with chain_on(scripted.url) as chain:
        assert (await chain.balances([WALLET], BlockRef(0, None)))[0].amount == 5_000_000
        scripted.faults.extend([Fault.LOWER_SLOT] * 2)
        balances = await chain.balances([WALLET], BlockRef(0, None))
        assert balances[0].at.number == scripted.slot
        assert not scripted.faults
        scripted.slot -= 500
        with pytest.raises(Unavailable, match="slot"):
            await chain.balances([WALLET], BlockRef(0, None))


async def test_a_lagging_endpoint_gives_no_steps(scripted: ScriptedSolana, second: ScriptedSolana) -> None:
    """Of two endpoints one lags far behind: no step has its slot, whichever is asked."""
    second.slot = scripted.slot - 300
    async with chain_on(second.url, scripted.url, poll_seconds=0.02, tick_seconds=0.02) as chain:
        await chain.balances([WALLET], BlockRef(1000, None))
        seen = []
        async with aclosing(chain.follow(None)) as steps:
            async for step in steps:
                seen.append(step.block.number)
                if len(seen) == 5:
                    break
    assert min(seen) >= 1000
    assert seen == sorted(seen)


async def test_a_silent_chain_becomes_stale(scripted: ScriptedSolana) -> None:
    """No readable slot for longer than the patience ends the following with `Unavailable`."""
    async with (
        chain_on(scripted.url, stale_seconds=0.5, poll_seconds=0.05) as chain,
        aclosing(chain.follow(None)) as steps,
    ):
        await anext(steps)
        scripted.always = Fault.UNAVAILABLE
        with pytest.raises(Unavailable):
            await step_where(steps, lambda _: False)


async def test_a_standing_slot_is_stale(scripted: ScriptedSolana) -> None:
    """A node that says the same slot for ever is as good as none."""
    async with (
        chain_on(scripted.url, stale_seconds=0.5, poll_seconds=0.05) as chain,
        aclosing(chain.follow(None)) as steps,
    ):
        await anext(steps)
        scripted.frozen = True
        with pytest.raises(Unavailable, match="has not moved"):
            await step_where(steps, lambda _: False)


async def test_a_standing_endpoint_is_left(scripted: ScriptedSolana, second: ScriptedSolana) -> None:
    """When the first endpoint's slot stands, the second one is followed."""
    second.slot = 2000
    async with (
        chain_on(scripted.url, second.url, stale_seconds=1.0, poll_seconds=0.05, tick_seconds=0.05) as chain,
        aclosing(chain.follow(None)) as steps,
    ):
        await anext(steps)
        scripted.frozen = True
        await step_where(steps, lambda step: step.block.number > 2000)


async def test_the_wrong_network_is_quarantined(scripted: ScriptedSolana, second: ScriptedSolana) -> None:
    """An endpoint with another genesis hash is never read from; with no other there is `WrongNetwork`."""
    scripted.genesis = "4uhcVJyU9pJkvQyS88uRDiswHXSCkY3zQawwpjk2NsNY"
    scripted.hold(WALLET.address, 1)
    async with chain_on(scripted.url, second.url, genesis_hash=GENESIS) as chain:
        await chain.check()
        assert (await chain.balances([WALLET], NOW))[0].amount == 5_000_000
        assert set(scripted.asked) == {"getGenesisHash"}
    async with chain_on(scripted.url, genesis_hash=GENESIS) as chain:
        with pytest.raises(WrongNetwork):
            await chain.check()
        with pytest.raises(WrongNetwork):
            await chain.balances([WALLET], NOW)


async def test_a_dead_endpoint_is_unavailable() -> None:
    """With nobody listening, checking raises `Unavailable`, also where any genesis hash is believed."""
    async with chain_on("http://127.0.0.1:9/") as chain:
        with pytest.raises(Unavailable):
            await chain.check()


async def test_many_accounts_are_read_in_hundreds(scripted: ScriptedSolana) -> None:
    """Two hundred and fifty holdings are three requests, and come in order."""
    holdings = [coin(new_address()) for _ in range(250)]
    for number, holding in enumerate(holdings):
        scripted.hold(holding.address, number + 1)
    async with chain_on(scripted.url) as chain:
        balances = await chain.balances(holdings, NOW)
    assert [balance.amount for balance in balances] == list(range(1, 251))
    assert scripted.asked.count("getMultipleAccounts") == 3


async def test_no_key_is_told(scripted: ScriptedSolana) -> None:
    """Neither errors nor logs hold the key in an endpoint's URL."""
    scripted.always = Fault.DROPPED
    with capture_logs() as logs:
        async with chain_on(scripted.url, ws=("ws://127.0.0.1:9/?api-key=secret",), stale_seconds=0.3) as chain:
            chain.watch([WALLET])
            with pytest.raises(ChainError) as error:
                async with aclosing(chain.follow(None)) as steps:
                    await anext(steps)
    assert "secret" not in f"{error.value!r}{logs}"
    assert logs
