"""`Chain.find_needs` of the Ethereum adapter: what it depends on, who pays, its bounds, and what is no transaction."""

import pytest

from chains.errors import Unavailable
from chains.ethereum.needs.words import checksummed
from chains.model import NATIVE
from chains.needs import BadTransaction, Limits, Verdict
from tests.integration.ethereum.conftest import chain_on, token_asset
from tests.integration.ethereum.needs.thin_node import ThinNode
from tests.integration.ethereum.needs.world import SHOPPER, WALLET, World, tokens_of, totals_of
from tests.nodes.anvil import COIN

pytestmark = pytest.mark.evm


async def test_it_says_what_it_depends_on(world: World) -> None:
    """Every contract on its path, the token, its target and its sender: a block that touches one may change it."""
    token, shop, relay = await world.at("Token"), await world.at("Shop"), await world.at("Relay")
    await world.act(token, "approve(address,uint256)", shop, 500)
    async with chain_on(world.node.http, assets=(token_asset(token),)) as chain:
        needs = await chain.find_needs(
            WALLET, await world.call(shop, "buy(address,uint256)", token, 500), Limits([NATIVE, token])
        )
        head = await world.node.rpc("eth_getBlockByNumber", "latest", False)
        assert (needs.at.number, needs.at.hash) == (int(head["number"], 16), head["hash"])
        assert tokens_of(needs) == {token: 500}
        assert needs.reads >= {checksummed(WALLET), token, shop}
        assert needs.exact
        inner = bytes.fromhex((await world.call(shop, "count()"))["data"][2:])
        needs = await chain.find_needs(
            WALLET, await world.call(relay, "forward(address,bytes)", shop, inner), Limits([NATIVE, token])
        )
        assert needs.reads >= {checksummed(WALLET), relay, shop}
        assert token not in needs.reads


async def test_the_price_is_a_careful_wallets(world: World) -> None:
    """Gas without a price of its own is reckoned at the price that `fee` answers."""
    async with chain_on(world.node.http) as chain:
        needs = await chain.find_needs(WALLET, {"to": SHOPPER, "value": hex(COIN)}, Limits([NATIVE]))
        fee = await chain.fee()
    assert totals_of(needs) == {NATIVE: COIN + 21_000 * fee.price}


async def test_who_pays_is_the_callers_word(world: World) -> None:
    """The wallet pays for gas, unless the caller says that another does."""
    async with chain_on(world.node.http) as chain:
        limits, transaction = Limits([NATIVE]), {"to": SHOPPER, "value": hex(COIN)}
        theirs = await chain.find_needs(WALLET, transaction, limits, pays_gas=False)
        own = await chain.find_needs(WALLET, transaction, limits)
    assert totals_of(theirs) == {NATIVE: COIN}
    assert totals_of(own)[NATIVE] > COIN


async def test_it_learns_layouts(world: World) -> None:
    """The second look at a token costs fewer node calls than the first, and comes to the same."""
    token = await world.at("Token")
    transaction = await world.call(token, "transfer(address,uint256)", SHOPPER, 9)
    async with chain_on(world.node.http) as chain:
        first = await chain.find_needs(WALLET, transaction, Limits([NATIVE, token]))
        second = await chain.find_needs(WALLET, transaction, Limits([NATIVE, token]))
    assert second.calls < first.calls
    assert second.outflows == first.outflows


async def test_its_bounds(world: World) -> None:
    """Too few calls or too little time is `unknown`, also on a slow node; a dead one is unavailable."""
    token = await world.at("Token")
    transaction = await world.call(token, "transfer(address,uint256)", SHOPPER, 9)
    async with ThinNode(world.node.http, delay=0.15) as node, chain_on(node.url) as chain:
        needs = await chain.find_needs(WALLET, transaction, Limits([NATIVE, token], seconds=0.4))
        assert (needs.verdict, needs.outflows, needs.exact) == (Verdict.UNKNOWN, (), False)
        needs = await chain.find_needs(WALLET, transaction, Limits([NATIVE, token], most_calls=8))
        assert (needs.verdict, needs.outflows, needs.exact) == (Verdict.UNKNOWN, (), False)
        assert needs.calls <= 8
    async with chain_on(node.url) as chain:
        with pytest.raises(Unavailable):
            await chain.find_needs(WALLET, transaction, Limits([NATIVE, token]))


@pytest.mark.parametrize(("given", "code"), [("0x02f8", "malformed"), ("AAAA", "unknown_type"), ("", "not_an_object")])
async def test_a_text_that_is_none(world: World, given: str, code: str) -> None:
    """A text is read as a serialised transaction, and refused when it is none."""
    async with chain_on(world.node.http) as chain:
        with pytest.raises(BadTransaction) as caught:
            await chain.find_needs(WALLET, given, Limits([NATIVE]))
    assert caught.value.code == code


async def test_an_unknown_token_is_told_of_where_it_lacks(world: World) -> None:
    """A token of nobody's list is in the way only while the wallet has too little of it: it can be no more than met."""
    token = await world.at("Token", "Unlisted")
    transaction = await world.call(token, "transfer(address,uint256)", SHOPPER, 9)
    async with chain_on(world.node.http) as chain:
        await world.act(token, "mint(address,uint256)", WALLET, 8)
        needs = await chain.find_needs(WALLET, transaction, Limits([NATIVE]))
        assert (needs.unknown_assets, tokens_of(needs)) == ((token,), {token: 9})
        await world.act(token, "mint(address,uint256)", WALLET, 1)
        needs = await chain.find_needs(WALLET, transaction, Limits([NATIVE]))
        assert (needs.unknown_assets, tokens_of(needs)) == ((), {})
        assert totals_of(needs)[NATIVE] > 0
