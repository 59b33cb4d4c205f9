"""A clock that stands still until it is told to move, and ids in order."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count


class ManualClock:
    """Aware UTC, starting at a round moment."""

    def __init__(self, start: datetime = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) -> None:
        self._now = start

    def now(self) -> datetime:
        return self._now

    def advance(self, **by: float) -> None:
        """By `timedelta(**by)`."""
        self._now += timedelta(**by)


def counting_ids() -> Callable[[str], str]:
    """`tu_1`, `evt_2`, …: unique, and readable in a failure."""
    numbers = count(1)
    return lambda prefix: f"{prefix}_{next(numbers):06d}"
