"""The retry table."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from notifier.retries import DELAYS, find_delay


def middle(n: int) -> int:
    return n // 2


def test_ten_attempts_over_seventy_five_hours() -> None:
    """75 h 35 min 5 s from the first attempt to the tenth, and none after it."""
    delays = [find_delay(attempts, jitter=middle, retry_after_seconds=None) for attempts in range(1, 11)]
    assert delays[-1] is None
    assert timedelta(seconds=sum(d for d in delays if d is not None)) == timedelta(hours=75, minutes=35, seconds=5)
    assert [d for d in delays if d is not None] == list(DELAYS)


@given(st.integers(1, 9), st.integers(0, 100))
def test_jitter_stays_within_a_tenth(attempts: int, lot: int) -> None:
    """However the lot falls, the delay is within 10 % of the table's."""
    delay = find_delay(attempts, jitter=lambda n: n * lot // 100, retry_after_seconds=None)
    assert delay is not None
    assert abs(delay - DELAYS[attempts - 1]) * 10 <= DELAYS[attempts - 1]


def test_a_receiver_may_ask_for_time_up_to_an_hour() -> None:
    """Retry-After lengthens a delay, never shortens it, and not without end."""
    assert find_delay(1, jitter=middle, retry_after_seconds=120) == 120
    assert find_delay(1, jitter=middle, retry_after_seconds=10**12) == 3600
    assert find_delay(9, jitter=middle, retry_after_seconds=1) == DELAYS[8]
