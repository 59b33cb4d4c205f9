"""Turns at the onramp: never faster than said, never slower than need be, and nobody is behind somebody's thousands."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from watcher.pacing import BURST, SECOND, Pace, count_free, find_next, spend, take_turns

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TENANTS = st.sampled_from(["a", "b", "c", "d"])
WAITING = st.dictionaries(TENANTS, st.integers(0, 50))


@settings(deadline=None)
@given(st.integers(1, 1000), st.lists(st.integers(0, 400), min_size=1, max_size=200))
def test_no_second_has_more_than_its_rate(per_second: int, pauses: list[int]) -> None:
    """However looks are spread (pauses in ms), any span of a second has the rate, and the burst at its edge."""
    pace, now, given_at = Pace(NOW), NOW, list[datetime]()
    for pause in pauses:
        now += timedelta(milliseconds=pause)
        free = count_free(pace, now, per_second)
        given_at += [now] * free
        pace = spend(pace, now, per_second, ["a"] * free)
    for at in given_at:
        assert sum(at <= other < at + SECOND for other in given_at) <= per_second + BURST


@settings(deadline=None)
@given(st.integers(1, 1000))
def test_a_wave_goes_at_its_rate(per_second: int) -> None:
    """Looked at whenever the next one is free, two seconds bring twice the rate, to a percent."""
    pace, now, count = Pace(NOW), NOW, 0
    while now < NOW + 2 * SECOND:
        free = count_free(pace, now, per_second)
        count += free
        pace = spend(pace, now, per_second, ["a"] * free)
        now = max(find_next(pace, now, per_second), now + timedelta(microseconds=1))
    assert 2 * per_second * 99 // 100 <= count <= 2 * per_second + BURST


@given(st.integers(1, 1000), st.integers(2, 10**6))
def test_a_clock_that_was_set_back_stops_nothing(per_second: int, seconds: int) -> None:
    """A pace far in the future was kept by a wrong clock: the next turn is now."""
    assert count_free(Pace(NOW + timedelta(seconds=seconds)), NOW, per_second) == 1


@given(WAITING, st.permutations(["a", "b", "c"]), st.integers(0, 100))
def test_all_turns_are_taken_that_there_are(waiting: dict[str, int], served: list[str], most: int) -> None:
    """As many as may go, or as many as wait; of no tenant more than wait."""
    turns = Counter(take_turns(waiting, served, most))
    assert turns.total() == min(most, sum(waiting.values()))
    assert all(turns[tenant] <= waiting[tenant] for tenant in turns)


@given(WAITING, st.lists(st.integers(0, 7), min_size=1, max_size=30))
def test_who_waits_gets_as_much_as_anybody(waiting: dict[str, int], looks: list[int]) -> None:
    """Over many looks, nobody who still waits is more than one turn behind anybody else."""
    left, had, pace = dict(waiting), Counter[str](), Pace(NOW)
    for most in looks:
        turns = take_turns(left, pace.served, most)
        pace = spend(pace, NOW, 1, turns)
        had.update(turns)
        left = {tenant: waiting[tenant] - had[tenant] for tenant in waiting}
        assert all(had[other] <= had[tenant] + 1 for tenant in left if left[tenant] for other in left)
    assert len(set(pace.served)) == len(pace.served)
