"""What is kept of a look at a transaction, when it counts as another one, and how its ask stands by it."""

import json
from dataclasses import replace
from datetime import UTC, timedelta
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.model import NATIVE, BlockRef, Holding
from chains.needs import Outflow, TransactionNeeds, Verdict
from tests.fakes.settings import EVM, make_network, make_settings
from tests.unit.watcher.factories import ADDRESS, NOW
from watcher.asks.analysis import (
    MOST_DETAIL,
    MOVED_PERCENT,
    Analysis,
    has_changed,
    make_analysis,
    read_analysis,
    write_analysis,
)
from watcher.asks.model import Need, NeedKey, State
from watcher.asks.standing import find_standing
from watcher.model import BillLine, NeedKind

AMOUNTS = st.integers(0, 2**128)
FIRM = ("required", "rent", "keep")
MOVING = ("gas", "l1_fee", "priority_fee")
OUTFLOWS = st.builds(
    Outflow,
    asset=st.sampled_from((NATIVE, "0xA", "0xB")),
    amount=AMOUNTS,
    what=st.sampled_from(FIRM + MOVING),
    extra=st.dictionaries(st.sampled_from(("limit", "units")), st.integers(0, 2**53)),
)
TIMES = st.datetimes(timezones=st.just(UTC))
ANALYSES = st.builds(
    Analysis,
    verdict=st.sampled_from(Verdict),
    detail=st.text(max_size=20).filter(str.isprintable),
    exact=st.booleans(),
    method=st.sampled_from(("", "simulate", "decode")),
    at=st.none() | st.builds(BlockRef, st.integers(0, 2**60), st.none() | st.just("0x01")),
    lacks=st.lists(st.sampled_from(("0xC", "0xD")), unique=True).map(tuple),
    outflows=st.lists(OUTFLOWS, max_size=4).map(tuple),
    looked_at=st.none() | TIMES,
)


@given(ANALYSES)
def test_what_is_kept_is_read_back(analysis: Analysis) -> None:
    """Through JSON and back nothing is lost, amounts of any size included."""
    assert read_analysis(json.loads(json.dumps(write_analysis(analysis)))) == analysis


@given(st.lists(OUTFLOWS, max_size=5), st.randoms())
def test_the_order_of_outflows_is_no_news(outflows: list[Outflow], random: Random) -> None:
    """The same amounts in another order, or split otherwise, are the same."""
    shuffled = list(outflows)
    random.shuffle(shuffled)
    split = [
        part for o in shuffled for part in (replace(o, amount=o.amount // 2), replace(o, amount=-(-o.amount // 2)))
    ]
    assert not has_changed(tuple(outflows), tuple(split))


@given(OUTFLOWS.filter(lambda o: o.what in FIRM), st.integers(1, 2**64))
def test_an_amount_that_differs_by_a_unit_is_news(outflow: Outflow, more: int) -> None:
    """What moves, must be there to the unit."""
    assert has_changed((outflow,), (replace(outflow, amount=outflow.amount + more),))
    assert has_changed((outflow,), ())
    assert has_changed((), (outflow,))


@given(st.integers(1, 2**100), st.integers(-100, 100), st.sampled_from(MOVING))
def test_costs_are_news_when_they_moved_by_more_than_a_tenth(before: int, percent: int, what: str) -> None:
    """Below that, fees come and go from block to block."""
    after = before + before * percent // 100
    moved = abs(after - before) * 100 > before * MOVED_PERCENT
    assert has_changed((Outflow(NATIVE, before, what),), (Outflow(NATIVE, after, what),)) is moved


def test_a_strangers_words_can_be_shown() -> None:
    """A reason may come out of a hostile contract: bounded, and without characters that steer a terminal."""
    needs = TransactionNeeds(
        BlockRef(1, "0x01"),
        (),
        Verdict.REVERTS,
        "\x1b[2J\u202e" + "x" * 999,
        False,
        "call",
        frozenset(),
        ("0xB", "0xA"),
        1,
    )
    made = make_analysis(needs, now=NOW)
    assert made.detail == "?[2J?" + "x" * (MOST_DETAIL - 5)
    assert (made.lacks, made.looked_at, made.found, made.hopeless) == (("0xA", "0xB"), NOW, True, True)


def stand(tmp_path: Path, analysis: Analysis | None, *states: State) -> tuple[State, str | None]:
    """Status and reason of an ask with needs in these states."""
    settings = make_settings(tmp_path, network=make_network())
    needs = [
        Need(
            key=NeedKey("default", NeedKind.TRANSACTION, "tx-1", Holding(EVM, f"asset-{i}", ADDRESS)),
            wallet="w-1",
            lines=(BillLine("required", 5),),
            state=state,
            expires_at=NOW + timedelta(days=1),
            created_at=NOW,
        )
        for i, state in enumerate(states)
    ]
    status, reason = find_standing(analysis, needs, settings.networks[EVM], settings.networks)
    return status, None if reason is None else reason["code"]


COVERED, SHORT, UNKNOWN = State.COVERED, State.SHORT, State.UNKNOWN


@pytest.mark.parametrize(
    ("verdict", "states", "stands"),
    [
        (Verdict.FUNDS, (), (COVERED, None)),
        (Verdict.FUNDS, (COVERED, SHORT), (SHORT, None)),
        (Verdict.FUNDS, (COVERED, UNKNOWN), (UNKNOWN, None)),
        (Verdict.ALLOWANCE, (SHORT,), (SHORT, "allowance")),
        (Verdict.ALLOWANCE, (COVERED,), (State.NOT_FUNDS, "allowance")),
        (Verdict.ALLOWANCE, (UNKNOWN,), (UNKNOWN, None)),
        (Verdict.ALLOWANCE, (), (State.NOT_FUNDS, "allowance")),
        (Verdict.REVERTS, (SHORT,), (State.NOT_FUNDS, "reverts")),
        (Verdict.DEADLINE, (), (State.NOT_FUNDS, "deadline")),
        (Verdict.UNKNOWN, (COVERED,), (UNKNOWN, None)),
    ],
)
def test_how_an_ask_stands(
    tmp_path: Path, verdict: Verdict, states: tuple[State, ...], stands: tuple[State, str | None]
) -> None:
    """Money is `short` while it is missing; an approval alone, a revert or a deadline is not a matter of money."""
    assert stand(tmp_path, Analysis(verdict), *states) == stands


def test_unlisted_tokens_are_in_the_way_of_everything(tmp_path: Path) -> None:
    """What is sold would not help while something else is missing that is not."""
    assert stand(tmp_path, Analysis(Verdict.FUNDS, lacks=("0xC",)), SHORT) == (State.NOT_FUNDS, "unknown_asset")


def test_without_a_transaction_only_needs_count(tmp_path: Path) -> None:
    """None at all is not the same as all of them met."""
    assert stand(tmp_path, None) == (UNKNOWN, None)
    assert stand(tmp_path, None, COVERED) == (COVERED, None)
