"""Wallets that are no plain key, accounts in odd places, and all the ways to write a transaction down."""

import struct
from base64 import b64encode

import pytest
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, TransferWithSeedParams, create_account, transfer_with_seed
from solders.transaction import VersionedTransaction
from spl.token import instructions as spl
from spl.token import models

from chains.model import NATIVE
from chains.needs import BadTransaction, TransactionNeeds, Verdict
from tests.integration.solana.needs.conftest import Plan, World
from tests.integration.solana.needs.steps import FEE, RENT_OF_TOKENS, open_account, pay, pay_tokens
from tests.integration.solana.needs.test_bounds import ask
from tests.nodes.solana import RENT_MINIMUM, SOL, Mint, NodeError

pytestmark = pytest.mark.solana

SYSTEM = Pubkey.default()
_MULTISIG_SIZE = 355


def amounts(needs: TransactionNeeds) -> dict[str, int]:
    found: dict[str, int] = {}
    for each in needs.outflows:
        found[each.asset] = found.get(each.asset, 0) + each.amount
    return found


def payment_of(wallet: Keypair, to: Pubkey, blockhash: Hash) -> list[str]:
    """The same payment: legacy and v0, bare and in a transaction, signed and not."""
    plan = Plan([pay(wallet.pubkey(), to, SOL)])
    legacy = Message.new_with_blockhash(list(plan.instructions), wallet.pubkey(), blockhash)
    new = plan.message(wallet.pubkey(), blockhash)
    raws = [bytes(legacy), b"\x80" + bytes(new), b"\0" + bytes(legacy)]
    raws += [bytes(VersionedTransaction(each, [wallet])) for each in (legacy, new)]
    return [*(b64encode(raw).decode() for raw in raws), plan.unsigned(wallet.pubkey())]


async def test_all_the_ways_to_write_it(world: World) -> None:
    """Legacy or v0 without tables, a message or a transaction, signed or not: one need."""
    latest = await world.node.rpc("getLatestBlockhash", {"commitment": "confirmed"})
    blockhash = Hash.from_string(latest["value"]["blockhash"])
    wallet, to = Keypair(), world.node.bank.pubkey()
    for form in payment_of(wallet, to, blockhash):
        needs = await world.ask(wallet.pubkey(), form)
        assert needs.exact
        assert [(each.what, each.amount) for each in needs.outflows] == [
            ("required", SOL),
            ("gas", FEE),
            ("keep", RENT_MINIMUM),
        ]


async def test_sending_all_there_is(world: World) -> None:
    """What empties the wallet works as it stands: no rent minimum is asked for on top; a lamport more, and it is."""
    wallet, to = Keypair(), world.node.bank.pubkey()
    await world.fund(wallet.pubkey(), 3 * SOL, {})
    plan = Plan([pay(wallet.pubkey(), to, 3 * SOL - FEE)])
    needs = await world.ask(wallet.pubkey(), plan.unsigned(wallet.pubkey()))
    assert (needs.verdict, needs.exact, amounts(needs)) == (Verdict.FUNDS, True, {NATIVE: 3 * SOL})
    less = Plan([pay(wallet.pubkey(), to, 3 * SOL - FEE - 1)])
    needs = await world.ask(wallet.pubkey(), less.unsigned(wallet.pubkey()))
    assert (needs.exact, amounts(needs)) == (True, {NATIVE: 3 * SOL - 1 + RENT_MINIMUM})
    with pytest.raises(NodeError):
        await world.send(less, wallet)
    await world.send(plan, wallet)


async def test_sending_all_by_the_nodes_own_simulation(world: World) -> None:
    """There, too: what is there is enough."""
    wallet, to = Keypair().pubkey(), world.node.bank.pubkey()
    await world.fund(wallet, 3 * SOL, {})
    needs = await ask(world, wallet, Plan([pay(wallet, to, 3 * SOL - FEE)]), seconds=0)
    assert (needs.verdict, needs.exact, amounts(needs)) == (Verdict.FUNDS, False, {NATIVE: 3 * SOL})
    needs = await ask(world, wallet, Plan([pay(wallet, to, 3 * SOL - FEE - 1)]), seconds=0)
    assert (needs.verdict, amounts(needs)) == (Verdict.FUNDS, {NATIVE: 3 * SOL - 1 + RENT_MINIMUM})


async def test_a_receivers_rent_by_the_nodes_own_simulation(world: World) -> None:
    """A receiver who would be left with too little is not the wallet's lack."""
    wallet = Keypair().pubkey()
    await world.fund(wallet, 3 * SOL, {})
    needs = await ask(world, wallet, Plan([pay(wallet, Keypair().pubkey(), 1_000)]), seconds=0)
    assert (needs.verdict, needs.outflows) == (Verdict.UNKNOWN, ())


async def test_several_accounts_that_are_missing(world: World) -> None:
    """Three receivers' accounts are opened at the wallet's expense, and its own two are not there either."""
    one, two, to = await world.mint(), await world.mint(fee_points=50), world.node.bank.pubkey()

    def make(wallet: Pubkey) -> Plan:
        others = [Keypair().pubkey(), Keypair().pubkey()]
        steps = [open_account(one, wallet, other) for other in others] + [open_account(two, wallet, others[0])]
        steps += [pay_tokens(one, wallet, others[0], 3), pay_tokens(one, wallet, others[1], 4)]
        return Plan([*steps, pay_tokens(two, wallet, others[0], 1_000), pay(wallet, to, 6)])

    coin, tokens, needs = await world.prove(make)
    assert tokens == {str(one.address): 7, str(two.address): 1_000}
    assert coin == 2 * RENT_OF_TOKENS + 2_157_600 + FEE + 6 + RENT_MINIMUM
    assert [each.amount for each in needs.outflows if each.what == "rent"] == [2 * RENT_OF_TOKENS + 2_157_600]


async def open_elsewhere(world: World, mint: Mint, owner: Pubkey, amount: int) -> Pubkey:
    """A token account at an address of its own, with tokens."""
    key, bank = Keypair(), world.node.bank
    opening = CreateAccountParams(
        from_pubkey=bank.pubkey(), to_pubkey=key.pubkey(), lamports=RENT_OF_TOKENS, space=165, owner=mint.program
    )
    starting = models.InitializeAccountParams(
        program_id=mint.program, account=key.pubkey(), mint=mint.address, owner=owner
    )
    minting = models.MintToParams(
        program_id=mint.program, mint=mint.address, dest=key.pubkey(), mint_authority=bank.pubkey(), amount=amount
    )
    await world.node.send([create_account(opening), spl.initialize_account(starting), spl.mint_to(minting)], bank, key)
    return key.pubkey()


async def test_tokens_in_another_account(world: World) -> None:
    """Out of an account where bought tokens would not arrive: enough is enough; too little can't be bought."""
    mint, wallet, to = await world.mint(), Keypair().pubkey(), world.node.bank.pubkey()
    await world.node.open_account(mint, to)
    place = await open_elsewhere(world, mint, wallet, 50)

    def plan(amount: int) -> Plan:
        paid = models.TransferCheckedParams(
            program_id=mint.program,
            source=place,
            mint=mint.address,
            dest=mint.account_of(to),
            owner=wallet,
            amount=amount,
            decimals=mint.decimals,
        )
        return Plan([spl.transfer_checked(paid)])

    needs = await world.ask(wallet, plan(50).unsigned(wallet))
    assert (needs.verdict, needs.exact, amounts(needs)) == (Verdict.FUNDS, True, {NATIVE: FEE + RENT_MINIMUM})
    needs = await world.ask(wallet, plan(51).unsigned(wallet))
    assert (needs.verdict, needs.exact) == (Verdict.REVERTS, False)
    assert str(place) in needs.detail
    assert needs.outflows == ()


async def test_a_wallet_of_several_keys(world: World) -> None:
    """The token program's multisig: its members sign, its tokens are what is needed, and its account stays its own."""
    mint, to, members, bank = await world.mint(), world.node.bank.pubkey(), [Keypair(), Keypair()], world.node.bank
    await world.node.open_account(mint, to)
    key, rent = Keypair(), await world.node.rpc("getMinimumBalanceForRentExemption", _MULTISIG_SIZE)
    opening = CreateAccountParams(
        from_pubkey=bank.pubkey(), to_pubkey=key.pubkey(), lamports=rent, space=_MULTISIG_SIZE, owner=mint.program
    )
    starting = models.InitializeMultisigParams(
        program_id=mint.program, multisig=key.pubkey(), m=2, signers=[each.pubkey() for each in members]
    )
    await world.node.send([create_account(opening), spl.initialize_multisig(starting)], bank, key)
    wallet = key.pubkey()
    paid = models.TransferCheckedParams(
        program_id=mint.program,
        source=mint.account_of(wallet),
        mint=mint.address,
        dest=mint.account_of(to),
        owner=wallet,
        amount=70,
        decimals=mint.decimals,
        signers=[each.pubkey() for each in members],
    )
    plan = Plan([spl.transfer_checked(paid)], payer=bank, others=members)
    needs = await world.ask(wallet, plan.unsigned(wallet))
    assert (needs.verdict, needs.exact, amounts(needs)) == (Verdict.FUNDS, True, {str(mint.address): 70})
    await world.node.mint_to(mint, wallet, 69)
    with pytest.raises(NodeError):
        await world.send(plan, members[0])
    await world.node.mint_to(mint, wallet, 1)
    await world.send(plan, members[0])


async def test_a_wallet_that_no_key_signs_for(world: World) -> None:
    """An address derived from a key, off the curve: the key signs and pays the fee, the wallet's coins are needed."""
    base, to = Keypair(), world.node.bank.pubkey()
    seed, wallet = next(
        (str(each), key)
        for each in range(100)
        if not (key := Pubkey.create_with_seed(base.pubkey(), str(each), SYSTEM)).is_on_curve()
    )
    await world.fund(base.pubkey(), SOL, {})
    paid = TransferWithSeedParams(
        from_pubkey=wallet, from_base=base.pubkey(), from_seed=seed, from_owner=SYSTEM, to_pubkey=to, lamports=2 * SOL
    )
    plan = Plan([transfer_with_seed(paid)], payer=base)
    needs = await world.ask(wallet, plan.unsigned(wallet))
    assert (needs.verdict, needs.exact, amounts(needs)) == (Verdict.FUNDS, True, {NATIVE: 2 * SOL + RENT_MINIMUM})
    stated = await ask(world, wallet, plan, seconds=0)
    assert (stated.exact, amounts(stated)) == (False, {NATIVE: 2 * SOL + RENT_MINIMUM})
    await world.fund(wallet, 2 * SOL - 1 + RENT_MINIMUM, {})
    with pytest.raises(NodeError):
        await world.send(plan, base)
    await world.node.transfer(world.node.bank, wallet, 1)
    await world.send(plan, base)


async def test_a_signature_that_no_key_can_give(world: World) -> None:
    """A transaction that such a wallet would have to sign itself is refused: it could never be sent."""
    wallet = Pubkey.find_program_address([b"vault"], Keypair().pubkey())[0]
    with pytest.raises(BadTransaction) as caught:
        await world.ask(wallet, Plan([pay(wallet, world.node.bank.pubkey(), SOL)]).unsigned(wallet))
    assert (caught.value.field, caught.value.code) == ("transaction", "malformed")


async def test_a_nonce_that_is_none(world: World) -> None:
    """An account that holds no nonce can't stand for a blockhash, whatever the wallet has."""
    wallet, to = Keypair().pubkey(), world.node.bank.pubkey()
    metas = [
        AccountMeta(to, is_signer=False, is_writable=True),
        AccountMeta(
            Pubkey.from_string("SysvarRecentB1ockHashes11111111111111111111"), is_signer=False, is_writable=False
        ),
        AccountMeta(wallet, is_signer=True, is_writable=False),
    ]
    plan = Plan([Instruction(SYSTEM, struct.pack("<I", 4), metas), pay(wallet, to, SOL)])
    needs = await world.ask(wallet, plan.unsigned(wallet))
    assert (needs.verdict, needs.outflows) == (Verdict.REVERTS, ())
    assert str(to) in needs.detail
