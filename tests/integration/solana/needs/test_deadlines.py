"""A time that is over is told only where it can be known."""

import struct
from base64 import b64decode, b64encode

import pytest
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import CreateAccountParams, create_account
from solders.transaction import VersionedTransaction

from chains.needs import Verdict
from chains.solana.needs.proposal import stored_nonce
from tests.integration.solana.needs.conftest import Plan, World
from tests.integration.solana.needs.steps import FEE, pay
from tests.nodes.solana import RENT_MINIMUM, SOL

pytestmark = pytest.mark.solana

SYSTEM = Pubkey.default()
BLOCKHASHES = Pubkey.from_string("SysvarRecentB1ockHashes11111111111111111111")
RENT = Pubkey.from_string("SysvarRent111111111111111111111111111111111")


def readonly(key: Pubkey, *, signs: bool = False) -> AccountMeta:
    return AccountMeta(key, is_signer=signs, is_writable=False)


def writable(key: Pubkey) -> AccountMeta:
    return AccountMeta(key, is_signer=False, is_writable=True)


def advance(nonce: Pubkey, authority: Pubkey) -> Instruction:
    metas = [writable(nonce), readonly(BLOCKHASHES), readonly(authority, signs=True)]
    return Instruction(SYSTEM, struct.pack("<I", 4), metas)


async def open_nonce(world: World, authority: Pubkey) -> Pubkey:
    key, bank = Keypair(), world.node.bank
    opening = CreateAccountParams(
        from_pubkey=bank.pubkey(), to_pubkey=key.pubkey(), lamports=1_447_680, space=80, owner=SYSTEM
    )
    metas = [writable(key.pubkey()), readonly(BLOCKHASHES), readonly(RENT)]
    starting = Instruction(SYSTEM, struct.pack("<I", 6) + bytes(authority), metas)
    await world.node.send([create_account(opening), starting], bank, key)
    return key.pubkey()


async def read_nonce(world: World, nonce: Pubkey) -> Hash:
    options = {"encoding": "base64", "commitment": "confirmed"}
    answer = await world.node.rpc("getAccountInfo", str(nonce), options)
    stored = stored_nonce(b64decode(answer["value"]["data"][0]))
    assert stored is not None
    return Hash.from_string(stored)


async def test_a_durable_nonce(world: World) -> None:
    """Good as long as nobody used it; then it is over, for whoever signs."""
    wallet, to = Keypair(), world.node.bank.pubkey()
    nonce = await open_nonce(world, wallet.pubkey())
    plan = Plan([advance(nonce, wallet.pubkey()), pay(wallet.pubkey(), to, SOL)])
    before = await read_nonce(world, nonce)
    message = b64encode(b"\x80" + bytes(plan.message(wallet.pubkey(), before))).decode()
    needs = await world.ask(wallet.pubkey(), message)
    assert (needs.verdict, needs.exact) == (Verdict.FUNDS, True)
    assert sum(each.amount for each in needs.outflows) == SOL + FEE + RENT_MINIMUM
    await world.fund(wallet.pubkey(), 10 * SOL, {})
    await world.node.send([advance(nonce, wallet.pubkey())], wallet)

    async def is_used() -> bool:
        return await read_nonce(world, nonce) != before

    await world.node.wait_until(is_used, what="the nonce")
    needs = await world.ask(wallet.pubkey(), message)
    assert (needs.verdict, needs.outflows) == (Verdict.DEADLINE, ())
    assert str(nonce) in needs.reads


async def test_a_blockhash_that_somebody_signed(world: World) -> None:
    """An old blockhash is over once signed; unsigned, the wallet replaces it; a new one is good."""
    sponsor, wallet = world.node.bank, Keypair()
    plan = Plan([pay(wallet.pubkey(), sponsor.pubkey(), SOL)], payer=sponsor)
    latest = await world.node.rpc("getLatestBlockhash", {"commitment": "confirmed"})
    new, old = Hash.from_string(latest["value"]["blockhash"]), Hash.new_unique()

    def signed(blockhash: Hash) -> str:
        message = plan.message(wallet.pubkey(), blockhash)
        signature = sponsor.sign_message(b"\x80" + bytes(message))
        return b64encode(bytes(VersionedTransaction.populate(message, [signature, Signature.default()]))).decode()

    assert (await world.ask(wallet.pubkey(), signed(old))).verdict is Verdict.DEADLINE
    assert (await world.ask(wallet.pubkey(), signed(new))).exact
    assert (await world.ask(wallet.pubkey(), plan.unsigned(wallet.pubkey()))).exact
