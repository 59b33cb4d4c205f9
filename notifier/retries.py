"""When the next delivery attempt is due. Pure. The table is Standard Webhooks' own (spec, "Deliverability")."""

from collections.abc import Callable
from typing import Final

DELAYS: Final = (5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
"""Seconds between one attempt and the next: 10 attempts over 75 h 35 min 5 s, then a dead letter."""
JITTER_PERCENT: Final = 10
LONGEST_RETRY_AFTER: Final = 3600
"""A receiver may ask for more time, up to an hour."""


def find_delay(attempts: int, *, jitter: Callable[[int], int], retry_after_seconds: int | None) -> int | None:
    """Seconds until the next attempt after `attempts` that failed (1 or more); None when it was the last.

    `jitter(n)` gives an int from 0 to n. The delay is within 10 % of the table's, and not before the receiver said.
    """
    if attempts > len(DELAYS):
        return None
    delay = DELAYS[attempts - 1]
    spread = delay * JITTER_PERCENT // 100
    return max(delay - spread + jitter(2 * spread), min(retry_after_seconds or 0, LONGEST_RETRY_AFTER))
