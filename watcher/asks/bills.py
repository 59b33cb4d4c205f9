"""What one need is told: its own lines, what others have of the balance before it, and what is missing. Pure."""

from collections.abc import Collection

from watcher.asks.cover import sort_needs
from watcher.asks.model import Mode, Need, NeedKey, State
from watcher.model import Bill, BillLine, TopUpStatus
from watcher.planning import Facts, Plan


def make_need_bill(need: Need, facts: Facts, plan: Plan) -> Bill:
    """The bill of one need among those of its holding, with what is asked for it by the holding's open top-up."""
    settling = [t for t in facts.top_ups if t.status is TopUpStatus.SETTLING]
    in_flight = sum(t.asked or 0 for t in settling)
    short = need.state is State.SHORT
    asked = plan.asked if short and need.key in plan.needs else 0
    if need.mode is not Mode.BALANCE:
        awaited = {key for t in settling for key in t.awaited}
        return _bill_purchase(need, facts, in_flight, asked, awaited=awaited)
    before = _taken_before(need, facts.needs)
    lines = list(need.lines)
    if before:
        lines.append(BillLine("other_asks", before))
    if short and need.has_gas and facts.buffer:
        lines.append(BillLine("buffer", facts.buffer))
    needed = sum(line.amount for line in lines)
    return Bill(
        asset=facts.asset,
        at=facts.at,
        lines=tuple(lines),
        needed=needed,
        balance=facts.balance,
        in_flight=in_flight,
        missing=max(0, needed - facts.balance - in_flight) if short else 0,
        asked=asked,
        adjusted=_adjusted(plan),
    )


def _bill_purchase(
    need: Need, facts: Facts, in_flight: int, asked: int | None, *, awaited: Collection[NeedKey]
) -> Bill:
    """It must arrive: what is there already does not count."""
    missing = 0 if need.state is not State.SHORT or need.key in awaited else need.amount
    return Bill(
        asset=facts.asset,
        at=facts.at,
        lines=need.lines,
        needed=need.amount,
        balance=facts.balance,
        in_flight=in_flight,
        missing=missing,
        asked=asked,
        to_receive=need.amount if need.mode is Mode.RECEIVED else None,
    )


def _taken_before(need: Need, needs: tuple[Need, ...]) -> int:
    before = 0
    for other in sort_needs(needs):
        if other.key == need.key:
            break
        before += other.reserved
    return before


def _adjusted(plan: Plan) -> str | None:
    return plan.open.adjusted if plan.open is not None else None
