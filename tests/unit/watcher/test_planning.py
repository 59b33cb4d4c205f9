"""One open ask a holding: for enough, for no more, and for nothing twice."""

from dataclasses import replace

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.unit.watcher.factories import NOW
from tests.unit.watcher.wanting import (
    HOLDING,
    assets,
    carry_out,
    facts_of_holdings,
    make_facts,
    need_lists,
    requirements,
)
from watcher.asks.bills import make_need_bill
from watcher.asks.cover import allocate, find_unbound
from watcher.asks.model import Mode, State
from watcher.model import OpenTopUp, Requirement, TopUpStatus
from watcher.planning import Facts, Plan, plan_holding
from watcher.policy import LOWERED, fit_amount

HELD = settings(max_examples=100, deadline=None)


def settling(facts: Facts) -> list[OpenTopUp]:
    return [t for t in facts.top_ups if t.status is TopUpStatus.SETTLING]


def pay(facts: Facts, plan: Plan, level: Requirement | None) -> Facts:
    """What was opened is paid, and on its way."""
    there = carry_out(facts, plan, level=level)
    top_ups = tuple(replace(t, status=TopUpStatus.SETTLING) for t in there.top_ups)
    return make_facts(facts.needs, facts.balance, asset=facts.asset, top_ups=top_ups, buffer=facts.buffer, level=level)


@HELD
@given(facts_of_holdings(levels=False))
def test_never_more_is_asked_for_than_is_needed(facts: Facts) -> None:
    """At most all open needs and one buffer, rounded up, and at least the minimum; never above the maximum."""
    plan = plan_holding(facts)
    assume(plan.open is not None)
    assert plan.open is not None
    asked = plan.open.asked
    most = sum(n.amount for n in facts.needs if n.asking) + facts.buffer
    if asked is None:
        assert any(n.mode is Mode.RISE and n.asking for n in facts.needs)
        return
    assert 0 < asked <= fit_amount(most, facts.asset)[0]
    assert asked >= facts.asset.minimum
    assert facts.asset.maximum is None or asked <= facts.asset.maximum


@HELD
@given(st.one_of(st.none(), requirements()), facts_of_holdings(levels=False))
def test_a_plan_carried_out_is_planned_no_more(level: Requirement | None, facts: Facts) -> None:
    """Whatever there was, the same block again opens nothing, replaces nothing, and nobody new joins."""
    facts = make_facts(
        facts.needs, facts.balance, asset=facts.asset, top_ups=facts.top_ups, buffer=facts.buffer, level=level
    )
    plan = plan_holding(facts)
    after = carry_out(facts, plan, level=level)
    again = plan_holding(after)
    assert (again.open, again.replaces) == (None, None)
    if again.joins is not None:
        joined = next(t for t in after.top_ups if t.id == again.joins)
        assert again.needs <= joined.awaited
    assert len([t for t in after.top_ups if t.status is TopUpStatus.OPEN]) <= 1


@HELD
@given(facts_of_holdings(levels=False))
def test_what_is_asked_for_is_enough(facts: Facts) -> None:
    """Once everything arrives, each need that something is asked for is covered, unless the maximum forbids it."""
    plan = plan_holding(facts)
    lowered = plan.lowered or (plan.open is not None and plan.open.adjusted == LOWERED)
    unknown = any(t.status is TopUpStatus.SETTLING and t.asked is None for t in facts.top_ups)
    assume(not lowered and not unknown)
    in_flight = sum(t.asked or 0 for t in settling(facts))
    paid = {key for t in settling(facts) for key in t.awaited}
    bought = {n.key for n in facts.needs if n.mode is not Mode.BALANCE and n.asking and n.key in paid | plan.needs}
    early = sum(n.amount for n in facts.needs if n.key in bought & paid)
    kept = sum(n.reserved for n in facts.needs if n.closed_at is not None or n.mode is not Mode.BALANCE)
    unbound = find_unbound(facts.needs, [(t.asked or 0, t.awaited) for t in settling(facts)])
    assume(unbound == in_flight - early and kept <= facts.balance)  # each purchase is paid in full by its own
    later = [replace(n, closed_at=NOW, state=State.COVERED) if n.key in bought else n for n in facts.needs]
    states = allocate(later, facts.balance + in_flight + (plan.asked or 0))
    asking = [n for n in facts.needs if n.asking and n.mode is Mode.BALANCE]
    assert {states[n.key] for n in asking} <= {State.COVERED}


@HELD
@given(facts_of_holdings(standing=False, levels=False), st.one_of(st.none(), requirements()))
def test_money_on_its_way_is_asked_for_once(facts: Facts, level: Requirement | None) -> None:
    """What was opened and is paid: nothing more is wanted, but for what the maximum left out."""
    facts = make_facts(
        facts.needs, facts.balance, asset=facts.asset, top_ups=facts.top_ups, buffer=facts.buffer, level=level
    )
    bound = sum(
        n.amount for n in facts.needs if n.mode is Mode.RECEIVED and any(n.key in t.awaited for t in facts.top_ups)
    )
    assume(bound <= sum(t.asked or 0 for t in facts.top_ups))
    plan = plan_holding(facts)
    assume(plan.open is not None)
    assert plan.open is not None
    again = plan_holding(pay(facts, plan, level))
    if plan.open.adjusted != LOWERED:
        assert again.open is None
    elif again.open is not None:
        assert again.open.missing <= plan.open.missing


@HELD
@given(facts_of_holdings(standing=False, levels=False), st.integers(0, 500))
def test_more_on_its_way_never_asks_for_more(facts: Facts, more: int) -> None:
    """Money that settles takes away from what is asked for."""
    before = plan_holding(facts)
    extra = OpenTopUp("tu_more", TopUpStatus.SETTLING, more, for_funding=False)
    after = plan_holding(replace(facts, top_ups=(*facts.top_ups, extra)))
    assert (after.asked or 0) <= (before.asked or 0)


@HELD
@given(facts_of_holdings(levels=False))
def test_a_top_up_is_for_those_who_are_short_and_not_paid_for(facts: Facts) -> None:
    """Nobody who has what is needed, or whose money is on its way, as long as somebody else wants something."""
    plan = plan_holding(facts)
    paid = {key for t in settling(facts) for key in t.awaited}
    short = {n.key for n in facts.needs if n.asking and n.state is State.SHORT and n.key not in paid}
    bought = {n.key for n in facts.needs if n.mode is not Mode.BALANCE and n.key in paid}
    assert not plan.needs & bought
    assume(short and plan.needs)
    assert plan.needs == short


@HELD
@given(facts_of_holdings(levels=False), st.randoms(use_true_random=False))
def test_the_order_of_needs_changes_nothing(facts: Facts, random: object) -> None:
    """In whatever order they are read, and whichever came first: the same plan, the same total."""
    shuffled = list(facts.needs)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert plan_holding(replace(facts, needs=tuple(shuffled))) == plan_holding(facts)
    times = [n.created_at for n in shuffled]
    turned = tuple(replace(n, created_at=at) for n, at in zip(facts.needs, times, strict=True))
    other = make_facts(turned, facts.balance, asset=facts.asset, top_ups=facts.top_ups, buffer=facts.buffer)
    assert plan_holding(other).asked == plan_holding(facts).asked


@HELD
@given(facts_of_holdings())
def test_a_need_s_bill_adds_up(facts: Facts) -> None:
    """Needed is the sum of its lines; missing is that less what is there and on its way, and nothing when covered."""
    plan = plan_holding(facts)
    for need in facts.needs:
        bill = make_need_bill(need, facts, plan)
        assert bill.needed == sum(line.amount for line in bill.lines if line.what != "rate")
        assert (bill.balance, bill.in_flight) == (facts.balance, sum(t.asked or 0 for t in settling(facts)))
        if need.state is not State.SHORT:
            assert (bill.missing, bill.asked) == (0, 0)
        elif need.mode is Mode.BALANCE:
            assert bill.missing == max(0, bill.needed - bill.balance - bill.in_flight)
        assert bill.asked == (plan.asked if need.state is State.SHORT and need.key in plan.needs else 0)


@HELD
@given(need_lists(modes=(Mode.BALANCE,)), st.integers(0, 900), assets())
def test_a_holding_that_covers_everything_asks_for_nothing(needs: object, balance: int, asset: object) -> None:
    """Where the balance has all that is needed, there is no top-up, whatever the minimum."""
    facts = make_facts(needs, balance, asset=asset, top_ups=())  # type: ignore[arg-type]
    assume(all(n.state is State.COVERED for n in facts.needs))
    assert plan_holding(facts) == Plan()
    assert all(n.key.holding == HOLDING for n in facts.needs)
