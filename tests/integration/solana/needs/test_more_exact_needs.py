"""Tables, nonces, programs of somebody's own, accounts that are closed: each lands with what was said, and no less."""

import struct
from base64 import b64decode

import pytest
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, create_account
from spl.token import instructions as spl
from spl.token import models
from spl.token.constants import TOKEN_PROGRAM_ID

from tests.integration.solana.needs.conftest import Plan, World
from tests.integration.solana.needs.steps import FEE, RENT_OF_TOKENS, close_account, open_account, pay, pay_tokens
from tests.nodes.solana import RENT_MINIMUM, SOL, SolanaNode

pytestmark = pytest.mark.solana

TABLES = Pubkey.from_string("AddressLookupTab1e1111111111111111111111111")
UPGRADEABLE = "BPFLoaderUpgradeab1e11111111111111111111111"
MEMO = "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"


async def make_table(node: SolanaNode, *keys: Pubkey) -> AddressLookupTableAccount:
    """A lookup table that can be used."""
    slot, bank = await node.slot("finalized"), node.bank.pubkey()
    table, bump = Pubkey.find_program_address([bytes(bank), struct.pack("<Q", slot)], TABLES)
    metas = [
        AccountMeta(table, is_signer=False, is_writable=True),
        AccountMeta(bank, is_signer=True, is_writable=False),
        AccountMeta(bank, is_signer=True, is_writable=True),
        AccountMeta(Pubkey.default(), is_signer=False, is_writable=False),
    ]
    making = Instruction(TABLES, struct.pack("<IQB", 0, slot, bump), metas)
    filling = Instruction(TABLES, struct.pack("<IQ", 2, len(keys)) + b"".join(map(bytes, keys)), metas)
    await node.send([making, filling], node.bank)
    made = await node.slot()

    async def is_later() -> bool:
        return await node.slot() > made + 1

    await node.wait_until(is_later, what="the slot after a table")
    return AddressLookupTableAccount(table, list(keys))


async def copy_program(node: SolanaNode, program: str) -> Pubkey:
    """The same code at an address of its own."""
    copy, code = Keypair().pubkey(), Keypair().pubkey()

    async def put(key: Pubkey, source: dict[str, object], data: bytes) -> None:
        changed = {name: source[name] for name in ("lamports", "owner", "executable")}
        await node.rpc("surfnet_setAccount", str(key), {**changed, "data": data.hex()})

    async def read(key: str) -> tuple[dict[str, object], bytes]:
        account = (await node.rpc("getAccountInfo", key, {"encoding": "base64"}))["value"]
        return account, b64decode(account["data"][0])

    own, data = await read(program)
    if own["owner"] == UPGRADEABLE:
        source, binary = await read(str(Pubkey.from_bytes(data[4:36])))
        await put(code, source, binary)
        data = data[:4] + bytes(code)
    await put(copy, own, data)
    return copy


async def test_a_lookup_table(world: World) -> None:
    """Accounts named by their place in a table."""
    mint, to = await world.mint(), world.node.bank.pubkey()
    await world.node.open_account(mint, to)
    table = await make_table(world.node, mint.account_of(to), mint.address, to)

    def make(wallet: Pubkey) -> Plan:
        return Plan([pay_tokens(mint, wallet, to, 42), pay(wallet, to, 2 * SOL)], tables=[table])

    coin, tokens, needs = await world.prove(make)
    assert (coin, tokens) == (2 * SOL + FEE + RENT_MINIMUM, {str(mint.address): 42})
    assert {str(table.key), str(mint.address), str(to)} <= needs.reads


@pytest.mark.needs_cheats
async def test_programs_from_the_chain(world: World) -> None:
    """Code that only this chain has, of both kinds of loader, is read from it and run."""
    own, memo = await copy_program(world.node, str(TOKEN_PROGRAM_ID)), await copy_program(world.node, MEMO)

    def make(wallet: Pubkey) -> Plan:
        mint = Keypair()
        opening = CreateAccountParams(
            from_pubkey=wallet, to_pubkey=mint.pubkey(), lamports=1_461_600, space=82, owner=own
        )
        starting = models.InitializeMint2Params(decimals=6, program_id=own, mint=mint.pubkey(), mint_authority=wallet)
        note = Instruction(memo, b"hello", [AccountMeta(wallet, is_signer=True, is_writable=False)])
        return Plan([create_account(opening), spl.initialize_mint2(starting), note], others=[mint])

    coin, _, needs = await world.prove(make)
    assert coin == 1_461_600 + 2 * FEE + RENT_MINIMUM
    first = needs.calls
    _, _, needs = await world.prove(make)
    assert needs.calls == first - 1  # the code is not read again


async def test_spending_all_and_closing(world: World) -> None:
    """With more than it takes the account could not be closed: the amount is told all the same."""
    mint, to = await world.mint(), world.node.bank.pubkey()
    await world.node.open_account(mint, to)
    coin, tokens, _ = await world.prove(
        lambda wallet: Plan([pay_tokens(mint, wallet, to, 900), close_account(mint, wallet)])
    )
    assert (coin, tokens) == (FEE + RENT_MINIMUM, {str(mint.address): 900})  # the fee is taken before rent comes back


async def test_a_new_account_of_a_new_wallet_for_itself(world: World) -> None:
    """Opening an account for oneself needs rent and no tokens."""
    mint = await world.mint()
    coin, tokens, _ = await world.prove(lambda wallet: Plan([open_account(mint, wallet, wallet)]))
    assert (coin, tokens) == (RENT_OF_TOKENS + FEE + RENT_MINIMUM, {})
