"""What money would not help: said so, with the reason; and hostile contracts, which can't make us ask for anything."""

import asyncio
import time

import pytest

from chains.model import NATIVE
from chains.needs import Limits, Verdict
from tests.integration.ethereum.needs.world import EACH_WAY, FAR, SHOPPER, WALLET, World, tokens_of
from tests.nodes.anvil import COIN

pytestmark = pytest.mark.evm


async def test_a_missing_approval_is_said_beside_the_amounts(world: World) -> None:
    """Without its approval a purchase is no mere want of money; what it will take is still known to the unit."""
    token, shop = await world.at("Token"), await world.at("Shop")
    transaction = await world.call(shop, "buy(address,uint256)", token, 500)
    for ways in EACH_WAY:
        needs = await world.find(transaction, ways=ways)
        assert needs.verdict is Verdict.ALLOWANCE
        assert shop in needs.detail
        assert tokens_of(needs) == {token: 500}
    await world.act(token, "approve(address,uint256)", shop, 499)
    assert (await world.find(transaction)).verdict is Verdict.ALLOWANCE
    await world.act(token, "approve(address,uint256)", shop, 500)
    assert (await world.find(transaction)).verdict is Verdict.FUNDS


async def test_another_reason_is_reported(world: World) -> None:
    """A call that pays too little, or always fails, needs no funds; the contract's words are passed on."""
    shop, relay = await world.at("Shop"), await world.at("Relay")
    for ways in EACH_WAY:
        needs = await world.find(await world.call(shop, "buyWithCoins(uint256)", 3, value=COIN), ways=ways)
        assert needs.verdict is Verdict.REVERTS
        assert "Not enough ether sent" in needs.detail
        assert (await world.find(await world.call(relay, "fail()"), ways=ways)).verdict is Verdict.REVERTS


async def test_a_flagged_holder_is_not_asked_to_pay(world: World) -> None:
    """Flags that share a word with a balance stay: who is barred from paying is not told to top up."""
    token, shop = await world.at("PackedToken"), await world.at("Shop")
    await world.act(token, "approve(address,uint256)", shop, 500)
    await world.act(token, "flag(address)", WALLET)
    for ways in EACH_WAY:
        needs = await world.find(await world.call(shop, "buy(address,uint256)", token, 500), ways=ways)
        assert needs.verdict is Verdict.REVERTS
        assert "blacklisted" in needs.detail


async def test_a_passed_deadline(world: World) -> None:
    """It is told apart by the contract's words, and without any by running it at an earlier time."""
    token, shop, exchange = await world.at("Token"), await world.at("Shop"), await world.at("Exchange")
    head = await world.node.rpc("eth_getBlockByNumber", "latest", False)
    past = int(head["timestamp"], 16) - 60
    for deadline, verdict in ((past, Verdict.DEADLINE), (FAR, Verdict.ALLOWANCE)):
        bought = await world.call(shop, "buyBefore(address,uint256,uint256)", token, 5, deadline)
        swapped = await world.call(exchange, "swapExactIn(address,address,uint256,uint256)", token, token, 5, deadline)
        for ways in EACH_WAY:
            assert (await world.find(bought, ways=ways)).verdict is verdict, ways
            assert (await world.find(swapped, ways=ways)).verdict is verdict, ways


async def test_absurd_amounts_are_refused(world: World) -> None:
    """A token that says it moves 2^255 units makes no need."""
    token = await world.at("AbsurdToken")
    for ways in (("simulate",), ("trace",)):
        needs = await world.find(await world.call(token, "transfer(address,uint256)", SHOPPER, 1), ways=ways)
        assert needs.verdict is Verdict.REVERTS
        assert "absurd" in needs.detail
        assert needs.outflows == ()
    needs = await world.find({"to": SHOPPER, "value": hex(2**200)})
    assert (needs.verdict, needs.outflows) == (Verdict.REVERTS, ())


async def test_a_token_that_never_ends(world: World) -> None:
    """Endless loops in a token end at a bound of gas, of calls and of time."""
    token = await world.at("EndlessToken")
    transaction = await world.call(token, "transfer(address,uint256)", SHOPPER, 1)
    for ways in EACH_WAY:
        began = time.monotonic()
        needs = await world.find(transaction, ways=ways, limits=Limits([NATIVE], most_calls=60, seconds=20))
        assert needs.verdict in (Verdict.REVERTS, Verdict.UNKNOWN)
        assert needs.calls <= 60
        assert time.monotonic() - began < 20


async def test_an_unknown_token_is_reported(world: World) -> None:
    """What is needed of a token that is not of the list is told, and marked as such."""
    token, other = await world.at("Token"), await world.at("Token", "Other")
    needs = await world.find(await world.call(other, "transfer(address,uint256)", SHOPPER, 9), known=[NATIVE, token])
    assert needs.unknown_assets == (other,)
    assert tokens_of(needs) == {other: 9}


async def test_calls_and_time_are_bounded(world: World) -> None:
    """With too few calls or seconds the answer is that it is not known, never a guess."""
    token = await world.at("Token")
    transaction = await world.call(token, "transfer(address,uint256)", SHOPPER, 9)
    full = await world.find(transaction)
    for most in range(1, full.calls + 3):
        needs = await world.find(transaction, limits=Limits([NATIVE, token], most_calls=most))
        assert needs.calls <= most
        assert (needs.verdict is Verdict.UNKNOWN) or (needs.exact and tokens_of(needs) == {token: 9})
    needs = await asyncio.wait_for(world.find(transaction, limits=Limits([NATIVE], seconds=0)), 5)
    assert needs.verdict is Verdict.UNKNOWN
