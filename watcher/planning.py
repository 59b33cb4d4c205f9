"""One open ask a holding, whatever wants it: what its levels and its needs come to together. Pure."""

from dataclasses import dataclass, replace

from chains.model import BlockRef
from config.model import NetworkAsset
from watcher.asks.cover import Wanted, find_unbound, find_wanted
from watcher.asks.model import Mode, Need, NeedKey, State
from watcher.model import Bill, OpenTopUp, TopUpStatus
from watcher.policy import LOWERED, Change, Why, fit_amount


@dataclass(frozen=True, slots=True)
class Facts:
    """One holding of one wallet at a block."""

    asset: NetworkAsset
    at: BlockRef
    balance: int
    """Base units."""
    change: Change | None
    """What its levels say; None where it has none."""
    needs: tuple[Need, ...]
    """Living ones, each with how it stands at this balance."""
    top_ups: tuple[OpenTopUp, ...]
    """Open and settling ones that reach it."""
    buffer: int
    """Gas buffer for needs that leave room for gas, base units."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of the asks for it."""

    open: Bill | None = None
    """A top-up to open."""
    replaces: str | None = None
    """The open top-up that the new one takes the place of."""
    joins: str | None = None
    """The open top-up that already covers what is wanted."""
    needs: frozenset[NeedKey] = frozenset()
    """Whom the opened or joined one is for."""
    funding: bool = False
    """Whether it is for the wallet's own levels, too."""
    asked: int | None = None
    """What the opened or joined one is for, base units; None where the person chooses, or nothing is asked."""
    withdraws: str | None = None
    """The open top-up that nothing is wanted from: a link that it took the place of was paid all the same."""
    lowered: bool = False
    """What is wanted is more than can be asked for at once."""
    anew: bool = False
    """The joined one is measured from this balance on: a purchase that joins it must arrive on top of it."""


def plan_holding(facts: Facts) -> Plan:
    """Open, supersede, join, or leave alone. At most one open top-up of a holding, and none for what is on its way."""
    wanted = weigh(facts)
    funding = facts.change.wanted if facts.change is not None else None
    standing = next((t for t in facts.top_ups if t.status is TopUpStatus.OPEN and not t.whole_wallet), None)
    if any(t.status is TopUpStatus.SETTLING and t.asked is None for t in facts.top_ups):
        return Plan()  # how much is on its way is not known
    if standing is not None and (less := _shrink(facts, standing, funding)) is not None:
        return less
    if not wanted.anything:
        return _plan_funding(facts, standing)
    bill = make_bill(facts, wanted, funding)
    keys = _find_keys(facts)
    if standing is None:
        return Plan(open=bill, needs=keys, funding=funding is not None, asked=bill.asked)
    if _covers(standing, facts, wanted, funding):
        lowered = bill.adjusted == LOWERED
        purchases = {n.key for n in facts.needs if n.key in keys and n.mode is Mode.RECEIVED}
        return Plan(
            joins=standing.id,
            needs=keys,
            funding=funding is not None,
            asked=standing.asked,
            lowered=lowered,
            anew=standing.by_balance and not purchases <= standing.awaited,
        )
    return Plan(bill, standing.id, None, keys, funding is not None, bill.asked)


def find_expected(facts: Facts) -> int:
    """The balance once all that is paid has arrived, base units: what comes on top of it was asked for since."""
    return facts.balance + sum(t.asked or 0 for t in facts.top_ups if t.status is TopUpStatus.SETTLING)


def weigh(facts: Facts) -> Wanted:
    """What the needs alone come to."""
    settling = [t for t in facts.top_ups if t.status is TopUpStatus.SETTLING]
    return find_wanted(
        facts.needs,
        facts.balance,
        in_flight=find_unbound(facts.needs, [(t.asked or 0, t.awaited) for t in settling]),
        awaited={key for t in settling for key in t.awaited},
        buffer=facts.buffer,
    )


def make_bill(facts: Facts, wanted: Wanted, funding: Bill | None) -> Bill:
    """The larger of what the levels and what the needs ask for."""
    if funding is not None and funding.missing > wanted.missing:
        return funding
    in_flight = sum(t.asked or 0 for t in facts.top_ups if t.status is TopUpStatus.SETTLING)
    there = facts.balance + in_flight
    if wanted.missing == 0:
        return Bill(facts.asset, facts.at, wanted.lines, there, facts.balance, in_flight, 0, asked=None)
    asked, adjusted = fit_amount(wanted.missing, facts.asset)
    return Bill(
        asset=facts.asset,
        at=facts.at,
        lines=wanted.lines,
        needed=there + min(wanted.missing, asked),
        balance=facts.balance,
        in_flight=in_flight,
        missing=wanted.missing,
        asked=asked,
        adjusted=adjusted,
        to_receive=asked if wanted.received else None,
    )


def _plan_funding(facts: Facts, standing: OpenTopUp | None) -> Plan:
    """Nobody but the levels wants anything: a fall is asked for once, whatever becomes of the balance meanwhile."""
    change = facts.change
    if change is None or change.wanted is None:
        return Plan()
    if change.why is Why.OPENED:
        return Plan(open=change.open, funding=True, asked=change.wanted.asked)
    if standing is None or standing.for_funding:
        return Plan(asked=standing.asked if standing else None)
    if _covers(standing, facts, None, change.wanted):
        return Plan(joins=standing.id, funding=True, asked=standing.asked)
    return Plan(open=change.wanted, replaces=standing.id, funding=True, asked=change.wanted.asked)


def _covers(standing: OpenTopUp, facts: Facts, wanted: Wanted | None, funding: Bill | None) -> bool:
    """Whether the open top-up is for enough. Room for gas may shrink, and levels were asked for as they were then."""
    least = wanted.least if wanted is not None else 0
    if funding is not None and not standing.for_funding:
        least = max(least, funding.missing)
    if least == 0:
        return True
    return standing.asked is not None and standing.asked >= fit_amount(least, facts.asset)[0]


def _shrink(facts: Facts, standing: OpenTopUp, funding: Bill | None) -> Plan | None:
    """An open top-up that asks for more than is wanted by now: an ask that it was for is over, or money came late.

    What is paid and may be in the balance already is not counted on: counted twice, it would be asked for again.
    """
    settling = [t for t in facts.top_ups if t.status is TopUpStatus.SETTLING]
    late, arrived = any(t.late for t in settling), any(t.arrived for t in settling)
    if not (standing.ended or late or _fell_by_half(facts, standing)) or (funding is not None and arrived):
        return None
    certain = replace(facts, top_ups=tuple(t for t in facts.top_ups if not t.arrived))
    wanted = weigh(certain)
    if not wanted.anything and (funding is None or funding.missing == 0):
        return Plan(withdraws=standing.id) if late else None
    bill = make_bill(certain, wanted, funding)
    if bill.asked is None or (standing.asked is not None and bill.asked >= standing.asked):
        return None
    return Plan(bill, standing.id, None, _find_keys(facts), funding is not None, bill.asked)


def _fell_by_half(facts: Facts, standing: OpenTopUp) -> bool:
    """What it is for needs so much less by now, whatever became of the balance, that half its money would do."""
    if standing.needed is None or standing.for_funding or standing.asked is None:
        return False
    wanted = weigh(facts)
    if wanted.missing == 0:
        return False  # it is withdrawn at the closing depth
    return 2 * (standing.needed - make_bill(facts, wanted, None).needed) >= standing.asked


def _find_keys(facts: Facts) -> frozenset[NeedKey]:
    """Whom more is asked for: what lands, or is refused, is theirs, and not of those who have, or were paid for.

    Where nobody else is left, it is for all that something may be asked for, but for purchases that are paid for.
    """
    paid = {key for t in facts.top_ups if t.status is TopUpStatus.SETTLING for key in t.awaited}
    short = frozenset(n.key for n in facts.needs if n.asking and n.state is State.SHORT and n.key not in paid)
    return short or frozenset(
        n.key for n in facts.needs if n.asking and not (n.mode is not Mode.BALANCE and n.key in paid)
    )
