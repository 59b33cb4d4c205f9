"""Ids and slots."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from watcher.clock import SystemClock, make_new_id
from watcher.schedule import Tick


@dataclass
class _Clock:
    time: datetime

    def now(self) -> datetime:
        return self.time


def test_ids_sort_by_time_and_differ_within_a_millisecond() -> None:
    """An id is its prefix and 26 digits; later ones sort after earlier ones."""
    clock = _Clock(datetime(2026, 1, 2, tzinfo=UTC))
    new_id = make_new_id(clock, lambda _bits: 2**80 - 1)
    first = new_id("tu")
    clock.time += timedelta(milliseconds=1)
    second = make_new_id(clock, lambda _bits: 0)("tu")
    assert first < second
    assert len(first) == len("tu_") + 26
    assert first.startswith("tu_0")
    assert make_new_id(clock, lambda _bits: 1)("tu") != second


def test_the_clock_is_aware_utc() -> None:
    """Times are never naive."""
    assert SystemClock().now().tzinfo is UTC


def test_slots_are_the_same_on_all_replicas() -> None:
    """A slot is a multiple of the interval since 1970, whenever within it the tick came."""
    tick = Tick("look", 10)
    start = datetime(2026, 1, 2, 3, 4, 20, tzinfo=UTC)
    slots = {tick.slot(start + timedelta(milliseconds=late)) for late in (0, 1, 4321, 9999)}
    assert slots == {start}
    assert tick.slot(start + timedelta(seconds=10)) == start + timedelta(seconds=10)
