"""Whom a balance is enough for, and what is missing for the others."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from chains.model import Balance, Fee
from tests.unit.watcher.factories import NOW
from tests.unit.watcher.wanting import AT, HOLDING, UNITS, need_lists
from watcher.asks.close import find_lines, find_met
from watcher.asks.cover import GAS_MOVED_PERCENT, allocate, find_status, find_wanted, price_gas
from watcher.asks.model import Link, Mode, Need, NeedKey, State
from watcher.model import BillLine, NeedKind

HELD = settings(max_examples=100, deadline=None)
NEEDS = need_lists()
BALANCES = st.integers(0, 1500)


def living(needs: tuple[Need, ...]) -> list[Need]:
    """Those that a balance may still meet."""
    return [n for n in needs if n.closed_at is None and n.mode is Mode.BALANCE]


@HELD
@given(NEEDS, BALANCES)
def test_a_unit_of_the_balance_covers_one_need(needs: tuple[Need, ...], balance: int) -> None:
    """What covers the open needs, and all that was met before, is there; what was met for good stays met."""
    states = allocate(needs, balance)
    assert {n.key for n in needs} == set(states)
    assert all(states[n.key] is State.COVERED for n in needs if n.closed_at is not None)
    covered = [n for n in living(needs) if states[n.key] is State.COVERED]
    if covered:
        assert sum(n.amount for n in covered) + sum(n.reserved for n in needs if n.closed_at is not None) <= balance


@HELD
@given(NEEDS, BALANCES, UNITS)
def test_more_money_covers_no_fewer(needs: tuple[Need, ...], balance: int, more: int) -> None:
    """Whoever is covered stays so when the balance grows."""
    before, after = allocate(needs, balance), allocate(needs, balance + more)
    assert {k for k, s in before.items() if s is State.COVERED} <= {k for k, s in after.items() if s is State.COVERED}


@HELD
@given(NEEDS, BALANCES, UNITS, UNITS, st.data())
def test_what_is_missing_is_not_more_than_what_is_needed(
    needs: tuple[Need, ...], balance: int, in_flight: int, buffer: int, data: st.DataObject
) -> None:
    """At most the open needs and one buffer; without the buffer no more than with it; nothing for what is paid."""
    awaited = {n.key for n in needs if data.draw(st.booleans())}
    wanted = find_wanted(needs, balance, in_flight=in_flight, awaited=awaited, buffer=buffer)
    assert 0 <= wanted.least <= wanted.missing <= wanted.least + buffer
    purchases = [n for n in needs if n.asking and n.mode is Mode.RECEIVED and n.key not in awaited]
    own = sum(n.amount for n in needs if n.asking and n.mode is Mode.BALANCE)
    assert wanted.least <= own + sum(n.amount for n in purchases)
    assert wanted.received is bool(purchases)
    if not any(n.mode is Mode.RECEIVED and n.key in awaited for n in needs):
        kept = sum(n.reserved for n in needs if n.closed_at is not None or n.mode is not Mode.BALANCE)
        bought, room = sum(n.amount for n in purchases), kept + own + buffer - balance - in_flight
        assert wanted.missing <= max(wanted.least, bought + max(0, room))
    if all(n.key in awaited for n in needs if n.asking and n.mode is not Mode.BALANCE) and not own:
        assert not wanted.anything


@HELD
@given(NEEDS, BALANCES, st.randoms(use_true_random=False))
def test_the_order_in_which_needs_are_read_is_of_no_account(
    needs: tuple[Need, ...], balance: int, random: object
) -> None:
    """The same states and the same amounts, line by line."""
    shuffled = list(needs)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert allocate(shuffled, balance) == allocate(needs, balance)
    wanted = [find_wanted(n, balance, in_flight=0, awaited=(), buffer=9) for n in (shuffled, needs)]
    assert wanted[0] == wanted[1]


@HELD
@given(st.one_of(st.none(), UNITS), UNITS, st.booleans())
def test_a_fee_that_has_hardly_moved_changes_no_need(before: int | None, price: int, stated: bool) -> None:  # noqa: FBT001  drawn
    """Gas follows the fee when it moves by more than a tenth; never where the caller has said what it may cost."""
    extra = {"limit": 1, "max_fee_per_gas": "1"} if stated else {"limit": 1}
    gas = () if before is None else (BillLine("gas", before, extra),)
    key = NeedKey("default", NeedKind.TRANSACTION, "n", HOLDING)
    need = Need(key=key, wallet="w", lines=gas, gas_limit=1, expires_at=NOW, created_at=NOW)
    priced = price_gas(need, Fee(price))
    kept = before is not None and (stated or abs(price - before) * 100 <= before * GAS_MOVED_PERCENT)
    assert priced.amount == (before if kept else price)
    assert price_gas(priced, Fee(price)) == priced
    assert price_gas(need, None) == need


@HELD
@given(NEEDS, NEEDS, BALANCES, st.lists(st.integers(-2, 2), min_size=5, max_size=5))
def test_what_the_closing_depth_covers_is_met_once(
    needs: tuple[Need, ...], others: tuple[Need, ...], balance: int, ages: list[int]
) -> None:
    """Open balances that are known to be younger than the block, of each wallet for itself, no more than there is."""
    aged = [replace(n, since=None if age == 2 else AT.number + age) for n, age in zip(needs, ages, strict=False)]
    theirs = [replace(n, wallet="user-43", key=n.key._replace(id="o" + n.key.id), since=0) for n in others]
    met = find_met([*aged, *theirs], {HOLDING: Balance(HOLDING, balance, AT)})
    assert len(set(met)) == len(met)
    alone = find_met(aged, {HOLDING: Balance(HOLDING, balance, AT)})
    assert [k for k in met if not k.id.startswith("o")] == alone
    found = [n for n in aged if n.key in alone]
    assert all(n.mode is Mode.BALANCE and n.closed_at is None for n in found)
    assert all(n.since is not None and n.since <= AT.number for n in found)
    if found:
        closed = sum(n.reserved for n in aged if n.closed_at is not None)
        assert closed + sum(n.amount for n in found) <= balance
    closed_now = [replace(n, closed_at=NOW, state=State.COVERED) if n.key in alone else n for n in aged]
    assert not find_met(closed_now, {HOLDING: Balance(HOLDING, balance, AT)})


@HELD
@given(NEEDS, st.one_of(st.none(), UNITS), st.booleans())
def test_where_a_top_up_is_needless_everything_is_covered(
    needs: tuple[Need, ...],
    recovered_at: int | None,
    for_funding: bool,  # noqa: FBT001  drawn
) -> None:
    """At the line its levels have recovered, and whatever needs something there has it."""
    kind = NeedKind.FUNDING if for_funding else NeedKind.TRANSACTION
    links = [Link("tu_1", NeedKey("default", kind, "x", HOLDING), State.SHORT, closed=False)]
    levels = {} if recovered_at is None else {HOLDING: recovered_at}
    lines = find_lines(levels, needs, links)
    if HOLDING not in lines:
        assert (not needs and (not for_funding or recovered_at is None)) or (for_funding and recovered_at is None)
        return
    states = allocate(needs, lines[HOLDING])
    assert all(states[n.key] is State.COVERED for n in living(needs))
    assert lines[HOLDING] >= (recovered_at or 0) if for_funding else True


@given(st.lists(st.sampled_from([State.UNKNOWN, State.SHORT, State.COVERED])), st.booleans())
def test_an_ask_is_as_its_worst_need(states: list[State], refused: bool) -> None:  # noqa: FBT001  drawn
    """Unknown before short, short before covered; what can't be bought matters only where something is short."""
    found = find_status(states, refused=refused)
    if not states or State.UNKNOWN in states:
        assert found is State.UNKNOWN
    elif State.SHORT in states:
        assert found is (State.NOT_FUNDS if refused else State.SHORT)
    else:
        assert found is State.COVERED


def test_the_oldest_is_covered_first() -> None:
    """Of needs that are alike a balance for one is the oldest's; one that was given up comes last."""
    key = NeedKey("default", NeedKind.TRANSACTION, "a", HOLDING)
    base = Need(key=key, wallet="w", lines=(BillLine("required", 5),), expires_at=NOW, created_at=NOW)
    late = replace(base, key=key._replace(id="b"), created_at=NOW + timedelta(seconds=1))
    assert allocate([late, base], 5) == {base.key: State.COVERED, late.key: State.SHORT}
    given_up = replace(base, refusal="given_up")
    assert allocate([late, given_up], 5) == {given_up.key: State.SHORT, late.key: State.COVERED}
