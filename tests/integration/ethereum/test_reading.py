"""Balances in bulk: whatever a node refuses, the same balances come by another way, and the refusal is remembered."""

from collections.abc import AsyncIterator

import pytest

from chains.errors import Unavailable
from chains.ethereum import multicall
from chains.model import BlockRef, Holding
from tests.integration.ethereum.conftest import Clock, chain_on, coin, token, token_asset
from tests.nodes.anvil import ARTIFACTS, Anvil, selector_data
from tests.nodes.scripted_ethereum import Fault, ScriptedEthereum

WALLETS = [f"0x{number:040x}" for number in range(0xA000, 0xA000 + 23)]


@pytest.fixture
async def node() -> AsyncIterator[ScriptedEthereum]:
    async with ScriptedEthereum() as node:
        node.mine({wallet: 1_000 + number for number, wallet in enumerate(WALLETS)})
        yield node


async def read(node: ScriptedEthereum, times: int = 1) -> list[int]:
    holdings = [coin(wallet) for wallet in WALLETS]
    async with chain_on(node.url) as chain:
        for _ in range(times):
            balances = await chain.balances(holdings, BlockRef(node.head.number, node.head.hash))
    return [balance.amount for balance in balances]


async def test_one_call_for_many(node: ScriptedEthereum) -> None:
    """A node that takes state overrides is asked once for all."""
    assert await read(node) == [1_000 + number for number in range(23)]
    assert node.calls["eth_call"] == 1
    assert node.calls["eth_getBalance"] == 0


@pytest.mark.parametrize("overrides", ["refused", "ignored"])
async def test_other_ways_are_found_and_remembered(node: ScriptedEthereum, overrides: str) -> None:
    """Without overrides and Multicall3, plain calls in batches; the refusals are not asked for again."""
    node.overrides = overrides
    assert await read(node, times=3) == [1_000 + number for number in range(23)]
    assert node.calls["eth_call"] == 2
    assert node.calls["eth_getBalance"] == 3 * 23


async def test_what_is_too_much_is_halved_and_remembered(node: ScriptedEthereum) -> None:
    """A call out of gas is halved until it fits; the next read begins with what fitted."""
    node.largest = 6
    assert await read(node, times=2) == [1_000 + number for number in range(23)]
    assert node.calls["eth_call"] == 2 + 2 * 5  # 23 and 11 are refused once, then five of five at most


async def test_a_busy_node_is_not_taken_for_an_unable_one(node: ScriptedEthereum) -> None:
    """After "slow down" the next read is by the same, best way again."""
    clock = Clock()
    async with chain_on(node.url, clock=clock) as chain:
        block = BlockRef(node.head.number, node.head.hash)
        node.faults.append(Fault.LIMIT_IN_200)
        with pytest.raises(Unavailable):
            await chain.balances([coin(wallet) for wallet in WALLETS], block)
        clock.now += 60
        await chain.balances([coin(wallet) for wallet in WALLETS], block)
    assert node.calls["eth_call"] == 2
    assert node.calls["eth_getBalance"] == 0


@pytest.mark.evm
async def test_all_ways_agree_on_a_real_node(anvil: Anvil) -> None:
    """The planted scanner and Multicall3 give what plain calls give, for the coin and a token."""
    accounts = await anvil.accounts()
    contract = await anvil.deploy(accounts[0], "Token")
    for number, account in enumerate(accounts[:5]):
        await anvil.send(accounts[0], contract, selector_data("mint(address,uint256)", account, 10**20 + number))
    await anvil.rpc("anvil_setCode", multicall.ADDRESS, ARTIFACTS["Multicall3"]["runtime"])
    holdings: list[Holding] = [coin(account) for account in accounts] + [token(contract, a) for a in accounts]
    head = await anvil.rpc("eth_getBlockByNumber", "latest", False)
    truth = [await anvil.balance(a) for a in accounts] + [await anvil.balance(a, contract) for a in accounts]
    for hidden in ([], ["planted"], ["planted", "multicall"]):
        async with chain_on(anvil.http, assets=(token_asset(contract),)) as chain:
            refused = dict.fromkeys(((anvil.http.removeprefix("http://"), way) for way in hidden), float("inf"))
            chain._reader._refused_until.update(refused)
            balances = await chain.balances(holdings, BlockRef(int(head["number"], 16), head["hash"]))
        assert [balance.amount for balance in balances] == truth


@pytest.mark.evm
async def test_a_token_that_is_none_is_unknown(anvil: Anvil) -> None:
    """A contract without `balanceOf`, or no contract at all, is `Unavailable`, not zero; and the coin is still read."""
    accounts = await anvil.accounts()
    relay = await anvil.deploy(accounts[0], "Relay")
    head = await anvil.rpc("eth_getBlockByNumber", "latest", False)
    block = BlockRef(int(head["number"], 16), head["hash"])
    async with chain_on(anvil.http, assets=(token_asset(relay),)) as chain:
        for contract in (relay, accounts[3]):
            with pytest.raises(Unavailable):
                await chain.balances([token(contract, account) for account in accounts[:3]], block)
        assert (await chain.balances([coin(accounts[1])], block))[0].amount == await anvil.balance(accounts[1])
        assert not chain._reader._refused_until  # the token is at fault, not the way of reading
