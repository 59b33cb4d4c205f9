"""What a proposed transaction needs: fetched once, run elsewhere, told in the words of every chain."""

import asyncio
from collections.abc import Awaitable
from typing import Final, TypeVar

from chains.errors import Unavailable
from chains.model import BlockRef
from chains.needs import BadTransaction, Limits, TransactionNeeds, Verdict
from chains.rpc import Endpoint, RpcClient
from chains.solana.needs.bill import make_needs
from chains.solana.needs.deadline import is_over
from chains.solana.needs.fallback import simulate
from chains.solana.needs.fetch import Calls, Moved, TooMuch, fetch
from chains.solana.needs.finding import Finding
from chains.solana.needs.process import Broken, Runner
from chains.solana.needs.programs import Programs, TooMuchCode
from chains.solana.needs.proposal import FIELD, Proposal, parse
from chains.solana.needs.snapshot import NoTable, Snapshot
from chains.solana.needs.wallet import concerns
from chains.solana.needs.wire import Question

T = TypeVar("T")

_TRIES: Final = 3
_LEAST_READING: Final = 1.0
"""Seconds for what is read of one endpoint, however few may pass in running it."""


async def find_needs(
    rpc: RpcClient,
    owner: str,
    transaction: str,
    *,
    limits: Limits,
    runner: Runner,
    programs: Programs,
    min_slot: int = 0,
) -> TransactionNeeds:
    """What `owner` must have for it to succeed.

    `transaction` is a message or a transaction in base64, signed or not. `runner` and `programs` are kept between
    calls. Answers from before `min_slot` are not believed. Raises `BadTransaction`, `Unavailable`.
    """
    proposal = parse(transaction)

    async def in_time(endpoint: Endpoint, reading: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(max(limits.seconds, _LEAST_READING)):
                return await reading
        except TimeoutError:
            rpc.doubt(endpoint)
            raise Unavailable(f"{endpoint.host} answers too slowly") from None

    async def on(endpoint: Endpoint) -> TransactionNeeds:
        calls = Calls(rpc, endpoint, limits.most_calls, min_slot)
        try:
            snapshot = await in_time(endpoint, _fetch_patiently(calls, proposal, owner, limits, programs))
            _check_sender(snapshot, owner)
            finding = await in_time(endpoint, is_over(calls, proposal, snapshot))
            if finding is None:
                finding = await _run(runner, Question(transaction, owner, limits.seconds, snapshot))
            if finding.verdict is Verdict.UNKNOWN:
                finding = await in_time(endpoint, simulate(calls, proposal, snapshot, owner, finding.detail))
        except (NoTable, TooMuch, TooMuchCode) as error:
            verdict = Verdict.REVERTS if isinstance(error, NoTable) else Verdict.UNKNOWN
            return _unread(proposal, verdict, str(error), calls)
        return make_needs(proposal, snapshot, finding, limits, calls.made)

    return await rpc.on_one(on)


async def _fetch_patiently(
    calls: Calls, proposal: Proposal, owner: str, limits: Limits, programs: Programs
) -> Snapshot:
    for _ in range(_TRIES):
        try:
            return await fetch(calls, proposal, owner, limits.known, programs)
        except Moved:
            continue
    raise Unavailable("the slot moved on between two parts of each read")


def _check_sender(snapshot: Snapshot, owner: str) -> None:
    if not concerns(owner, snapshot):
        raise BadTransaction(FIELD, "other_sender", "does not concern this wallet")


async def _run(runner: Runner, question: Question) -> Finding:
    try:
        return await runner.ask(question)
    except Broken as error:
        return Finding(Verdict.UNKNOWN, f"it could not be run: {error}")
    except TimeoutError:
        return Finding(Verdict.UNKNOWN, "it could not be run: others were in front for too long")


def _unread(proposal: Proposal, verdict: Verdict, detail: str, calls: Calls) -> TransactionNeeds:
    reads = frozenset([*proposal.keys, *(lookup.table for lookup in proposal.lookups)])
    return TransactionNeeds(
        BlockRef(calls.min_slot, None),
        (),
        verdict,
        detail,
        exact=False,
        method="decode",
        reads=reads,
        unknown_assets=(),
        calls=calls.made,
    )
