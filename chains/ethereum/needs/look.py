"""Runs a transaction with plenty of whatever it touches, until a run touches nothing new."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from chains.errors import RpcError
from chains.ethereum.needs import probe, simulate, trace
from chains.ethereum.needs.layouts import Slot
from chains.ethereum.needs.memory import Memory
from chains.ethereum.needs.node import Node, is_unsupported
from chains.ethereum.needs.proposal import Proposal
from chains.ethereum.needs.reverts import Cause, is_execution
from chains.ethereum.needs.runs import Run
from chains.ethereum.needs.slots import View, find_slots, is_proof, layout_of, proof_request
from chains.ethereum.needs.start import Start, opening_state
from chains.ethereum.needs.state import State
from chains.ethereum.needs.touched import MOST_TOKENS, PERMIT2, Touched, allowance, guess_approvals, read_trace
from chains.ethereum.needs.words import BALANCE_OF, PERMIT_ALLOWANCE, addresses_in, lower
from chains.model import NATIVE
from chains.rpc import Request

_MOST_ROUNDS: Final = 6
_FOR_EVER: Final = ((1 << 48) - 1) << 160
"""The latest expiry of a Permit2 allowance, in its word."""
_MOST_WORDS: Final = 8
"""Words of calldata that are taken for contracts."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the last run showed, and in which state it ran."""

    method: str
    run: Run
    state: State
    slots: Mapping[View, Slot]
    touched: Touched


async def look(
    node: Node, memory: Memory, proposal: Proposal, start: Start, *, ways: Sequence[str], known: Collection[str]
) -> Seen | None:
    """None when the node can run nothing in another state than the chain's."""
    tracing = "trace" in ways and isinstance(start.trace, Mapping)
    spenders: tuple[str, ...] = ()
    if tracing:
        touched = read_trace(start.trace, proposal.sender) | _named(proposal, known)
    else:
        touched, spenders = await _guess(node, memory, proposal, known)
    slots, tried = dict[View, Slot](), set[View]()
    seen: Seen | None = None
    for _ in range(_MOST_ROUNDS):
        doubted = dict[View, Slot]()
        for _ in range(2):  # a token that is one may bring guessed approvals
            new = [each for each in touched.views(proposal.sender) if each not in tried]
            tried.update(new)
            found = await find_slots(node, memory, new)
            slots |= found.slots
            doubted |= found.doubted
            touched |= guess_approvals(proposal.sender, _tokens_of(found.slots), spenders)
        seen = await _run_proven(node, memory, proposal, start, ways=ways, slots=slots, doubted=doubted)
        if seen is None:
            return None
        slots = dict(seen.slots)
        touched |= seen.touched | _told(seen.run, proposal.sender, _tokens_of(slots))
        if not set(touched.views(proposal.sender)) - tried:
            break
    return replace(seen, touched=touched) if seen is not None else None


def _tokens_of(slots: Mapping[View, Slot]) -> list[str]:
    return [each.contract for each in slots if each.selector == BALANCE_OF]


def _named(proposal: Proposal, known: Collection[str]) -> Touched:
    """Known tokens that the calldata names, and what its target may take of them.

    A trace without funds ends at the first token: the others are seen at once.
    """
    wanted = {each.lower() for each in known}
    tokens = [each for each in addresses_in(proposal.data, _MOST_WORDS) if each in wanted]
    target = proposal.to
    approvals = {allowance(each, proposal.sender, target) for each in tokens if target and target != each}
    return Touched(frozenset(tokens), frozenset(approvals))


async def _run_proven(
    node: Node,
    memory: Memory,
    proposal: Proposal,
    start: Start,
    *,
    ways: Sequence[str],
    slots: Mapping[View, Slot],
    doubted: Mapping[View, Slot],
) -> Seen | None:
    """A run with plenty in all slots, and in the same round trip the proof of the doubted ones.

    Where one is refuted, that run is worth nothing: it is run again without it.
    """
    seen, refuted = await _run(node, memory, proposal, start, ways=ways, slots=slots, doubted=doubted)
    if seen is None:
        return None
    for each, slot in doubted.items():
        layout = None if each in refuted else layout_of(each, slot)
        if layout is not None:
            memory.learn(*each.kind, layout)
    if refuted:
        sound = {each: slot for each, slot in slots.items() if each not in refuted}
        seen, _ = await _run(node, memory, proposal, start, ways=ways, slots=sound, doubted={})
    return seen


def _with_plenty(state: State, slots: Mapping[View, Slot]) -> State:
    for each, slot in slots.items():
        forever = _FOR_EVER if each.selector == PERMIT_ALLOWANCE else 0
        state = state.with_word(slot.place, slot.holding(slot.ample) | forever)
    return state


def _told(run: Run, sender: str, tokens: Sequence[str]) -> Touched:
    """What a run without a trace tells: tokens that moved, and the spender that an error names."""
    moved = frozenset(asset for asset, amount in run.moves if amount > 0 and asset != NATIVE)
    named = run.failure.named if run.failure is not None and run.failure.cause is Cause.ALLOWANCE else ()
    approvals = {allowance(token, sender, spender) for token in tokens for spender in named if spender != sender}
    return Touched(moved, frozenset(approvals))


async def _guess(
    node: Node, memory: Memory, proposal: Proposal, known: Collection[str]
) -> tuple[Touched, tuple[str, ...]]:
    """Tokens and spenders of a node that can't trace: what the calldata names, and what the call reads."""
    requests: list[Request] = []
    if memory.can(node.host, "eth_createAccessList"):
        requests.append(("eth_createAccessList", [proposal.call(), node.block]))
    candidates = tuple(dict.fromkeys((*addresses_in(proposal.data, _MOST_WORDS), PERMIT2)))
    requests += [("eth_getCode", [each, node.block]) for each in candidates]
    answers = await node.many(requests)
    codes = answers[-len(candidates) :]
    named = [each for each, code in zip(candidates, codes, strict=True) if isinstance(code, str) and len(code) > 2]  # noqa: PLR2004  0x
    reads = _accessed(answers[0])
    tokens = [proposal.to, *named, *reads, *(each.lower() for each in known if each != NATIVE)]
    spenders = [proposal.to, *named, *reads]
    tokens = [each for each in dict.fromkeys(tokens) if each not in (None, PERMIT2, proposal.sender)]
    touched = Touched(frozenset(each for each in tokens[:MOST_TOKENS] if each), frozenset(), frozenset(reads))
    return touched, tuple(each for each in spenders if each)


def _accessed(answer: Any) -> list[str]:
    """Contracts of an access list; geth gives one with the error of a call that failed."""
    entries = answer.get("accessList") if isinstance(answer, Mapping) else None
    return [lower(entry.get("address")) for entry in entries or () if isinstance(entry, Mapping)]


async def _run(
    node: Node,
    memory: Memory,
    proposal: Proposal,
    start: Start,
    *,
    ways: Sequence[str],
    slots: Mapping[View, Slot],
    doubted: Mapping[View, Slot],
) -> tuple[Seen | None, set[View]]:
    """By the first way that the node has, in one round trip; and which of the doubted slots were refuted."""
    state, tokens = _with_plenty(opening_state(proposal), slots), sorted(_tokens_of(slots))
    probed = None if start.has_code else probe.probe_request(node, proposal, state, tokens)
    traced = trace.trace_request(node, proposal, state)
    tracing = "trace" in ways and memory.can(node.host, trace.METHOD)
    extra = {"simulate": traced if tracing else None, "trace": probed, "call": probed}
    main = {
        "simulate": simulate.simulate_request(node, proposal, state, tokens),
        "trace": traced,
        "call": probe.plain_request(node, proposal, state),
    }
    proofs = [proof_request(node, each, slot) for each, slot in doubted.items()]
    for way in ways:
        if way not in main or not memory.can(node.host, main[way][0]):
            continue
        beside = extra[way]
        answer, *more = await node.many([main[way], *proofs, *([beside] if beside else [])])
        if isinstance(answer, RpcError) and not is_execution(answer):
            if is_unsupported(answer):
                memory.cannot(node.host, main[way][0])
            continue
        side = more[-1] if beside else None
        if way == "call" and side is not None and not _is_run(side):
            return None, set()
        run, touched = _read(way, answer, side, proposal, tokens)
        proven = zip(doubted.items(), more, strict=False)
        refuted = {each for (each, slot), shown in proven if not is_proof(shown, slot)}
        return Seen(way, run, state, dict(slots), touched), refuted
    return None, set()


def _is_run(side: Any) -> bool:
    if isinstance(side, RpcError):
        return is_execution(side)
    return probe.is_planted(side)


def _read(way: str, answer: Any, side: Any, proposal: Proposal, tokens: Sequence[str]) -> tuple[Run, Touched]:
    """What the way and what went beside it showed."""
    if way == "simulate":
        touched = read_trace(side, proposal.sender) if isinstance(side, Mapping) else Touched()
        return simulate.read_simulation(answer, proposal, tokens), touched
    planted = probe.read_probe(side, tokens) if side is not None and _is_run(side) else Run(None)
    fell = planted.fell if planted.ok else {}
    if way == "trace":
        run = trace.read_trace_run(answer, proposal)
        return replace(run, fell=fell), read_trace(answer, proposal.sender)
    return replace(probe.read_plain(answer), fell=fell), Touched()
