"""What a transaction costs beside what it moves: blobs, deployments, layer 1, what waits before it, used nonces."""

from typing import Any

import pytest
from eth_account import Account

from chains.ethereum.needs.find import WAYS
from chains.ethereum.needs.layer1 import ORACLE
from chains.ethereum.needs.pending import BLOB_GAS
from chains.model import NATIVE
from chains.needs import Outflow, TransactionNeeds, Verdict
from tests.integration.ethereum.needs.thin_node import ThinNode
from tests.integration.ethereum.needs.world import EACH_WAY, PRICE, SHOPPER, WALLET, World, client, tokens_of, totals_of
from tests.nodes.anvil import ARTIFACTS, CHAIN_ID, COIN, NodeError, selector_data

pytestmark = pytest.mark.evm

SIGNER = Account.from_key("0x" + "42" * 32)


def of_kind(needs: TransactionNeeds, what: str) -> list[Outflow]:
    return [outflow for outflow in needs.outflows if outflow.what == what]


async def test_a_deployment(world: World) -> None:
    """A contract's making is run and estimated like a call; sent with too few coins, it fails whatever is there."""
    for value, verdict in ((COIN, Verdict.FUNDS), (COIN - 1, Verdict.REVERTS)):
        transaction = {"data": ARTIFACTS["Deposit"]["create"], "value": hex(value)}
        for ways in (("trace",), ("call",), WAYS):  # anvil's eth_simulateV1 takes no deployments
            needs = await world.find(transaction, ways=ways)
            assert needs.verdict is verdict, (ways, needs.detail)
            if verdict is Verdict.FUNDS:
                assert needs.exact
                assert tokens_of(needs) == {NATIVE: COIN}
                await world.prove(transaction, needs)


async def test_blobs(world: World) -> None:
    """Blobs cost their gas at their own price: accepted with exactly so much, refused with one unit less."""
    transaction: dict[str, Any] = {
        "to": SHOPPER, "value": hex(COIN), "gas": hex(21_000), "maxFeePerGas": hex(PRICE),
        "maxPriorityFeePerGas": "0x1", "maxFeePerBlobGas": hex(7), "blobVersionedHashes": ["0x01" + "00" * 31],
    }  # fmt: skip
    needs = await world.find(transaction, sender=SIGNER.address)
    assert needs.exact
    assert [o.amount for o in of_kind(needs, "gas")] == [21_000 * PRICE, 7 * BLOB_GAS]
    total = totals_of(needs)[NATIVE]
    fields = {name: transaction[name] for name in ("to", "value", "gas", "maxFeePerGas", "maxPriorityFeePerGas")}
    fields |= {"type": 3, "chainId": CHAIN_ID, "nonce": 0, "maxFeePerBlobGas": 7}
    signed = SIGNER.sign_transaction(fields, blobs=[bytes(131_072)])
    for amount in (total - 1, total):
        await world.node.rpc("anvil_setBalance", SIGNER.address, hex(amount))
        try:
            hash_ = await world.node.rpc("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex())
        except NodeError as error:
            assert amount < total and "nsufficient funds" in str(error)  # noqa: PT017, PT018  either, by the amount
        else:
            assert amount == total
            assert (await world.node.receipt(hash_))["status"] == "0x1"


async def test_a_contract_that_looks_at_its_blobs(world: World) -> None:
    """A call is run with the blobs that it will have: one that asks for a certain blob does not seem to fail."""
    hash_, rollup = "0x01" + "11" * 31, "0x00000000000000000000000000000000000Dead3"
    await world.node.rpc("anvil_setCode", rollup, f"0x5f497f{hash_[2:]}14602a575f5ffd5b00")
    for given, verdict in ((hash_, Verdict.FUNDS), ("0x01" + "22" * 31, Verdict.REVERTS)):
        transaction = {"to": rollup, "data": "0x00", "value": "0x5", "blobVersionedHashes": [given]}
        for ways in EACH_WAY:
            needs = await world.find(transaction, ways=ways)
            assert (needs.verdict, needs.exact) == (verdict, verdict is Verdict.FUNDS), (ways, needs.detail)


async def test_blobs_without_a_price(world: World) -> None:
    """Where the wallet names no price, twice the present one is set aside."""
    transaction = {"to": SHOPPER, "value": "0x1", "blobVersionedHashes": ["0x01" + "00" * 31] * 2}
    price = int(await world.node.rpc("eth_blobBaseFee"), 16)
    needs = await world.find(transaction)
    assert of_kind(needs, "gas")[1].amount == 2 * price * 2 * BLOB_GAS


async def test_a_used_nonce(world: World) -> None:
    """A nonce that was used can't be used again; later ones are as good as the next."""
    token = await world.at("Token")
    await world.act(token, "approve(address,uint256)", SHOPPER, 1)
    for nonce, verdict in ((0, Verdict.REVERTS), (1, Verdict.FUNDS), (5, Verdict.FUNDS)):
        needs = await world.find({"to": SHOPPER, "value": hex(COIN), "nonce": hex(nonce)})
        assert needs.verdict is verdict
    needs = await world.find({"to": SHOPPER, "value": hex(COIN), "nonce": "0x0"})
    assert (needs.outflows, needs.detail) == ((), "nonce 0 was used already")


@pytest.mark.parametrize("has_queue", [True, False])
async def test_what_waits_before_it(world: World, *, has_queue: bool) -> None:
    """Waiting transactions take their coins, gas and tokens first; where only their number is known, that is said."""
    token = await world.at("Token")
    await world.give(NATIVE, 5 * COIN)
    await world.give(token, 100)
    await world.node.rpc("evm_setAutomine", False)
    price: dict[str, Any] = {"gas": hex(60_000), "maxFeePerGas": hex(2 * PRICE), "maxPriorityFeePerGas": "0x1"}
    await world.node.submit(WALLET, SHOPPER, value=COIN, **price)
    await world.node.submit(WALLET, token, selector_data("transfer(address,uint256)", SHOPPER, 40), **price)
    transaction = await world.call(token, "transfer(address,uint256)", SHOPPER, 70)
    async with (
        ThinNode(world.node.http, set() if has_queue else {"eth_getTransactionBySenderAndNonce"}) as node,
        client(node.url) as c,
    ):
        world.rpc = c
        needs = await world.find(transaction)
        replacing = await world.find({**transaction, "nonce": "0x1"})
    kept = {outflow.asset: outflow.amount for outflow in of_kind(needs, "keep")}
    if has_queue:
        assert needs.exact
        assert kept == {NATIVE: COIN + 2 * 60_000 * 2 * PRICE, token: 40}
        assert {o.asset: o.amount for o in of_kind(replacing, "keep")} == {NATIVE: COIN + 60_000 * 2 * PRICE}
    else:
        assert not needs.exact
        assert not kept
        assert "2 transactions of the sender are waiting" in needs.detail


async def test_the_queue_is_really_served_first(world: World) -> None:
    """With exactly what is needed a block takes both; with one unit less, the last one fails."""
    token = await world.at("Token")
    price: dict[str, Any] = {"gas": hex(60_000), "maxFeePerGas": hex(PRICE), "maxPriorityFeePerGas": "0x1"}
    transaction = await world.call(token, "transfer(address,uint256)", SHOPPER, 70)
    await world.give(NATIVE, COIN)
    for amount in (109, 110):
        snapshot = await world.node.rpc("evm_snapshot")
        await world.give(token, amount)
        await world.node.rpc("evm_setAutomine", False)
        await world.node.submit(WALLET, token, selector_data("transfer(address,uint256)", SHOPPER, 40), **price)
        assert totals_of(await world.find(transaction))[token] == 110
        sent = await world.node.submit(WALLET, token, transaction["data"], **price)
        await world.node.mine()
        assert ((await world.node.receipt(sent))["status"] == "0x1") == (amount == 110)
        await world.node.rpc("evm_setAutomine", True)
        await world.node.rpc("evm_revert", snapshot)


async def test_layer_1_and_the_operator_are_paid(world: World) -> None:
    """On an OP-stack network the fees for the transaction's size and gas limit are added, with their margin."""
    await world.node.rpc("anvil_setCode", ORACLE, ARTIFACTS["GasPriceOracle"]["runtime"])
    data = "0x" + "11" * 500
    transaction = {"to": SHOPPER, "data": data, "value": hex(COIN), "gas": hex(90_000)}
    for ways in EACH_WAY:
        needs = await world.find(transaction, ways=ways)
        assert needs.exact
        fee = of_kind(needs, "l1_fee")[0]
        assert fee.asset == NATIVE
        assert fee.extra["operator"] == -(-(90_000 * 3 + 5) * 115 // 100)
        sent = {**transaction, "chainId": CHAIN_ID, "nonce": 0, "maxFeePerGas": PRICE, "maxPriorityFeePerGas": 1}
        length = len(SIGNER.sign_transaction(sent).raw_transaction)
        assert length * 10**9 <= fee.extra["data"] <= 1.15 * (length + 110) * 10**9
        assert fee.amount == fee.extra["data"] + fee.extra["operator"]


async def test_a_sponsor_pays_layer_1_too(world: World) -> None:
    """Where another pays for gas, layer 1 and the waiting queue are none of the sender's."""
    await world.node.rpc("anvil_setCode", ORACLE, ARTIFACTS["GasPriceOracle"]["runtime"])
    needs = await world.find({"to": SHOPPER, "value": hex(COIN)}, pays_gas=False)
    assert totals_of(needs) == {NATIVE: COIN}


async def test_an_oracle_that_does_not_answer(world: World) -> None:
    """A layer 1 fee that is not known is never called exact."""
    await world.node.rpc("anvil_setCode", ORACLE, ARTIFACTS["Relay"]["runtime"])
    needs = await world.find({"to": SHOPPER, "value": hex(COIN)})
    assert (needs.exact, needs.detail) == (False, "its layer 1 fee is not known")
