"""The lives of top-ups and sessions: which arrows there are, and that nothing goes backwards."""

from datetime import timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.model import SessionStatus
from watcher.apply import find_wallet_event
from watcher.dispatch import MAX_BACKOFF_SECONDS, find_backoff
from watcher.look import LONGEST_WAIT, find_newer_status, find_wait
from watcher.model import HoldingStatus, TopUpStatus
from watcher.top_ups import may_become, starts_cooldown


@pytest.mark.parametrize(
    "ended", [TopUpStatus.RETRACTED, TopUpStatus.CANCELLED, TopUpStatus.EXPIRED, TopUpStatus.SUPERSEDED]
)
def test_a_payment_revives_what_had_ended(ended: TopUpStatus) -> None:
    """An eager link stays payable, so every unpaid end leads to settling, and to nothing else."""
    assert [s for s in TopUpStatus if may_become(ended, s)] == [TopUpStatus.SETTLING]


def test_landed_is_the_end_and_paid_money_is_never_taken_back() -> None:
    """Nothing follows landed; settling is neither retracted nor expired nor cancelled."""
    assert not [s for s in TopUpStatus if may_become(TopUpStatus.LANDED, s)]
    assert {s for s in TopUpStatus if may_become(TopUpStatus.SETTLING, s)} == {TopUpStatus.LANDED, TopUpStatus.FAILED}


@given(st.lists(st.sampled_from(list(SessionStatus))), st.sampled_from(list(SessionStatus)))
def test_a_session_never_goes_backwards(told: list[SessionStatus], last: SessionStatus) -> None:
    """Whatever is heard in whatever order, a later look is never less than an earlier one, and an end is final."""
    known = SessionStatus.INITIALIZED
    for status in [*told, last]:
        newer = find_newer_status(known, status)
        assert newer is known or not known.terminal
        assert not (known.paid and not newer.paid)
        known = newer


def test_any_order_of_a_paid_history_ends_the_same() -> None:
    """Every permutation of a session's history, heard with repeats, ends at fulfillment_complete."""
    history = [
        SessionStatus.INITIALIZED,
        SessionStatus.REQUIRES_PAYMENT,
        SessionStatus.FULFILLMENT_PROCESSING,
        SessionStatus.FULFILLMENT_COMPLETE,
    ]
    for order in permutations(history):
        known = SessionStatus.INITIALIZED
        for status in [*order, *order]:
            known = find_newer_status(known, status)
        assert known is SessionStatus.FULFILLMENT_COMPLETE


def test_waits_grow_and_end() -> None:
    """Looks and retries slow down without ever stopping, and never come sooner than Stripe said."""
    waits = [find_wait(looks, 5, LONGEST_WAIT) for looks in range(60)]
    assert waits[0] == timedelta(seconds=5)
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_WAIT
    assert [find_backoff(tries, None) for tries in (0, 1, 5, 6, 99)] == [
        1,
        2,
        32,
        MAX_BACKOFF_SECONDS,
        MAX_BACKOFF_SECONDS,
    ]
    assert find_backoff(0, 90) == 90


@pytest.mark.parametrize(
    ("before", "after", "event"),
    [
        (HoldingStatus.UNKNOWN, HoldingStatus.OK, None),
        (HoldingStatus.UNKNOWN, HoldingStatus.LOW, "low"),
        (HoldingStatus.OK, HoldingStatus.CRITICAL, "critical"),
        (HoldingStatus.LOW, HoldingStatus.CRITICAL, "critical"),
        (HoldingStatus.CRITICAL, HoldingStatus.LOW, None),
        (HoldingStatus.CRITICAL, HoldingStatus.OK, "recovered"),
        (HoldingStatus.LOW, HoldingStatus.LOW, None),
    ],
)
def test_only_news_is_told(before: HoldingStatus, after: HoldingStatus, event: str | None) -> None:
    """A wallet event fires when a holding becomes low, critical or fine again, once."""
    assert find_wallet_event(before, after) == event


@pytest.mark.parametrize(
    ("status", "outcome", "silent"),
    [
        (TopUpStatus.LANDED, "full", False),
        (TopUpStatus.LANDED, "other_funds", False),
        (TopUpStatus.LANDED, "partial", True),
        (TopUpStatus.RETRACTED, None, False),
        (TopUpStatus.SUPERSEDED, None, False),
        (TopUpStatus.CANCELLED, None, True),
        (TopUpStatus.EXPIRED, None, True),
        (TopUpStatus.REJECTED, None, True),
        (TopUpStatus.FAILED, None, True),
        (TopUpStatus.SETTLING, None, False),
    ],
)
def test_only_an_unmet_need_is_followed_by_silence(status: TopUpStatus, outcome: str | None, *, silent: bool) -> None:
    """A need that was met leaves no cooldown: the next fall is a new one, and is asked for at once."""
    assert starts_cooldown(status, outcome) is silent
