"""Nodes that can less: the same amounts as long as anything can be run, and honesty where nothing can."""

from typing import Any

import pytest

from chains.errors import Unavailable
from chains.ethereum.needs.memory import Memory
from chains.model import NATIVE
from chains.needs import Verdict
from tests.integration.ethereum.needs.thin_node import ThinNode
from tests.integration.ethereum.needs.world import FAR, SHOPPER, WALLET, World, client, tokens_of, totals_of
from tests.nodes.anvil import COIN

pytestmark = pytest.mark.evm

RICHER = ("eth_simulateV1", "debug_traceCall", "eth_createAccessList", "txpool_contentFrom")


@pytest.mark.parametrize(
    "refused", [(), RICHER[:1], RICHER[:2], RICHER[:3], RICHER, RICHER[1:]], ids=lambda r: str(len(r))
)
async def test_whatever_the_node_has_the_amounts_are_the_same(world: World, refused: tuple[str, ...]) -> None:
    """Methods that a node lacks are done without: a purchase, two tokens and coins, and a swap are exact by any."""
    token, other = await world.at("Token"), await world.at("PackedToken")
    shop, exchange = await world.at("Shop"), await world.at("Exchange")
    for contract in (token, other):
        for spender in (shop, exchange):
            await world.act(contract, "approve(address,uint256)", spender, 2**80)
    zap = await world.call(exchange, "zap(address,uint256,address,uint256)", token, 5, other, 6, value=COIN)
    signature = "swapExactOut(address,address,uint256,uint256,uint256)"
    cases = [
        (await world.call(shop, "buy(address,uint256)", other, 500), {other: 500}),
        (zap, {token: 5, other: 6, NATIVE: COIN}),
        (await world.call(exchange, signature, token, token, 30, 10**9, FAR), {token: 27}),
    ]
    async with ThinNode(world.node.http, set(refused)) as node, client(node.url) as rpc:
        world.rpc = rpc
        for transaction, expected in cases:
            needs = await world.find(transaction)
            assert (needs.verdict, needs.detail, needs.exact) == (Verdict.FUNDS, "", True)
            assert tokens_of(needs) == expected
            await world.prove(transaction, needs)


@pytest.mark.parametrize("overrides", ["refused", "ignored"])
async def test_nothing_can_be_run_in_another_state(world: World, overrides: str) -> None:
    """A plain transfer is read from its calldata, never called exact; of another call nothing is claimed."""
    token, shop = await world.at("Token"), await world.at("Shop")
    async with ThinNode(world.node.http, set(RICHER), overrides) as node, client(node.url) as rpc:
        world.rpc, world.memory = rpc, Memory()
        needs = await world.find(await world.call(token, "transfer(address,uint256)", SHOPPER, 9))
        assert (needs.verdict, needs.exact, needs.method) == (Verdict.FUNDS, False, "decode")
        assert tokens_of(needs) == {token: 9}
        assert NATIVE in totals_of(needs)
        needs = await world.find(await world.call(shop, "buy(address,uint256)", token, 500))
        assert needs.verdict is not Verdict.FUNDS
        assert not needs.exact
        assert not needs.outflows
        await world.give(token, 20)
        await world.give(NATIVE, COIN)
        needs = await world.find(await world.call(token, "transfer(address,uint256)", SHOPPER, 9))
        assert (needs.verdict, needs.exact, tokens_of(needs)) == (Verdict.FUNDS, False, {token: 9})


async def test_coins_alone_need_no_such_node(world: World) -> None:
    """Coins to an account without code are exact by the protocol's own rule on any node."""
    async with ThinNode(world.node.http, set(RICHER), "refused") as node, client(node.url) as rpc:
        world.rpc = rpc
        transaction = {"to": SHOPPER, "value": hex(COIN)}
        needs = await world.find(transaction)
        assert (needs.exact, needs.method) == (True, "decode")
        await world.prove(transaction, needs)


async def test_a_node_that_lies_about_what_it_ran(world: World) -> None:
    """Answers of another form than was asked for are the node's fault: not known, never an amount."""
    token = await world.at("Token")
    transaction = await world.call(token, "transfer(address,uint256)", SHOPPER, 9)
    lies: list[Any] = [[], {}, None, "0x", [{"calls": []}], [{"calls": [{"status": "0x1"}] * 3}]]
    for answer in lies:
        lying = ThinNode(world.node.http, {"debug_traceCall"}, fixed={"eth_simulateV1": answer})
        async with lying as node, client(node.url) as rpc:
            world.rpc, world.memory = rpc, Memory()
            with pytest.raises(Unavailable):
                await world.find(transaction, ways=("simulate",), sender=WALLET)
