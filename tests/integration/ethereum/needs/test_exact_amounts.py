"""Each kind of payment: every way of looking gives the same amounts, and a real block proves them to the unit."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from chains.model import NATIVE
from chains.needs import Verdict
from tests.integration.ethereum.needs.world import EACH_WAY, FAR, SHOPPER, WALLET, World, tokens_of
from tests.nodes.anvil import COIN

pytestmark = pytest.mark.evm

Proposed = tuple[dict[str, Any], dict[str, int]]
Make = Callable[[World], Awaitable[Proposed]]
"""A proposed transaction, and what it needs beside gas."""


async def coins_to_an_account(world: World) -> Proposed:
    return {"to": SHOPPER, "value": hex(5 * COIN)}, {NATIVE: 5 * COIN}


async def coins_with_a_chosen_gas_limit(world: World) -> Proposed:
    gas = {"gas": hex(50_000), "maxFeePerGas": hex(7 * 10**9), "maxPriorityFeePerGas": "0x1"}
    return {"to": SHOPPER, "value": hex(COIN), **gas}, {NATIVE: COIN}


async def coins_at_a_legacy_price(world: World) -> Proposed:
    return {"to": SHOPPER, "value": hex(COIN), "gasPrice": hex(4 * 10**9)}, {NATIVE: COIN}


async def a_token_transfer(world: World) -> Proposed:
    token = await world.at("Token")
    await world.give(token, 10)
    return await world.call(token, "transfer(address,uint256)", SHOPPER, 10**8), {token: 10**8}


async def paying_by(world: World, name: str, amount: int = 75_000_000, needed: int = 75_000_000) -> Proposed:
    token, shop = await world.at(name), await world.at("Shop")
    await world.act(token, "approve(address,uint256)", shop, amount)
    return await world.call(shop, "buy(address,uint256)", token, amount), {token: needed}


async def an_nft_for_a_token(world: World) -> Proposed:
    return await paying_by(world, "Token")


async def an_nft_for_wrapped_coins(world: World) -> Proposed:
    return await paying_by(world, "WrappedCoin", COIN, COIN)


async def a_token_that_takes_a_fee(world: World) -> Proposed:
    return await paying_by(world, "FeeToken", 50_000_000, 50_500_000)


async def a_balance_beside_a_flag(world: World) -> Proposed:
    return await paying_by(world, "PackedToken")


async def a_balance_amid_a_word(world: World) -> Proposed:
    return await paying_by(world, "MiddleToken")


async def a_namespaced_token(world: World) -> Proposed:
    return await paying_by(world, "NamespacedToken")


async def nfts_for_coins(world: World) -> Proposed:
    shop = await world.at("Shop")
    return await world.call(shop, "buyWithCoins(uint256)", 3, value=3 * COIN // 10), {NATIVE: 3 * COIN // 10}


async def a_swap_exact_in(world: World) -> Proposed:
    exchange, token, other = await world.at("Exchange"), await world.at("Token"), await world.at("Token", "Other")
    await world.act(token, "approve(address,uint256)", exchange, 10**7)
    signature = "swapExactIn(address,address,uint256,uint256)"
    return await world.call(exchange, signature, token, other, 10**7, FAR), {token: 10**7}


async def a_swap_exact_out(world: World) -> Proposed:
    exchange, token, other = await world.at("Exchange"), await world.at("Token"), await world.at("Token", "Other")
    await world.act(token, "approve(address,uint256)", exchange, 2**255)
    signature = "swapExactOut(address,address,uint256,uint256,uint256)"
    return await world.call(exchange, signature, token, other, 45_000_000, 10**9, FAR), {token: 30_000_007}


async def more_is_taken_than_kept(world: World) -> Proposed:
    exchange, token = await world.at("Exchange"), await world.at("Token")
    await world.act(token, "approve(address,uint256)", exchange, 900)
    return await world.call(exchange, "takeAndReturn(address,uint256,uint256)", token, 900, 850), {token: 900}


async def two_tokens_and_coins(world: World) -> Proposed:
    exchange, token, other = await world.at("Exchange"), await world.at("Token"), await world.at("Token", "Other")
    await world.act(token, "approve(address,uint256)", exchange, 11)
    await world.act(other, "approve(address,uint256)", exchange, 22)
    signature = "zap(address,uint256,address,uint256)"
    return await world.call(exchange, signature, token, 11, other, 22, value=COIN), {NATIVE: COIN, token: 11, other: 22}


async def whatever_is_there(world: World) -> Proposed:
    exchange, token = await world.at("Exchange"), await world.at("Token")
    await world.act(token, "approve(address,uint256)", exchange, 2**255)
    return await world.call(exchange, "sweep(address)", token), {}


async def an_amount_that_must_only_be_held(world: World) -> Proposed:
    exchange, token = await world.at("Exchange"), await world.at("Token")
    return await world.call(exchange, "gate(address,uint256)", token, 1234), {token: 1234}


async def unwrapping_coins(world: World) -> Proposed:
    token = await world.at("WrappedCoin")
    await world.node.rpc("anvil_setBalance", token, hex(9 * COIN))
    return await world.call(token, "withdraw(uint256)", 3 * COIN), {token: 3 * COIN}


async def wrapping_coins(world: World) -> Proposed:
    return await world.call(await world.at("WrappedCoin"), "deposit()", value=COIN), {NATIVE: COIN}


CASES: list[Make] = [
    coins_to_an_account,
    coins_with_a_chosen_gas_limit,
    coins_at_a_legacy_price,
    a_token_transfer,
    an_nft_for_a_token,
    an_nft_for_wrapped_coins,
    a_token_that_takes_a_fee,
    a_balance_beside_a_flag,
    a_balance_amid_a_word,
    a_namespaced_token,
    nfts_for_coins,
    a_swap_exact_in,
    a_swap_exact_out,
    more_is_taken_than_kept,
    two_tokens_and_coins,
    whatever_is_there,
    an_amount_that_must_only_be_held,
    unwrapping_coins,
    wrapping_coins,
]


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
async def test_exactly_what_is_needed(world: World, make: Make) -> None:
    """Every way gives the same amounts, proven; so much is mined, one unit less of any is not."""
    transaction, expected = await make(world)
    for ways in EACH_WAY:
        needs = await world.find(transaction, ways=ways)
        assert (needs.verdict, needs.detail) == (Verdict.FUNDS, "")
        assert tokens_of(needs) == expected, ways
        assert needs.exact
        held = {asset: await world.node.balance(WALLET, asset) for asset in expected if asset != NATIVE}
        for asset, amount in held.items():
            if amount:
                await world.act(asset, "transfer(address,uint256)", SHOPPER, amount)
        await world.prove(transaction, needs)
