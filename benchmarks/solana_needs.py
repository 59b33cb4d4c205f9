"""The needs of each kind of payment on a local Surfpool, by the daemon's own adapter. See `benchmarks.requirement`."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import ClassVar, Final
from unittest.mock import patch

from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, create_account
from spl.token import instructions as spl
from spl.token import models
from spl.token.constants import TOKEN_PROGRAM_ID

from benchmarks.wire import Look, WireClient, looking, ms, noting, p90
from chains.model import NATIVE, Asset, NetworkId
from chains.needs import Limits, TransactionNeeds
from chains.solana.adapter import SolanaChain
from chains.solana.needs.analyse import analyse
from chains.solana.needs.finding import Finding
from chains.solana.needs.machine import Machine
from chains.solana.needs.process import Runner
from chains.solana.needs.proposal import parse
from chains.solana.needs.trial import Trial
from chains.solana.needs.wire import Question
from tests.integration.solana.needs.conftest import Plan, World
from tests.integration.solana.needs.steps import WSOL, close_account, open_account, pay, pay_tokens
from tests.integration.solana.needs.test_more_exact_needs import copy_program, make_table
from tests.nodes.solana import SOL, Mint, SolanaNode

NETWORK: Final = NetworkId("solana:localnet")
COLD: Final = 3
AIM_MS: Final = 10

MakePlan = Callable[[Pubkey], Plan]
Make = Callable[[World], Awaitable[MakePlan]]


async def coins(world: World) -> MakePlan:
    """A transfer."""
    return lambda wallet: Plan([pay(wallet, world.node.bank.pubkey(), SOL)])


async def a_priority_fee(world: World) -> MakePlan:
    """A transfer that is in a hurry."""
    steps = [set_compute_unit_limit(100_000), set_compute_unit_price(1_000_001)]
    return lambda wallet: Plan([*steps, pay(wallet, world.node.bank.pubkey(), SOL)])


async def tokens_to_a_new_account(world: World) -> MakePlan:
    """The receiver's account is opened."""
    return _tokens(await world.mint())


async def tokens_to_an_account_that_is_there(world: World) -> MakePlan:
    """Nothing is opened."""
    mint, to = await world.mint(), world.node.bank.pubkey()
    await world.node.open_account(mint, to)
    return lambda wallet: Plan([pay_tokens(mint, wallet, to, 500)])


async def two_tokens_and_coins(world: World) -> MakePlan:
    """Three assets at once."""
    one, two, to = await world.mint(), await world.mint(), world.node.bank.pubkey()
    for mint in (one, two):
        await world.node.open_account(mint, to)
    return lambda wallet: Plan(
        [pay_tokens(one, wallet, to, 700), pay_tokens(two, wallet, to, 900), pay(wallet, to, 12_345)]
    )


async def a_token_with_a_transfer_fee(world: World) -> MakePlan:
    """Token-2022."""
    return _tokens(await world.mint(fee_points=100))


async def money_that_comes_back(world: World) -> MakePlan:
    """The peak is more than the net."""
    bank = world.node.bank
    return lambda wallet: Plan(
        [pay(wallet, bank.pubkey(), 5 * SOL), pay(bank.pubkey(), wallet, 4 * SOL)], others=[bank]
    )


async def wrapping_and_closing(world: World) -> MakePlan:  # noqa: ARG001  as every case
    """Rent that comes back."""

    def make(wallet: Pubkey) -> Plan:
        account = WSOL.account_of(wallet)
        synced = spl.sync_native(models.SyncNativeParams(program_id=WSOL.program, account=account))
        return Plan(
            [open_account(WSOL, wallet, wallet), pay(wallet, account, SOL), synced, close_account(WSOL, wallet)]
        )

    return make


async def a_sponsored_payer(world: World) -> MakePlan:
    """Somebody else pays the fee."""
    mint, bank = await world.mint(), world.node.bank
    await world.node.open_account(mint, bank.pubkey())
    return lambda wallet: Plan([pay_tokens(mint, wallet, bank.pubkey(), 5)], payer=bank)


async def a_lookup_table(world: World) -> MakePlan:
    """Version 0, with a table."""
    mint, to = await world.mint(), world.node.bank.pubkey()
    await world.node.open_account(mint, to)
    table = await make_table(world.node, mint.account_of(to), mint.address, to)
    return lambda wallet: Plan([pay_tokens(mint, wallet, to, 42), pay(wallet, to, 2 * SOL)], tables=[table])


async def a_program_from_the_chain(world: World) -> MakePlan:
    """Code that is no part of the runtime, and fetched once."""
    own = await copy_program(world.node, str(TOKEN_PROGRAM_ID))

    def make(wallet: Pubkey) -> Plan:
        mint = Keypair()
        opening = CreateAccountParams(
            from_pubkey=wallet, to_pubkey=mint.pubkey(), lamports=1_461_600, space=82, owner=own
        )
        starting = models.InitializeMint2Params(decimals=6, program_id=own, mint=mint.pubkey(), mint_authority=wallet)
        return Plan([create_account(opening), spl.initialize_mint2(starting)], others=[mint])

    return make


def _tokens(mint: Mint) -> MakePlan:
    def make(wallet: Pubkey) -> Plan:
        to = Keypair().pubkey()
        return Plan([open_account(mint, wallet, to), pay_tokens(mint, wallet, to, 10_000)])

    return make


CASES: Final[list[Make]] = [
    coins,
    a_priority_fee,
    tokens_to_an_account_that_is_there,
    tokens_to_a_new_account,
    two_tokens_and_coins,
    a_token_with_a_transfer_fee,
    money_that_comes_back,
    wrapping_and_closing,
    a_sponsored_payer,
    a_lookup_table,
    a_program_from_the_chain,
]


class Listener(Runner):
    """The daemon's runner, which keeps its last question."""

    last: ClassVar[Question | None] = None

    async def ask(self, question: Question) -> Finding:
        """As the daemon asks."""
        Listener.last = question
        return await super().ask(question)


@dataclass(frozen=True, slots=True)
class Figures:
    """One kind of payment."""

    name: str
    cold: Sequence[Look]
    warm: Sequence[Look]
    bare: Sequence[float]
    put: Sequence[float]
    """Seconds in which the worker takes a snapshot in."""
    run: Sequence[float]
    """Seconds of its runs."""
    runs: int
    """How many those are."""
    needs: TransactionNeeds

    @property
    def after(self) -> list[float]:
        """Seconds after the last account was there."""
        return [look.ended - max(trip.ended for trip in look.trips) for look in self.warm]


async def measure(runs: int) -> list[Figures]:
    """Every kind, one after another on one node."""
    async with SolanaNode() as node, WireClient([node.rpc_url]) as rpc:
        return [await _measure(World(node, rpc), make, runs) for make in CASES]


async def _measure(world: World, make: Make, runs: int) -> Figures:
    plan, wallet = await make(world), Keypair().pubkey()
    transaction = plan(wallet).unsigned(wallet)
    limits = Limits([NATIVE, *(str(mint.address) for mint in world.mints)])
    cold, warm, bare = [], [], []
    for _ in range(COLD):
        async with _chain(world.node) as chain:
            await chain.check()
            with looking() as look:
                await chain.find_needs(str(wallet), transaction, limits)
            cold.append(look)
    async with _chain(world.node) as chain:
        needs = await chain.find_needs(str(wallet), transaction, limits)
        rich = await _fund(world, needs)
        funded = plan(rich).unsigned(rich)
        for _ in range(runs):
            with looking() as look:
                await chain.find_needs(str(wallet), transaction, limits)
            warm.append(look)
            bare.append(await _bare(world, funded))
    return Figures(make.__name__, cold, warm, bare, *_replay(runs), needs)


def _chain(node: SolanaNode) -> SolanaChain:
    with noting("chains.solana.adapter"), patch("chains.solana.adapter.Runner", Listener):
        return SolanaChain(
            NETWORK,
            None,
            http_urls=[node.rpc_url],
            assets=[Asset(NETWORK, NATIVE, "SOL", 9)],
            close_confirmations=1,
        )


async def _fund(world: World, needs: TransactionNeeds) -> Pubkey:
    """Another wallet, that has what the first one needs: the bare call fails on one that has less."""
    wallet = Keypair().pubkey()
    totals: dict[str, int] = {}
    for outflow in needs.outflows:
        totals[outflow.asset] = totals.get(outflow.asset, 0) + outflow.amount
    tokens = {mint: totals[str(mint.address)] for mint in world.mints if str(mint.address) in totals}
    await world.fund(wallet, totals.get(NATIVE, 0), tokens)
    return wallet


async def _bare(world: World, transaction: str) -> float:
    """Seconds of one `simulateTransaction` of the same."""
    options = {"encoding": "base64", "sigVerify": False, "replaceRecentBlockhash": True, "commitment": "confirmed"}
    with looking() as look:
        answer = await world.rpc.call("simulateTransaction", [transaction, options])
    if answer["value"]["err"] is not None:
        raise RuntimeError(f"the bare simulation fails: {answer['value']['err']}")
    return look.seconds


def _replay(runs: int) -> tuple[list[float], list[float], int]:
    """The worker's part again in this process, where it can be timed by its steps."""
    question, machine = Listener.last, Machine()
    if question is None:
        raise RuntimeError("nothing was asked")
    put, run = [], []
    for _ in range(runs + 1):
        machine.runs = 0
        began = time.perf_counter()
        machine.put(question.snapshot)
        there = time.perf_counter()
        analyse(Trial(machine, question.snapshot, parse(question.transaction), question.owner, seconds=10))
        put.append(there - began)
        run.append(time.perf_counter() - there)
    return put[1:], run[1:], machine.runs  # the first loads its programs


def render(found: Sequence[Figures]) -> list[str]:
    """Two tables: the figures, and where the time after the fetch goes."""
    lines = [
        "| transaction | median ms | p90 ms | calls | trips | first time ms | bare ms | ratio | exact |",
        "|---|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for each in found:
        times = [look.seconds for look in each.warm]
        lines.append(
            f"| {each.name.replace('_', ' ')} | {ms(times):.1f} | {p90(times) * 1000:.1f} "
            f"| {median(look.calls for look in each.warm):.0f} | {median(look.sequential for look in each.warm):.0f} "
            f"| {ms([look.seconds for look in each.cold]):.0f} | {ms(each.bare):.2f} "
            f"| {median(times) / median(each.bare):.1f} | {'yes' if each.needs.exact else 'no'} |"
        )
    lines += [
        "",
        "| ms | fetch | after it | p90 | of that: accounts put in | runs | how many | pipe, JSON |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for each in found:
        fetch = [look.seconds - after for look, after in zip(each.warm, each.after, strict=True)]
        rest = max(0.0, ms(each.after) - ms(each.put) - ms(each.run))
        lines.append(
            f"| {each.name.replace('_', ' ')} | {ms(fetch):.1f} | {ms(each.after):.1f} | {p90(each.after) * 1000:.1f} "
            f"| {ms(each.put):.1f} | {ms(each.run):.1f} | {each.runs} | {rest:.1f} |"
        )
    slow = [each.name.replace("_", " ") for each in found if ms(each.after) > AIM_MS]
    short = f"; not by {', '.join(slow)}." * bool(slow)
    return [*lines, "", f"Aim of {AIM_MS} ms after the fetch: met by {len(found) - len(slow)} of {len(found)}{short}"]
