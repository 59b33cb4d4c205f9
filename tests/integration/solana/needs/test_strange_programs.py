"""Programs that look at the time, burn what they are given, or ask for more than anybody has."""

import struct
import time
from base64 import b64decode
from collections.abc import Sequence

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from chains.model import NATIVE
from chains.needs import Verdict
from tests.integration.solana.needs.binaries import (
    FIRST_DATA,
    FIRST_LAMPORTS,
    argument_after,
    assemble,
    leave_unless_more,
    load,
    turn_without_end,
)
from tests.integration.solana.needs.conftest import Plan, World
from tests.integration.solana.needs.steps import FEE, pay, pay_tokens
from tests.integration.solana.needs.test_bounds import ask
from tests.nodes.solana import RENT_MINIMUM, SOL

pytestmark = [pytest.mark.solana, pytest.mark.needs_cheats]

CLOCK = Pubkey.from_string("SysvarC1ock11111111111111111111111111111111")
LOADER = "BPFLoader2111111111111111111111111111111111"
ONLY_BEFORE = [load(2, FIRST_DATA + 32), load(3, argument_after(40)), *leave_unless_more(2, 3)]
ONLY_BEFORE_SLOT = [load(2, FIRST_DATA), load(3, argument_after(40)), *leave_unless_more(2, 3)]
ONLY_THE_RICH = [load(2, argument_after(0)), load(3, FIRST_LAMPORTS), *leave_unless_more(2, 3)]


async def put_program(world: World, steps: Sequence[tuple[int, ...]]) -> Pubkey:
    key = Keypair().pubkey()
    account = {"lamports": SOL, "owner": LOADER, "executable": True, "data": assemble(steps).hex()}
    await world.node.rpc("surfnet_setAccount", str(key), account)
    return key


def call(program: Pubkey, account: Pubkey, argument: int, *, signs: bool = False) -> Instruction:
    meta = AccountMeta(account, is_signer=signs, is_writable=signs)
    return Instruction(program, struct.pack("<Q", argument), [meta])


async def read_clock(world: World) -> tuple[int, int]:
    """The slot, and the time."""
    value = (await world.node.rpc("getAccountInfo", str(CLOCK), {"encoding": "base64"}))["value"]
    slot, _, _, _, now = struct.unpack("<QqQQq", b64decode(value["data"][0]))
    return slot, now


async def test_a_deadline_by_the_clock(world: World) -> None:
    """Before it, the need is exact; after it no money helps, and that is what is told."""
    program, to = await put_program(world, ONLY_BEFORE), world.node.bank.pubkey()
    _, now = await read_clock(world)
    coin, _, _ = await world.prove(
        lambda wallet: Plan([call(program, CLOCK, now + 3_600), pay(wallet, to, SOL)]),
    )
    assert coin == SOL + FEE + RENT_MINIMUM
    wallet = Keypair().pubkey()
    late = Plan([call(program, CLOCK, now - 300), pay(wallet, to, SOL)])
    needs = await world.ask(wallet, late.unsigned(wallet))
    assert (needs.verdict, needs.outflows) == (Verdict.DEADLINE, ())
    never = Plan([call(program, CLOCK, 5), pay(wallet, to, SOL)])
    assert (await world.ask(wallet, never.unsigned(wallet))).verdict is Verdict.REVERTS


async def test_a_deadline_by_the_slot(world: World) -> None:
    """Slots are a clock, too."""
    program, to, wallet = await put_program(world, ONLY_BEFORE_SLOT), world.node.bank.pubkey(), Keypair().pubkey()
    slot, _ = await read_clock(world)
    good = Plan([call(program, CLOCK, slot + 10_000), pay(wallet, to, SOL)])
    assert (await world.ask(wallet, good.unsigned(wallet))).exact
    late = Plan([call(program, CLOCK, max(0, slot - 5)), pay(wallet, to, SOL)])
    needs = await world.ask(wallet, late.unsigned(wallet))
    assert (needs.verdict, needs.outflows) == (Verdict.DEADLINE, ())


async def test_a_program_without_end(world: World) -> None:
    """It ends with its compute units, soon; the process that ran it goes on."""
    program, wallet = await put_program(world, turn_without_end()), Keypair().pubkey()
    mint, to = await world.mint(), world.node.bank.pubkey()
    await world.node.open_account(mint, to)
    good = Plan([pay(wallet, to, SOL)])
    assert (await world.ask(wallet, good.unsigned(wallet))).exact
    process = world.runner._process
    steps = [pay_tokens(mint, wallet, to, 5), pay(wallet, to, SOL), *[call(program, wallet, 0, signs=True)] * 6]
    began = time.monotonic()
    needs = await world.ask(wallet, Plan(steps).unsigned(wallet))
    assert time.monotonic() - began < 5
    assert (needs.verdict, needs.outflows, needs.exact) == (Verdict.REVERTS, (), False)
    assert str(program) in needs.detail
    assert (await world.ask(wallet, good.unsigned(wallet))).exact
    assert world.runner._process is process


async def test_a_program_that_only_serves_the_rich(world: World) -> None:
    """What it wants to see in the wallet is the need, within the bound that was given; beyond it, nothing is asked."""
    program = await put_program(world, ONLY_THE_RICH)
    coin, _, _ = await world.prove(lambda wallet: Plan([call(program, wallet, 7 * SOL, signs=True)]))
    assert coin == 7 * SOL + FEE
    wallet = Keypair().pubkey()
    for greed in (10**6 * SOL, 4 * 10**17, 10**18 - 1, 2**64 - 1):
        plan = Plan([call(program, wallet, greed, signs=True)])
        needs = await ask(world, wallet, plan, most_units=1_000 * SOL)
        assert needs.outflows == (), greed
        assert not needs.exact
        assert needs.verdict is not Verdict.FUNDS


async def test_a_file_that_is_no_program(world: World) -> None:
    """Code that can't be loaded fails as it does on the chain, and the next question is answered."""
    wallet, broken = Keypair().pubkey(), Keypair().pubkey()
    for data in (b"", b"\x7fELF", assemble(turn_without_end())[:-80], bytes(4_000)):
        account = {"lamports": SOL, "owner": LOADER, "executable": True, "data": data.hex()}
        await world.node.rpc("surfnet_setAccount", str(broken), account)
        needs = await world.ask(wallet, Plan([call(broken, wallet, 0, signs=True)]).unsigned(wallet))
        assert not needs.exact
        assert needs.outflows == ()
    assert (await world.ask(wallet, Plan([pay(wallet, world.node.bank.pubkey(), SOL)]).unsigned(wallet))).exact


async def test_large_accounts(world: World) -> None:
    """One that is large is read and run with; it changes nothing of the need."""
    large, wallet, to = Keypair().pubkey(), Keypair().pubkey(), world.node.bank.pubkey()
    account = {"lamports": 100 * SOL, "owner": str(Keypair().pubkey()), "data": "07" * 500_000}
    await world.node.rpc("surfnet_setAccount", str(large), account)
    paid = pay(wallet, to, SOL)
    longer = Instruction(
        paid.program_id, paid.data, [*paid.accounts, AccountMeta(large, is_signer=False, is_writable=False)]
    )
    needs = await world.ask(wallet, Plan([longer]).unsigned(wallet))
    assert needs.exact, needs
    assert sum(each.amount for each in needs.outflows if each.asset == NATIVE) == SOL + FEE + RENT_MINIMUM
    assert str(large) in needs.reads
