"""A node that fails, lies or lags: never an amount out of a bad answer, and a good endpoint beside it is enough."""

import asyncio
import signal
import struct
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from chains.errors import BlockGone, Unavailable
from chains.model import NATIVE
from chains.needs import Limits, TransactionNeeds, Verdict
from chains.rpc import RpcClient
from chains.solana.needs.find import find_needs
from chains.solana.needs.process import Runner
from chains.solana.needs.programs import Programs
from chains.solana.needs.snapshot import CLOCK, RENT
from chains.solana.reader import classify
from tests.integration.solana.needs.conftest import Plan
from tests.integration.solana.needs.steps import FEE, pay
from tests.nodes.scripted_solana import Fault, ScriptedSolana
from tests.nodes.solana import RENT_MINIMUM, SOL

SYSTEM = "11111111111111111111111111111111"
LOADER = "NativeLoader1111111111111111111111111111111"
SYSVARS = "Sysvar1111111111111111111111111111111111111"
TABLES = "AddressLookupTab1e1111111111111111111111111"
WALLET = Keypair()
TO = Keypair().pubkey()
PAYMENT = Plan([pay(WALLET.pubkey(), TO, SOL)])


class Node(ScriptedSolana):
    """One that knows a clock and a rent, and can be slow, or hold answers back."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self.results: dict[str, Any] = {}
        """Instead of what it would say."""
        self.answering: set[asyncio.Task[Any]] = set()
        self.put(SYSTEM, LOADER, b"system_program", executable=True)
        self.put(CLOCK, SYSVARS, struct.pack("<QqQQq", 1000, 0, 2, 3, 1_700_000_000))
        self.put(RENT, SYSVARS, struct.pack("<QdB", 3_480, 2.0, 50))

    def put(self, key: str, owner: str, data: bytes, *, executable: bool = False, **more: Any) -> None:
        """An account as nodes tell it."""
        self.hold(key, SOL, owner=owner, data=data)
        self.accounts[key] |= {"executable": executable, "space": len(data), "rentEpoch": 2**64 - 1, **more}

    async def _http(self, request: web.Request) -> web.StreamResponse:
        if self.seconds and (task := asyncio.current_task()) is not None:
            self.answering.add(task)
            await asyncio.sleep(self.seconds)
        return await super()._http(request)

    def _result(self, method: str, params: list[Any], fault: Fault | None) -> Any:
        given = super()._result(method, params, fault)
        return self.results.get(method, given)


@pytest.fixture
async def scripted() -> AsyncIterator[Node]:
    async with Node() as made:
        yield made


@pytest.fixture
async def second() -> AsyncIterator[Node]:
    async with Node() as made:
        yield made


@pytest.fixture
async def runner() -> AsyncIterator[Runner]:
    made = Runner()
    yield made
    await made.close()


async def ask(
    runner: Runner, *nodes: Node, transaction: str | None = None, min_slot: int = 0, **limits: Any
) -> TransactionNeeds:
    async with RpcClient([node.url for node in nodes], timeout_seconds=3, classify=classify) as rpc:
        return await find_needs(
            rpc,
            str(WALLET.pubkey()),
            transaction or PAYMENT.unsigned(WALLET.pubkey()),
            limits=Limits([NATIVE], **limits),
            runner=runner,
            programs=Programs(),
            min_slot=min_slot,
        )


def total(needs: TransactionNeeds) -> int:
    return sum(each.amount for each in needs.outflows)


@pytest.mark.parametrize("fault", list(Fault))
async def test_a_fault_is_never_an_amount(scripted: Node, runner: Runner, fault: Fault) -> None:
    """Where the only endpoint fails, nothing is said; once it is well again, the need is exact."""
    scripted.always = fault
    with pytest.raises((Unavailable, BlockGone)):
        await ask(runner, scripted, min_slot=1000)
    scripted.always = None
    needs = await ask(runner, scripted, min_slot=1000)
    assert (needs.exact, total(needs), needs.at.number) == (True, SOL + FEE + RENT_MINIMUM, 1000)


@pytest.mark.parametrize("fault", list(Fault))
async def test_another_endpoint_is_asked(scripted: Node, second: Node, runner: Runner, fault: Fault) -> None:
    """A failing first endpoint costs nothing but time."""
    scripted.always = fault
    needs = await ask(runner, scripted, second, min_slot=1000)
    assert (needs.exact, total(needs)) == (True, SOL + FEE + RENT_MINIMUM)


async def test_a_slow_endpoint(scripted: Node, second: Node, runner: Runner) -> None:
    """It is given up within the time of one transaction, and the next one asked."""
    scripted.seconds = 1.3
    began = time.monotonic()
    with pytest.raises(Unavailable, match="too slowly"):
        await ask(runner, scripted, seconds=1)
    assert time.monotonic() - began < 3
    assert (await ask(runner, scripted, second, seconds=1)).exact
    scripted.seconds = 0
    await asyncio.gather(*scripted.answering, return_exceptions=True)


@pytest.mark.parametrize("gone", [CLOCK, RENT])
async def test_a_node_without_clock_or_rent(scripted: Node, runner: Runner, gone: str) -> None:
    """A missing sysvar is a node's fault, not a free transaction."""
    del scripted.accounts[gone]
    with pytest.raises(Unavailable):
        await ask(runner, scripted)


@pytest.mark.parametrize(
    "wrong",
    [
        {"lamports": -1},
        {"lamports": 2**64},
        {"lamports": "7"},
        {"lamports": None},
        {"owner": "nobody"},
        {"owner": None},
        {"data": []},
        {"data": ["AAAA", "base64"], "space": 200},
        {"data": None},
    ],
)
async def test_a_malformed_account(scripted: Node, runner: Runner, wrong: dict[str, Any]) -> None:
    """An account that makes no sense, or was cut, is an error and never a balance."""
    scripted.put(str(WALLET.pubkey()), SYSTEM, b"")
    scripted.accounts[str(WALLET.pubkey())] |= wrong
    with pytest.raises(Unavailable):
        await ask(runner, scripted)


async def test_accounts_too_large_to_read(scripted: Node, runner: Runner) -> None:
    """More bytes than are read for one transaction: it is unknown, and not one of them is asked for."""
    scripted.put(str(TO), str(Keypair().pubkey()), bytes(16_384), space=20 * 2**20)
    needs = await ask(runner, scripted)
    assert (needs.verdict, needs.outflows, needs.exact) == (Verdict.UNKNOWN, (), False)
    assert scripted.asked.count("getMultipleAccounts") == 1


async def test_a_slot_that_never_stands_still(scripted: Node, runner: Runner) -> None:
    """Parts of one read at different slots are never put together."""
    keys = [Keypair().pubkey() for _ in range(110)]
    table = AddressLookupTableAccount(Keypair().pubkey(), keys)
    state = struct.pack("<IQQBB32sH", 1, 2**64 - 1, 0, 0, 0, b"", 0)
    scripted.put(str(table.key), TABLES, state + b"".join(map(bytes, keys)))
    paid = pay(WALLET.pubkey(), TO, SOL)
    named = [*paid.accounts, *(AccountMeta(key, is_signer=False, is_writable=False) for key in keys)]
    many = Plan([Instruction(paid.program_id, paid.data, named)], tables=[table]).unsigned(WALLET.pubkey())
    scripted.slips.extend([0, 1, 2, 3, 3, 3])  # each time the table, and both parts of a read
    scripted.results["simulateTransaction"] = {"value": {"err": "TooManyAccountLocks"}}
    needs = await ask(runner, scripted, transaction=many)
    assert (needs.verdict, needs.at.number, needs.outflows) == (Verdict.UNKNOWN, 1003, ()), needs.detail
    scripted.slips.extend(range(4, 1000))
    with pytest.raises(Unavailable, match="moved on"):
        await ask(runner, scripted, transaction=many)


@pytest.mark.parametrize("word", [{}, [], {"value": None}, {"value": "yes"}, {"value": 1}])
async def test_a_vague_word_about_a_blockhash(scripted: Node, runner: Runner, word: Any) -> None:
    """Whether a signed blockhash is too old is known, or nothing is."""
    message = PAYMENT.message(WALLET.pubkey(), Hash.new_unique())
    signed = b64encode(bytes(VersionedTransaction(message, [WALLET]))).decode()
    scripted.results["isBlockhashValid"] = word
    with pytest.raises(Unavailable):
        await ask(runner, scripted, transaction=signed)
    scripted.results["isBlockhashValid"] = {"value": True}
    assert (await ask(runner, scripted, transaction=signed)).exact


@pytest.mark.parametrize(
    "word",
    [
        {},
        [],
        {"value": None},
        {"value": {"err": None}},
        {"value": {"err": None, "accounts": None}},
        {"value": {"err": None, "accounts": []}},
        {"value": {"err": None, "accounts": [7]}},
        {"value": {"err": None, "accounts": [{"lamports": -5, "owner": SYSTEM, "data": ["", "base64"]}]}},
    ],
)
async def test_a_vague_simulation(scripted: Node, runner: Runner, word: Any) -> None:
    """The fallback reads the node's answer as carefully as any other."""
    scripted.results["simulateTransaction"] = word
    with pytest.raises(Unavailable):
        await ask(runner, scripted, seconds=0)


async def test_a_simulation_that_is_refused(scripted: Node, runner: Runner) -> None:
    """It is unknown then, without an amount."""
    scripted.results["simulateTransaction"] = {"value": {"err": "SanitizeFailure"}}
    needs = await ask(runner, scripted, seconds=0)
    assert (needs.verdict, needs.outflows) == (Verdict.UNKNOWN, ())


async def test_many_at_once_stay_apart(scripted: Node, runner: Runner) -> None:
    """Ten at once: each gets its own answer, while one of them is given up and another's process is killed."""

    async def one(amount: int) -> TransactionNeeds:
        plan = Plan([pay(WALLET.pubkey(), TO, amount * SOL)])
        return await ask(runner, scripted, transaction=plan.unsigned(WALLET.pubkey()))

    await one(1)
    asked = [asyncio.create_task(one(amount)) for amount in range(1, 11)]
    await asyncio.sleep(0.01)
    asked[4].cancel()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(answers[4], asyncio.CancelledError)
    for amount, needs in enumerate(answers, 1):
        if isinstance(needs, TransactionNeeds):
            assert (needs.exact, total(needs)) == (True, amount * SOL + FEE + RENT_MINIMUM)
    assert sum(isinstance(needs, TransactionNeeds) for needs in answers) == 9


async def test_a_question_that_is_given_up(scripted: Node, runner: Runner) -> None:
    """Its process goes with it: no late answer is taken for that of the next question."""
    assert (await ask(runner, scripted)).exact
    process = runner._process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    asked = asyncio.create_task(ask(runner, scripted))
    async with asyncio.timeout(5):
        while not runner._lock.locked():  # noqa: ASYNC110  a lock tells nobody
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    assert process.returncode is not None
    assert (await ask(runner, scripted)).exact


async def test_a_process_that_dies_again_and_again(scripted: Node, runner: Runner) -> None:
    """Each is replaced; what was asked of it is answered by the node, and not called exact."""
    scripted.results["simulateTransaction"] = {"value": {"err": "AccountNotFound"}}
    pids = set()
    for _ in range(3):
        assert (await ask(runner, scripted)).exact
        process = runner._process
        assert process is not None
        pids.add(process.pid)
        process.kill()
        needs = await ask(runner, scripted)
        assert (needs.exact, total(needs)) == (False, SOL + FEE + RENT_MINIMUM)
    assert len(pids) == 3


async def test_a_signature_of_nobody_is_none(scripted: Node, runner: Runner) -> None:
    """Room for signatures is not a signature: such a blockhash is not asked about."""
    message = PAYMENT.message(WALLET.pubkey(), Hash.new_unique())
    text = b64encode(bytes(VersionedTransaction.populate(message, [Signature.default()]))).decode()
    assert (await ask(runner, scripted, transaction=text)).exact
    assert "isBlockhashValid" not in scripted.asked
