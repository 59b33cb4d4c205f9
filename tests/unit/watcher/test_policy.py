"""When a wallet is short, and what follows."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from chains.model import Holding
from config.model import Level, NetworkAsset, OnrampAsset
from tests.unit.watcher.factories import (
    ADDRESS,
    NATIVE_HOLDING,
    NETWORK,
    NOW,
    USDC,
    make_asset,
    make_position,
    make_requirement,
    make_terms,
)
from watcher.model import HoldingStatus, OpenTopUp, Position, TopUpStatus, worst
from watcher.policy import (
    Close,
    Followed,
    Why,
    find_outcome,
    find_refusal,
    find_shortfall,
    find_status,
    make_bill,
    plan_change,
    plan_close,
    resolve_level,
)

UNITS = st.integers(0, 2**256 - 1)
HOLDING = Holding(NETWORK, USDC, ADDRESS)
FOR_AN_ASK = OpenTopUp("tu_2", TopUpStatus.OPEN, 1, for_funding=False)


@st.composite
def positions(draw: st.DrawFn) -> Position:
    trigger = draw(st.integers(1, 2**200))
    requirement = make_requirement(
        trigger=trigger,
        target=draw(st.integers(trigger + 1, 2**201)),
        buffer=draw(st.integers(0, 2**100)),
        hysteresis_percent=draw(st.integers(0, 100)),
    )
    in_flight = draw(st.lists(st.integers(0, 2**200), max_size=3))
    return make_position(
        requirement=requirement,
        balance=draw(st.integers(0, 2**202)),
        top_ups=tuple(OpenTopUp(f"tu_{i}", TopUpStatus.SETTLING, a) for i, a in enumerate(in_flight)),
    )


@given(UNITS, UNITS, UNITS)
def test_a_shortfall_is_exactly_required_plus_buffer_less_balance(target: int, buffer: int, balance: int) -> None:
    """Below the trigger, missing = target + gas buffer - balance, to the last unit; at the trigger there is none."""
    assume(target > 0)
    requirement = make_requirement(trigger=target, target=target, buffer=buffer)
    found = find_shortfall(requirement, balance)
    if balance >= target:
        assert found is None
    else:
        assert found is not None
        assert found.missing == target + buffer - balance


@given(positions(), st.integers(0, 18), st.integers(0, 18), st.integers(0, 2**80))
def test_an_ask_is_never_rounded_down_and_never_more_than_a_step_too_much(
    position: Position, decimals: int, precision: int, minimum: int
) -> None:
    """Asked is the smallest amount at Stripe's precision that covers what is missing and the minimum."""
    onramp = OnrampAsset("usdc", "ethereum", "ethereum", decimals=precision, sold_us=True, sold_eu=True)
    base = make_asset()
    asset = NetworkAsset(
        asset=type(base.asset)(NETWORK, USDC, "USDC", decimals), onramp=onramp, minimum=minimum, maximum=None
    )
    change = plan_change(position, make_terms(asset=asset), now=NOW)
    assume(change.open is not None)
    bill = change.open
    assert bill is not None
    assert bill.asked is not None
    step = 10 ** max(0, decimals - precision)
    assert bill.asked % step == 0
    assert bill.asked >= max(bill.missing, minimum)
    assert bill.asked - max(bill.missing, minimum) < step
    assert bill.missing == max(0, bill.needed - bill.balance - bill.in_flight)
    assert bill.asked + bill.balance + bill.in_flight >= bill.needed


@given(positions())
def test_nothing_is_asked_for_what_is_covered_by_money_under_way(position: Position) -> None:
    """Balance plus what is in flight at the trigger or above: no second ask."""
    in_flight = sum(t.asked or 0 for t in position.top_ups)
    change = plan_change(position, make_terms(), now=NOW)
    assert (change.open is not None) == (position.balance + in_flight < position.requirement.trigger)


@pytest.mark.parametrize(
    ("changes", "terms", "why"),
    [
        ({}, {}, Why.OPENED),
        ({"balance": 20_000_000}, {}, Why.FINE),
        ({"balance": 19_999_999}, {}, Why.OPENED),
        ({"requirement": make_requirement(ask=False)}, {}, Why.TELL_ONLY),
        ({}, {"onramp": False}, Why.NO_ONRAMP),
        ({}, {"asset": make_asset(onramp=None)}, Why.NOT_SOLD_HERE),
        ({}, {"country": "GB"}, Why.NOT_SOLD_IN_REGION),
        ({"waiting": True}, {}, Why.WAITING_FOR_DROP),
        ({"paused_until": NOW + timedelta(seconds=1)}, {}, Why.PAUSED),
        ({"paused_until": NOW}, {}, Why.OPENED),
        ({"top_ups": (OpenTopUp("tu_1", TopUpStatus.OPEN, 1),)}, {}, Why.ASKED_ALREADY),
        ({"top_ups": (OpenTopUp("tu_1", TopUpStatus.SETTLING, None),)}, {}, Why.ASKED_ALREADY),
        ({"top_ups": (FOR_AN_ASK,)}, {}, Why.ASKED_ALREADY),
        ({"top_ups": (replace(FOR_AN_ASK, asked=None),)}, {}, Why.ASKED_ALREADY),
        ({"top_ups": (FOR_AN_ASK,), "ended_at": NOW}, {}, Why.COOLDOWN),
        (
            {"top_ups": (FOR_AN_ASK, OpenTopUp("tu_1", TopUpStatus.SETTLING, 16_900_000))},
            {},
            Why.COVERED_IN_FLIGHT,
        ),
        ({"top_ups": (OpenTopUp("tu_1", TopUpStatus.SETTLING, 16_900_000),)}, {}, Why.COVERED_IN_FLIGHT),
        ({"top_ups": (OpenTopUp("tu_1", TopUpStatus.SETTLING, 16_899_999),)}, {}, Why.OPENED),
        ({"ended_at": NOW - timedelta(hours=23)}, {}, Why.COOLDOWN),
        ({"ended_at": NOW - timedelta(hours=24)}, {}, Why.OPENED),
    ],
)
def test_each_rule_that_keeps_silent_is_named(changes: dict[str, object], terms: dict[str, object], why: Why) -> None:
    """An ask is opened only when no rule forbids it, and the rule that did is the decision's outcome."""
    change = plan_change(make_position(**changes), make_terms(**terms), now=NOW)
    assert change.why is why
    assert (change.open is not None) == (why is Why.OPENED)


@given(position=positions(), ask=st.booleans(), waiting=st.booleans(), onramp=st.booleans())
def test_how_a_holding_stands_does_not_depend_on_whether_it_is_asked_for(
    position: Position, *, ask: bool, waiting: bool, onramp: bool
) -> None:
    """Status, waiting and recovered follow from the balance alone, whichever rule speaks or stays silent."""
    requirement = replace(position.requirement, ask=ask)
    position = replace(position, requirement=requirement, waiting=waiting)
    change = plan_change(position, make_terms(onramp=onramp), now=NOW)
    assert change.status is find_status(requirement, position.balance)
    assert change.waiting is (waiting and position.balance < requirement.trigger)
    assert change.recovered is (position.balance >= requirement.recovered_at)
    if change.open is not None:
        assert (change.open.asset, change.open.at) == (make_asset(), position.at)


@pytest.mark.parametrize(("limit", "asked"), [("minimum", None), ("maximum", None)])
def test_an_ask_that_equals_a_limit_is_not_called_adjusted(limit: str, asked: None) -> None:
    """Exactly the minimum, or exactly the maximum, is what was missing."""
    bill = plan_change(make_position(), make_terms(asset=make_asset(**{limit: 46_900_000})), now=NOW).open
    assert bill is not None
    assert (bill.asked, bill.adjusted) == (46_900_000, asked)


def test_without_an_onramp_the_asset_s_own_precision_counts() -> None:
    """A bill can be made for what Stripe doesn't sell; and what is covered in flight leaves nothing missing."""
    position = make_position(top_ups=(OpenTopUp("tu_1", TopUpStatus.SETTLING, 90_000_000),))
    shortfall = find_shortfall(position.requirement, position.balance)
    assert shortfall is not None
    bill = make_bill(position, shortfall, make_asset(onramp=None))
    assert (bill.missing, bill.asked) == (0, 0)


def test_an_ask_whose_levels_move_with_the_fee_recovers_at_what_it_needed() -> None:
    """Where no line is known to count as recovered, the need itself is the line."""
    ask = Followed(status=TopUpStatus.OPEN, needed=50, recovered_at={}, baselines={HOLDING: 3}, risen=False)
    assert plan_close(ask, {HOLDING: 49}) is Close.NOTHING
    assert plan_close(ask, {HOLDING: 50}) is Close.RISEN


def test_a_bill_says_what_it_is_made_of() -> None:
    """Target and buffer are its lines, and they add up to what is needed."""
    requirement = make_requirement(holding=NATIVE_HOLDING, buffer=7)
    position = make_position(requirement=requirement)
    shortfall = find_shortfall(requirement, position.balance)
    assert shortfall is not None
    bill = make_bill(position, shortfall, make_asset())
    assert [(line.what, line.amount) for line in bill.lines] == [("target", 50_000_000), ("buffer", 7)]
    assert bill.needed == sum(line.amount for line in bill.lines)


def test_an_ask_stays_between_minimum_and_maximum() -> None:
    """A shortfall below the smallest purchase is raised to it, one above the cap is lowered, and the bill says so."""
    low = plan_change(make_position(), make_terms(asset=make_asset(minimum=60_000_000)), now=NOW).open
    high = plan_change(make_position(), make_terms(asset=make_asset(maximum=10_000_000)), now=NOW).open
    assert low is not None
    assert high is not None
    assert (low.asked, low.adjusted) == (60_000_000, "raised_to_minimum")
    assert (high.asked, high.adjusted) == (10_000_000, "lowered_to_maximum")


def test_only_a_recovery_forgets_the_cooldown() -> None:
    """Rising just over the trigger is no recovery; a tenth of the way to the target is."""
    assert not plan_change(make_position(balance=22_999_999), make_terms(), now=NOW).recovered
    assert plan_change(make_position(balance=23_000_000), make_terms(), now=NOW).recovered


def test_waiting_for_a_drop_ends_once_the_holding_was_above_its_trigger() -> None:
    """`initial: wait_for_drop` is silent until then, and not a block longer."""
    assert plan_change(make_position(waiting=True), make_terms(), now=NOW).waiting
    assert not plan_change(make_position(waiting=True, balance=20_000_000), make_terms(), now=NOW).waiting


def test_statuses_come_from_balance_alone() -> None:
    """Critical, low and ok are instant; a wallet is as bad as its worst holding."""
    requirement = make_requirement(critical=5)
    assert [find_status(requirement, b) for b in (4, 5, 19_999_999, 20_000_000)] == [
        HoldingStatus.CRITICAL,
        HoldingStatus.LOW,
        HoldingStatus.LOW,
        HoldingStatus.OK,
    ]
    assert worst([HoldingStatus.UNKNOWN, HoldingStatus.OK]) is HoldingStatus.UNKNOWN
    assert worst([HoldingStatus.LOW, HoldingStatus.CRITICAL, HoldingStatus.UNKNOWN]) is HoldingStatus.CRITICAL


def test_a_level_in_transactions_needs_a_known_fee() -> None:
    """An unknown fee makes the level unknown, never zero."""
    assert resolve_level(Level(transactions=3), None) is None
    assert resolve_level(Level(transactions=3), 7) == 21
    assert resolve_level(Level(amount=0), None) == 0


@pytest.mark.parametrize(
    ("us", "eu", "country", "why"),
    [
        (True, True, "US", None),
        (True, False, "US", None),
        (False, True, "US", Why.NOT_SOLD_IN_REGION),
        (True, False, "DE", Why.NOT_SOLD_IN_REGION),
        (True, True, "DE", None),
        (True, True, "GB", Why.NOT_SOLD_IN_REGION),
        (True, False, None, None),
        (False, False, None, Why.NOT_SOLD_HERE),
    ],
)
def test_what_stripe_does_not_sell_somewhere_is_not_asked_for_there(
    *, us: bool, eu: bool, country: str | None, why: Why | None
) -> None:
    """US and EU columns; elsewhere nothing; an unknown country is left to Stripe."""
    onramp = OnrampAsset("usdc", "ethereum", "ethereum", decimals=6, sold_us=us, sold_eu=eu)
    assert find_refusal(make_asset(onramp=onramp), country) is why


def make_ask(*, status: TopUpStatus = TopUpStatus.OPEN, needed: int | None = 50, risen: bool = False) -> Followed:
    return Followed(status=status, needed=needed, recovered_at={HOLDING: 23}, baselines={HOLDING: 3}, risen=risen)


@pytest.mark.parametrize(
    ("ask", "settled", "verdict"),
    [
        (make_ask(), {HOLDING: 22}, Close.NOTHING),
        (make_ask(), {HOLDING: 23}, Close.RISEN),
        (make_ask(risen=True), {HOLDING: 23}, Close.NOTHING),
        (make_ask(risen=True), {HOLDING: 22}, Close.FALLEN),
        (make_ask(), {}, Close.NOTHING),
        (make_ask(risen=True), {}, Close.NOTHING),
        (make_ask(status=TopUpStatus.SETTLING), {HOLDING: 49}, Close.NOTHING),
        (make_ask(status=TopUpStatus.SETTLING), {HOLDING: 50}, Close.LANDED),
        (make_ask(status=TopUpStatus.SETTLING), {}, Close.NOTHING),
        (make_ask(needed=None), {HOLDING: 3}, Close.NOTHING),
        (make_ask(needed=None), {HOLDING: 4}, Close.RISEN),
        (make_ask(needed=None, status=TopUpStatus.SETTLING), {HOLDING: 4}, Close.LANDED),
        (make_ask(needed=None, status=TopUpStatus.SETTLING), {HOLDING: 2}, Close.NOTHING),
        (make_ask(status=TopUpStatus.SETTLING), {NATIVE_HOLDING: 99}, Close.NOTHING),
    ],
)
def test_the_closing_depth_lands_only_what_was_paid_and_suspects_only_what_was_not(
    ask: Followed, settled: dict[Holding, int], verdict: Close
) -> None:
    """An unpaid ask is never landed by balance, a paid one never retracted, and an unknown balance says nothing."""
    assert plan_close(ask, settled) is verdict


def test_a_network_that_can_not_see_a_rise_elsewhere_does_not_deny_it() -> None:
    """An ask over several networks is judged by each one's loop: only who sees every destination may say fallen."""
    ask = Followed(
        status=TopUpStatus.OPEN, needed=None, recovered_at={}, baselines={HOLDING: 3, NATIVE_HOLDING: 7}, risen=True
    )
    assert plan_close(ask, {NATIVE_HOLDING: 7}) is Close.NOTHING
    assert plan_close(ask, {NATIVE_HOLDING: 7, HOLDING: 3}) is Close.FALLEN
    assert plan_close(replace(ask, risen=False), {NATIVE_HOLDING: 8}) is Close.RISEN


def test_the_outcome_is_partial_when_less_arrived_than_was_asked() -> None:
    """What Stripe's transactions brought is measured against what was asked, if anything was."""
    assert find_outcome(10, [9]) == "partial"
    assert find_outcome(10, [4, 6]) == "full"
    assert find_outcome(None, [1]) == "full"
    assert find_outcome(10, []) == "full"
