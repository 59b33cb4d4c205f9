"""Contracts that lie: whatever they answer, no amount is claimed exact that is not, and the bounds hold."""

import time

import pytest

from chains.ethereum.needs.memory import Memory
from chains.ethereum.needs.words import BALANCE_OF
from chains.model import NATIVE
from chains.needs import Limits, Verdict
from tests.integration.ethereum.needs.world import EACH_WAY, SHOPPER, World, tokens_of, totals_of
from tests.nodes.anvil import COIN

pytestmark = pytest.mark.evm

MOST = 10**24


async def test_a_token_of_many_moods(world: World) -> None:
    """A token whose balance is another at each look, and whose events lie, is never exact, and stays in bounds."""
    token = await world.at("MoodyToken")
    transaction = await world.call(token, "transfer(address,uint256)", SHOPPER, 7)
    for ways in EACH_WAY:
        limits = Limits([NATIVE, token], most_calls=150, most_units=MOST)
        needs = await world.find(transaction, ways=ways, limits=limits)
        assert needs.calls <= 150
        assert not (needs.exact and token in tokens_of(needs)), ways
        assert all(amount <= MOST for amount in totals_of(needs).values())


@pytest.mark.parametrize("lie", [2**129, 2**200, 2**255])
async def test_more_than_anybody_has(world: World, lie: int) -> None:
    """An event of an absurd amount makes no need, by any way that reads events."""
    token = await world.at("MoodyToken")
    transaction = await world.call(token, "transfer(address,uint256)", SHOPPER, lie // 1000)
    for ways in (("simulate",), ("trace",)):
        needs = await world.find(transaction, ways=ways)
        assert needs.verdict is Verdict.REVERTS
        assert "absurd" in needs.detail
        assert needs.outflows == ()


async def test_a_crowd_of_tokens(world: World) -> None:
    """A call that touches hundreds of contracts costs no more calls than allowed, and what is left out isn't exact."""
    token = await world.at("CrowdToken")
    transaction = await world.call(token, "transfer(address,uint256)", SHOPPER, 7)
    for ways in EACH_WAY:
        began = time.monotonic()
        needs = await world.find(transaction, ways=ways, limits=Limits([NATIVE, token], most_calls=200, seconds=10))
        assert needs.calls <= 200
        assert time.monotonic() - began < 10
        assert needs.verdict in (Verdict.FUNDS, Verdict.UNKNOWN)


async def test_a_place_that_does_not_prove(world: World) -> None:
    """A token that answers otherwise once it is given plenty is run without it, and its layout is not remembered."""
    token = await world.at("ShyToken")
    transaction = await world.call(token, "transfer(address,uint256)", SHOPPER, 7)
    for ways in EACH_WAY:
        memory = Memory()
        needs = await world.find(transaction, ways=ways, memory=memory)
        assert needs.verdict is not Verdict.FUNDS, ways
        assert not needs.exact
        assert not tokens_of(needs)
        assert memory.layout(token.lower(), BALANCE_OF) is None


@pytest.mark.parametrize(
    "code",
    [
        "0x5b5f56",
        "0x5b60ff60ff60ff60ff60ff305af15f56",
        "0xfe",
        "0x60ff5ff3",
        "0x62ffffff5ff3",
        "0x62ffffff5ffd",
        "0x00",
    ],
    ids=["loop", "recursion", "invalid", "short answer", "long answer", "long revert", "nothing"],
)
async def test_odd_code(world: World, code: str) -> None:
    """Code that loops, calls itself, answers too little or too much ends with a verdict, in bounds."""
    odd = "0x00000000000000000000000000000000000Dead1"
    await world.node.rpc("anvil_setCode", odd, code)
    transaction = await world.call(odd, "transfer(address,uint256)", SHOPPER, 7)
    for ways in EACH_WAY:
        began = time.monotonic()
        needs = await world.find(transaction, ways=ways, limits=Limits([NATIVE, odd], most_calls=100, seconds=15))
        assert time.monotonic() - began < 16
        assert needs.calls <= 100
        assert not tokens_of(needs).get(odd)


@pytest.mark.parametrize("step", ["5f5fa0", "5f5f5f5f5f60ff5ff150"], ids=["events", "calls"])
async def test_a_flood(world: World, step: str) -> None:
    """A call that floods its trace with events or calls, tens of thousands, ends in time without a claim."""
    flood = "0x00000000000000000000000000000000000Dead2"
    await world.node.rpc("anvil_setCode", flood, f"0x5b{step}5a61ffff105f5700")
    transaction = await world.call(flood, "transfer(address,uint256)", SHOPPER, 7)
    transaction["gas"] = hex(3_000_000)
    for ways in EACH_WAY:
        began = time.monotonic()
        needs = await world.find(transaction, ways=ways, limits=Limits([NATIVE, flood], most_calls=100, seconds=2))
        assert time.monotonic() - began < 4
        assert needs.verdict in (Verdict.FUNDS, Verdict.UNKNOWN)
        assert not tokens_of(needs)


async def test_an_absurd_gas_limit(world: World) -> None:
    """A chosen gas limit that costs more than anybody has makes no need."""
    needs = await world.find({"to": SHOPPER, "value": hex(COIN), "gas": hex(2**63), "gasPrice": hex(2**100)})
    assert (needs.verdict, needs.outflows) == (Verdict.REVERTS, ())


async def test_an_oracle_of_absurd_fees(world: World) -> None:
    """Code at the address of the layer 1 oracle, which answers with all ones, makes no need."""
    await world.node.rpc("anvil_setCode", "0x420000000000000000000000000000000000000F", "0x5f195f5260205ff3")
    needs = await world.find({"to": SHOPPER, "value": hex(COIN)})
    assert (needs.verdict, needs.outflows) == (Verdict.REVERTS, ())


async def test_a_token_without_code(world: World) -> None:
    """A purchase by a token that is no contract fails whatever is there."""
    shop = await world.at("Shop")
    for ways in EACH_WAY:
        needs = await world.find(await world.call(shop, "buy(address,uint256)", SHOPPER, 5), ways=ways)
        assert needs.verdict is Verdict.REVERTS, ways
