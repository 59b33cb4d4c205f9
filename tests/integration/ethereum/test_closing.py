"""Receipts and settled balances on a real node: only what is deep enough, only what really arrived."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from chains.errors import Unavailable
from chains.ethereum.adapter import EthereumChain
from chains.model import Fee
from tests.integration.ethereum.conftest import chain_on, coin, token, token_asset
from tests.nodes.anvil import COIN, Anvil, selector_data
from tests.nodes.scripted_ethereum import ScriptedEthereum

pytestmark = pytest.mark.evm

WALLET = "0x00000000000000000000000000000000000000A1"


@pytest.fixture
async def chain(anvil: Anvil) -> AsyncIterator[EthereumChain]:
    """Funds count after three confirmations."""
    async with chain_on(anvil.http, close_confirmations=3) as chain:
        yield chain


async def mine(anvil: Anvil, blocks: int) -> None:
    for _ in range(blocks):
        await anvil.mine()


async def test_too_young_a_chain_settles_nothing(anvil: Anvil, chain: EthereumChain) -> None:
    """A chain of two blocks has no block three confirmations deep: unknown, not zero."""
    await mine(anvil, 1)
    with pytest.raises(Unavailable, match="2 blocks, 3 are asked for"):
        await chain.settled_balances([coin(WALLET)])


async def test_settled_is_three_deep(anvil: Anvil, chain: EthereumChain) -> None:
    """A payment counts from its third confirmation on, its own block being the first."""
    await mine(anvil, 3)
    bank = (await anvil.accounts())[0]
    sent = await anvil.send(bank, WALLET, value=COIN)
    for confirmations in (1, 2, 3):
        settled = (await chain.settled_balances([coin(WALLET)]))[0]
        receipt = await chain.find_receipt(sent["transactionHash"], coin(WALLET))
        assert settled.amount == (COIN if confirmations == 3 else 0)
        assert (receipt is not None) == (confirmations == 3)
        await anvil.mine()
    receipt = await chain.find_receipt(sent["transactionHash"], coin(WALLET))
    assert receipt is not None
    assert (receipt.amount, receipt.at.hash) == (COIN, sent["blockHash"])


@pytest.mark.parametrize("tag", ["safe", "finalized"])
async def test_a_tag_of_the_node_s_own(tag: str) -> None:
    """`safe` and `finalized` ask the node which block that is."""
    async with ScriptedEthereum() as node:
        for number in range(20):
            node.mine({WALLET: number})
        async with chain_on(node.url, close_confirmations=tag) as chain:
            balance = (await chain.settled_balances([coin(WALLET)]))[0]
    assert balance.at.number == 12
    assert balance.amount == 11


async def test_internal_payments(anvil: Anvil, chain: EthereumChain) -> None:
    """What a contract paid on is found by trace; the contract itself, which kept nothing, has no receipt."""
    bank = (await anvil.accounts())[0]
    relay = await anvil.deploy(bank, "Relay")
    sent = await anvil.send(bank, relay, selector_data("forward(address,bytes)", WALLET, b""), COIN)
    await mine(anvil, 3)
    receipt = await chain.find_receipt(sent["transactionHash"], coin(WALLET))
    assert receipt is not None
    assert receipt.amount == COIN
    assert await chain.find_receipt(sent["transactionHash"], coin(bank)) is None
    assert await chain.find_receipt(sent["transactionHash"], coin(relay)) is None


@pytest.mark.parametrize(("to", "amount"), [(WALLET, 500), ("0x" + "cc" * 20, 30)])
async def test_payments_without_traces(to: str, amount: int) -> None:
    """Without traces it is the transaction's own value if sent to the address, else what its block brought."""
    async with ScriptedEthereum() as node, chain_on(node.url) as chain:
        node.mine({WALLET: 70})
        block = node.mine({WALLET: 100})
        hash_ = "0x" + "aa" * 32
        place = {"blockHash": block.hash, "blockNumber": hex(block.number), "status": "0x1", "logs": []}
        node.fixed["eth_getTransactionReceipt"] = place
        node.fixed["eth_getTransactionByHash"] = {"hash": hash_, "from": "0x" + "bb" * 20, "to": to, "value": hex(500)}
        receipt = await chain.find_receipt(hash_, coin(WALLET))
    assert receipt is not None
    assert receipt.amount == amount


@pytest.mark.parametrize("place", [{"status": "0x0"}, {"blockHash": "0x" + "99" * 32}, {"blockHash": None}])
async def test_failed_lost_and_pending_ones_brought_nothing(place: dict[str, Any]) -> None:
    """A receipt counts only of a successful transaction in a block of the canonical chain."""
    async with ScriptedEthereum() as node, chain_on(node.url) as chain:
        block = node.mine({WALLET: 70})
        good = {"blockHash": block.hash, "blockNumber": hex(block.number), "status": "0x1", "logs": []}
        node.fixed["eth_getTransactionReceipt"] = {**good, **place}
        sent = {"hash": "0x" + "aa" * 32, "from": "0x" + "bb" * 20, "to": WALLET, "value": hex(70)}
        node.fixed["eth_getTransactionByHash"] = sent
        assert await chain.find_receipt("0x" + "aa" * 32, coin(WALLET)) is None
        node.fixed["eth_getTransactionReceipt"] = good
        assert await chain.find_receipt("0x" + "aa" * 32, coin(WALLET)) is not None


async def test_coins_that_come_back_to_their_sender(anvil: Anvil) -> None:
    """Who unwraps coins receives them, and the fee it paid for that is not subtracted."""
    accounts = await anvil.accounts()
    wrapped = await anvil.deploy(accounts[0], "WrappedCoin")
    await anvil.send(accounts[1], wrapped, selector_data("deposit()"), COIN)
    sent = await anvil.send(accounts[1], wrapped, selector_data("withdraw(uint256)", COIN))
    async with chain_on(anvil.http) as chain:
        receipt = await chain.find_receipt(sent["transactionHash"], coin(accounts[1]))
    assert receipt is not None
    assert receipt.amount == COIN


async def test_a_failed_transaction_brought_nothing(anvil: Anvil, chain: EthereumChain) -> None:
    """Neither a reverted transaction nor an unknown one has a receipt of funds."""
    bank = (await anvil.accounts())[0]
    relay = await anvil.deploy(bank, "Relay")
    sent = await anvil.send(bank, relay, selector_data("fail()"), COIN)
    await mine(anvil, 3)
    assert int(sent["status"], 16) == 0
    assert await chain.find_receipt(sent["transactionHash"], coin(relay)) is None
    assert await chain.find_receipt("0x" + "77" * 32, coin(relay)) is None


async def test_tokens_by_their_events(anvil: Anvil) -> None:
    """Transfers to the holding, less those from it, of the asked token alone."""
    bank = (await anvil.accounts())[0]
    contract, other = await anvil.deploy(bank, "Token"), await anvil.deploy(bank, "Token")
    minted = await anvil.send(bank, contract, selector_data("mint(address,uint256)", WALLET, 55))
    async with chain_on(anvil.http, assets=(token_asset(contract), token_asset(other, "OTHER"))) as chain:
        found = await chain.find_receipt(minted["transactionHash"], token(contract, WALLET))
        assert found is not None
        assert found.amount == 55
        assert await chain.find_receipt(minted["transactionHash"], token(other, WALLET)) is None
        assert await chain.find_receipt(minted["transactionHash"], token(contract, bank)) is None


async def test_a_receipt_lost_in_a_reorg(anvil: Anvil) -> None:
    """A transaction that a reorg took away has no receipt any more."""
    bank = (await anvil.accounts())[0]
    await mine(anvil, 3)
    sent = await anvil.send(bank, WALLET, value=COIN)
    async with chain_on(anvil.http) as chain:
        assert await chain.find_receipt(sent["transactionHash"], coin(WALLET)) is not None
        await anvil.rpc("anvil_reorg", 1, [])
        assert await chain.find_receipt(sent["transactionHash"], coin(WALLET)) is None


async def test_the_cost_of_a_transaction() -> None:
    """Typical gas times twice the next base fee and the median tip."""
    async with ScriptedEthereum() as node, chain_on(node.url) as chain:
        assert await chain.fee() == Fee(2 * 110 + 7)
