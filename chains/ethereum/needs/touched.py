"""Which tokens, approvals and contracts a call touches: from its trace, or guessed from what it says. No I/O."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from chains.ethereum.needs import words
from chains.ethereum.needs.slots import View
from chains.ethereum.needs.words import address_at, lower

PERMIT2: Final = "0x000000000022d473030f116ddee9f6b43ac78ba3"
"""Uniswap's Permit2, the same on every network that has it."""

MOST_FRAMES: Final = 20_000
"""Calls of one trace that are read."""
MOST_TOKENS: Final = 12
MOST_APPROVALS: Final = 24
MOST_SPENDERS: Final = 6


@dataclass(frozen=True, slots=True)
class Touched:
    """What a call may take from its sender, and by whose leave."""

    tokens: frozenset[str] = frozenset()
    approvals: frozenset[View] = frozenset()
    """Views of allowances: the token's own, or Permit2's."""
    reads: frozenset[str] = frozenset()
    """Every contract that it went through."""

    def __or__(self, other: "Touched") -> "Touched":
        return Touched(self.tokens | other.tokens, self.approvals | other.approvals, self.reads | other.reads)

    def views(self, sender: str) -> list[View]:
        """All amounts that it may depend on, the sender's balances first; bounded."""
        balances = [balance_of(token, sender) for token in sorted(self.tokens)[:MOST_TOKENS]]
        approvals = sorted(self.approvals, key=lambda each: (each.contract, each.selector, each.owners))
        return balances + approvals[:MOST_APPROVALS]


def balance_of(token: str, owner: str) -> View:
    """The view of a token balance."""
    return View(token, words.BALANCE_OF, (owner,))


def allowance(token: str, owner: str, spender: str) -> View:
    """The view of what a spender may take."""
    return View(token, words.ALLOWANCE, (owner, spender))


def permit(contract: str, owner: str, token: str, spender: str) -> View:
    """The view of what a spender may take through Permit2."""
    return View(contract, words.PERMIT_ALLOWANCE, (owner, token, spender))


def frames(trace: Any) -> Iterator[Mapping[str, Any]]:
    """Every call of a callTracer's answer, outer ones first."""
    waiting, seen = [trace], 0
    while waiting and seen < MOST_FRAMES:
        frame = waiting.pop()
        if not isinstance(frame, Mapping):
            continue
        seen += 1
        yield frame
        waiting += reversed(frame.get("calls") or ())


def read_trace(trace: Any, sender: str) -> Touched:
    """What a traced call touched, also where it failed.

    What the sender calls itself, and what failed, may be a token that burns without a transfer.
    """
    found, reads, burning = Touched(), set(), set()
    for frame in frames(trace):
        to, caller = lower(frame.get("to")), lower(frame.get("from"))
        reads.add(to)
        if frame.get("type") not in ("DELEGATECALL", "CALLCODE"):
            found |= _read_call(to, caller, lower(frame.get("input")), sender)
            if (caller == sender or frame.get("error")) and frame.get("type") == "CALL":
                burning.add(to)
    return found | Touched(frozenset(burning - {"", sender}), frozenset(), frozenset(reads - {""}))


def _read_call(to: str, caller: str, data: str, sender: str) -> Touched:
    """What one call means for the sender's tokens."""
    selector, first = data[2:10], address_at(data, 0)
    if selector == words.TRANSFER_TO and caller == sender:
        return Touched(frozenset({to}))
    if first != sender:
        return Touched()
    token, approvals = to, frozenset[View]()
    second, fourth = address_at(data, 1), address_at(data, 3)
    if selector == words.TRANSFER_FROM and caller != sender:
        approvals = frozenset({allowance(to, sender, caller)})
    elif selector == words.ALLOWANCE and second:
        approvals = frozenset({allowance(to, sender, second)})
    elif selector == words.PERMIT_TRANSFER and fourth:
        token, approvals = fourth, frozenset({allowance(fourth, sender, to), permit(to, sender, fourth, caller)})
    elif selector not in (words.BALANCE_OF, words.TRANSFER_FROM):
        return Touched()
    return Touched(frozenset({token}), approvals)


def guess_approvals(sender: str, tokens: Iterable[str], spenders: Iterable[str]) -> Touched:
    """Without a trace: every pair of a token and a contract that may be a spender of it."""
    tokens = set(tokens)
    spenders = [each for each in dict.fromkeys(spenders) if each not in tokens and each != sender][:MOST_SPENDERS]
    approvals = {allowance(token, sender, spender) for token in tokens for spender in spenders}
    if PERMIT2 in spenders:
        through = [spender for spender in spenders if spender != PERMIT2]
        approvals |= {permit(PERMIT2, sender, token, spender) for token in tokens for spender in through}
    return Touched(frozenset(), frozenset(approvals))
