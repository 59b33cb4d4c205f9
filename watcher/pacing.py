"""How fast sessions are asked for, and whose turn it is. Pure: the store keeps the pace, `watcher.pacer` the clock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

SECOND: Final = timedelta(seconds=1)
BURST: Final = 2
"""Most that may go at the same moment: what a late look has let pass is made up for, and no more."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What is kept between two looks."""

    free_at: datetime
    """From when on the next session may be asked for."""
    served: tuple[str, ...] = ()
    """Tenants, the one that was served longest ago first; one that isn't here comes before them."""


def count_free(pace: Pace, now: datetime, per_second: int) -> int:
    """How many sessions may be asked for now."""
    return max(0, (now - _find_start(pace, now, per_second)) // _find_spacing(per_second) + 1)


def find_next(pace: Pace, now: datetime, per_second: int) -> datetime:
    """From when on the next one may be asked for."""
    return max(now, _find_start(pace, now, per_second))


def spend(pace: Pace, now: datetime, per_second: int, turns: Sequence[str]) -> Pace:
    """The pace once these tenants, in this order, had their turns."""
    free_at = _find_start(pace, now, per_second) + len(turns) * _find_spacing(per_second)
    last = tuple(reversed(dict.fromkeys(reversed(turns))))
    return Pace(free_at, (*(tenant for tenant in pace.served if tenant not in turns), *last))


def take_turns(waiting: Mapping[str, int], served: Sequence[str], most: int) -> list[str]:
    """At most so many turns, one tenant after another: who waits with one is not behind who waits with thousands."""
    left = {tenant: count for tenant, count in waiting.items() if count > 0}
    order = sorted(left.keys() - set(served)) + [tenant for tenant in served if tenant in left]
    turns: list[str] = []
    while order and len(turns) < most:
        tenant = order.pop(0)
        turns.append(tenant)
        left[tenant] -= 1
        if left[tenant]:
            order.append(tenant)
    return turns


def _find_spacing(per_second: int) -> timedelta:
    return -(-SECOND // per_second)  # rounded up: rather slower than said than faster


def _find_start(pace: Pace, now: datetime, per_second: int) -> datetime:
    """A pace that lies further ahead than a second was kept by another clock, or before ours was set back."""
    earliest = now - (BURST - 1) * _find_spacing(per_second)
    return now if pace.free_at > now + SECOND else max(pace.free_at, earliest)
