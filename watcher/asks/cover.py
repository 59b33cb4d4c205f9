"""Which needs a balance covers, and what to ask for the others. Pure.

A need is counted until it is over, even while it is covered: what one ask may count on is not there for another.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from chains.model import Fee
from watcher.asks.model import Mode, Need, NeedKey, State
from watcher.model import BillLine

GAS_MOVED_PERCENT = 10
"""Room for gas is counted anew when the fee has moved by more than this."""


def price_gas(need: Need, fee: Fee | None) -> Need:
    """The need with its line `gas` at this fee; as it was while the fee is unknown, or has hardly moved."""
    if need.gas_limit is None or fee is None:
        return need
    cost = fee.cost(need.gas_limit)
    before = next((line for line in need.lines if line.what == "gas"), None)
    if before is not None and "max_fee_per_gas" in before.extra:
        return need  # the caller has said what it may cost
    if before is not None and abs(cost - before.amount) * 100 <= before.amount * GAS_MOVED_PERCENT:
        return need
    others = tuple(line for line in need.lines if line.what != "gas")
    return replace(need, lines=(*others, BillLine("gas", cost, {"limit": need.gas_limit})))


def sort_needs(needs: Sequence[Need]) -> list[Need]:
    """In the order in which a balance is theirs: met for good first, then the oldest; last, what isn't asked for."""
    return sorted(needs, key=lambda n: (n.closed_at is None, n.refusal is not None, n.created_at, n.key.kind, n.key.id))


def allocate(needs: Sequence[Need], balance: int) -> dict[NeedKey, State]:
    """How each living need stands at this balance. What was met for good stays so."""
    states: dict[NeedKey, State] = {}
    taken = 0
    for need in sort_needs(needs):
        closed = need.closed_at is not None
        taken += need.reserved
        met = balance >= taken if need.mode is Mode.BALANCE else False
        states[need.key] = need.state if closed else State.COVERED if met else State.SHORT
    return states


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the open needs of one holding come to, base units."""

    missing: int
    """To ask for: with the gas buffer, less the balance and what is in flight."""
    least: int
    """The same without the buffer: an open ask for so much still covers them."""
    lines: tuple[BillLine, ...]
    received: bool
    """Some of it must arrive on top of the balance."""
    any_rise: bool
    """Somebody wants money without saying how much."""

    @property
    def anything(self) -> bool:
        """Whether there is something to ask for."""
        return self.missing > 0 or self.any_rise


def find_unbound(needs: Sequence[Need], settling: Sequence[tuple[int, Collection[NeedKey]]]) -> int:
    """What settling top-ups, each with the needs that it is for, bring beside what purchases are to receive of them."""
    to_receive = {n.key: n.amount for n in needs if n.asking and n.mode is Mode.RECEIVED}
    unbound = 0
    for amount, keys in settling:
        left = amount
        for key in sorted(to_receive.keys() & set(keys)):
            taken = min(left, to_receive[key])
            to_receive[key] -= taken
            left -= taken
        unbound += left
    return unbound


def find_wanted(
    needs: Sequence[Need], balance: int, *, in_flight: int, awaited: Collection[NeedKey], buffer: int
) -> Wanted:
    """What to ask for, for these living needs; those that are met for good, or can't be bought, ask for nothing.

    `in_flight` is what settling top-ups bring that no purchase is to receive (`find_unbound`), and `awaited` the needs
    that they are for; `buffer` is added once, where a need that asks leaves room for gas.
    """
    asking = [n for n in sort_needs(needs) if n.asking]
    by_balance = [n for n in asking if n.mode is Mode.BALANCE]
    received = [n for n in asking if n.mode is Mode.RECEIVED and n.key not in awaited]
    rising = [n for n in asking if n.mode is Mode.RISE and n.key not in awaited]
    kept = sum(n.reserved for n in needs if n.closed_at is not None or n.mode is not Mode.BALANCE)
    free = max(0, balance - kept) + in_flight  # what was met and spent is not asked for again
    own = sum(n.amount for n in by_balance)
    least = max(0, own - free) + sum(n.amount for n in received)
    room = buffer if least and any(n.has_gas for n in asking) else 0
    spare = max(0, free - own)
    lines = [line for n in (*by_balance, *received) for line in n.lines]
    if kept and least:
        lines.append(BillLine("other_asks", kept))
    if room:
        lines.append(BillLine("buffer", room))
    return Wanted(
        missing=least + max(0, room - spare) if least else 0,
        least=least,
        lines=tuple(lines),
        received=bool(received),
        any_rise=bool(rising),
    )


def find_status(states: Collection[State], *, refused: bool) -> State:
    """How an ask stands, by its needs: unknown before all, then short, covered when each of them is.

    `refused`: one that is short can't be bought, so that money for the others would not help.
    """
    found = set(states)
    if State.UNKNOWN in found or not found:
        return State.UNKNOWN
    if State.SHORT in found:
        return State.NOT_FUNDS if refused else State.SHORT
    return State.COVERED
