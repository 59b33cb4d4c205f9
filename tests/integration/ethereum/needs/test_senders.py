"""Senders with code: accounts that borrow it (EIP-7702), and contract wallets whose gas another pays (EIP-4337)."""

import pytest
from eth_account import Account

from chains.model import NATIVE
from chains.needs import Verdict
from tests.integration.ethereum.needs.world import EACH_WAY, PRICE, SHOPPER, WALLET, World, tokens_of, totals_of
from tests.nodes.anvil import CHAIN_ID, COIN, selector_data

pytestmark = pytest.mark.evm

SIGNER = Account.from_key("0x" + "42" * 32)
RUN = "run(address,uint256,bytes)"


async def delegate(world: World) -> str:
    """The wallet borrows a smart wallet's code."""
    code = await world.at("SmartWallet")
    await world.node.rpc("anvil_setCode", WALLET, "0xef0100" + code[2:].lower())
    return code


async def test_coins_that_leave_by_borrowed_code(world: World) -> None:
    """A call of the wallet to itself sends coins that its value does not name: they are needed, to the unit.

    Proven at a legacy price, where a block takes all that gas may cost before the call is made.
    """
    await delegate(world)
    transaction = {**await world.call(WALLET, RUN, SHOPPER, 2 * COIN, b""), "gasPrice": hex(4 * 10**9)}
    for ways in EACH_WAY:
        needs = await world.find(transaction, ways=ways)
        assert (needs.verdict, needs.detail, needs.exact) == (Verdict.FUNDS, "", True), ways
        assert tokens_of(needs) == {NATIVE: 2 * COIN}
        await world.prove(transaction, needs)


async def test_tokens_that_leave_by_borrowed_code(world: World) -> None:
    """Tokens that it moves are needed too; a real block proves them, and the gas."""
    await delegate(world)
    token = await world.at("Token")
    pay = bytes.fromhex(selector_data("transfer(address,uint256)", SHOPPER, 77)[2:])
    transaction = await world.call(WALLET, RUN, token, 0, pay)
    for ways in EACH_WAY:
        needs = await world.find(transaction, ways=ways)
        assert (needs.verdict, needs.detail, needs.exact) == (Verdict.FUNDS, "", True), ways
        assert tokens_of(needs) == {token: 77}
        await world.prove(transaction, needs)


async def test_coins_to_a_borrower_are_run(world: World) -> None:
    """Coins to an account whose borrowed code takes them need more than a plain transfer's gas."""
    code = await world.at("SmartWallet")
    await world.node.rpc("anvil_setCode", SHOPPER, "0xef0100" + code[2:].lower())
    transaction = {"to": SHOPPER, "value": hex(COIN)}
    needs = await world.find(transaction)
    assert (needs.verdict, needs.exact) == (Verdict.FUNDS, True)
    assert next(o for o in needs.outflows if o.what == "gas").extra["limit"] > 21_000
    await world.prove(transaction, needs)


async def test_an_authorization_that_is_not_signed_yet(world: World) -> None:
    """A transaction that itself brings the sender's code is run as if the code were there already."""
    code = await world.at("SmartWallet")
    transaction = await world.call(WALLET, RUN, SHOPPER, COIN, b"")
    transaction["authorizationList"] = [{"chainId": "0x7a69", "address": code, "nonce": "0x1"}]
    for ways in EACH_WAY:
        needs = await world.find(transaction, ways=ways)
        assert needs.verdict is Verdict.FUNDS, (ways, needs.detail)
        assert tokens_of(needs) == {NATIVE: COIN}
        assert code in needs.reads


async def test_an_authorization_that_the_sender_has_signed(world: World) -> None:
    """Coins that leave by code borrowed in the same transaction are needed, and proven on a block."""
    code = await world.at("SmartWallet")
    given = SIGNER.sign_authorization({"chainId": CHAIN_ID, "address": code, "nonce": 1})
    parts = {"chainId": CHAIN_ID, "nonce": 1, "yParity": given.y_parity, "r": given.r, "s": given.s}
    authorization = {"address": code, **{name: hex(number) for name, number in parts.items()}}
    transaction = await world.call(SIGNER.address, RUN, SHOPPER, 2 * COIN, b"")
    transaction |= {"maxFeePerGas": hex(PRICE), "maxPriorityFeePerGas": hex(PRICE), "nonce": "0x0"}
    for ways in EACH_WAY:
        needs = await world.find(
            {**transaction, "authorizationList": [authorization]}, sender=SIGNER.address, ways=ways
        )
        assert (needs.verdict, needs.detail, needs.exact) == (Verdict.FUNDS, "", True), ways
        assert tokens_of(needs) == {NATIVE: 2 * COIN}
        assert code in needs.reads
    gas = next(outflow.extra["limit"] for outflow in needs.outflows if outflow.what == "gas")
    fields = {**transaction, "type": 4, "chainId": CHAIN_ID, "gas": gas, "value": 0, "authorizationList": [given]}
    signed = "0x" + bytes(SIGNER.sign_transaction(fields).raw_transaction).hex()
    for amount in (totals_of(needs)[NATIVE] - 1, totals_of(needs)[NATIVE]):
        snapshot = await world.node.rpc("evm_snapshot")
        await world.give(NATIVE, amount, SIGNER.address)
        receipt = await world.node.receipt(await world.node.rpc("eth_sendRawTransaction", signed))
        assert (receipt["status"] == "0x1") == (amount == totals_of(needs)[NATIVE])
        await world.node.rpc("evm_revert", snapshot)


@pytest.mark.parametrize("kind", ["coins", "token", "both"])
async def test_a_contract_wallet_whose_gas_another_pays(world: World, kind: str) -> None:
    """Only what moves is needed, without gas; the wallet's owner can make the call with so much, not with less."""
    wallet, token, shop = await world.at("SmartWallet"), await world.at("Token"), await world.at("Exchange")
    expected: dict[str, int] = {NATIVE: COIN} if kind == "coins" else {token: 500}
    if kind == "coins":
        transaction = {"to": SHOPPER, "value": hex(COIN)}
    elif kind == "token":
        transaction = await world.call(token, "transfer(address,uint256)", SHOPPER, 500)
    else:
        expected = {NATIVE: COIN, token: 500}
        approval = bytes.fromhex(selector_data("approve(address,uint256)", shop, 2**200)[2:])
        await world.act(wallet, RUN, token, 0, approval, sender=world.operator)
        signature = "zap(address,uint256,address,uint256)"
        transaction = await world.call(shop, signature, token, 300, token, 200, value=COIN)
    run = bytes.fromhex(transaction.get("data", "0x")[2:])
    value = int(transaction.get("value", "0x0"), 16)
    for ways in EACH_WAY:
        needs = await world.find(transaction, ways=ways, sender=wallet, pays_gas=False)
        assert (needs.verdict, needs.detail, needs.exact) == (Verdict.FUNDS, "", True), ways
        assert tokens_of(needs) == totals_of(needs) == expected
    for short in (None, *expected):
        snapshot = await world.node.rpc("evm_snapshot")
        for asset, amount in expected.items():
            await world.give(asset, amount - (asset == short), wallet)
        sent = await world.node.send(world.operator, wallet, selector_data(RUN, transaction["to"], value, run))
        assert (sent["status"] == "0x1") == (short is None)
        await world.node.rpc("evm_revert", snapshot)


async def test_gas_that_another_pays_for_an_account(world: World) -> None:
    """An account that a sponsor pays for needs what it sends, and no gas."""
    needs = await world.find({"to": SHOPPER, "value": hex(COIN)}, pays_gas=False)
    assert totals_of(needs) == {NATIVE: COIN}
    assert needs.exact


async def test_the_wallet_pays_unless_told_otherwise(world: World) -> None:
    """A contract wallet's call costs gas where nobody is named who pays."""
    wallet, token = await world.at("SmartWallet"), await world.at("Token")
    needs = await world.find(await world.call(token, "transfer(address,uint256)", SHOPPER, 5), sender=wallet)
    assert [outflow.what for outflow in needs.outflows] == ["required", "gas"]
