"""The least amount with which something works, in few tries. No I/O."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_FIRST_STEP: Final = 1024
_FASTER: Final = 8


@dataclass(frozen=True, slots=True)
class Least:
    """The least amount found."""

    amount: int
    is_proven: bool
    """It works with this, and not with one less (or this is nothing)."""


def find_least(works: Callable[[int], bool], guess: int, floor: int, most: int) -> Least | None:
    """The least amount that works, sought around `guess`; None when not even `most` does.

    `floor` is a bound below which nothing is sought: amounts under it may work for another reason (an account may
    be emptied, but not left with too little). Assumes that what works from `floor` on goes on working with more;
    whoever asks proves that for the one amount that matters.
    """
    floor = min(floor, guess)
    if works(guess):
        if guess == floor or not works(guess - 1):
            return Least(guess, is_proven=guess > floor or guess == 0)
        if works(floor):
            return Least(floor, is_proven=floor == 0)
        return Least(_between(works, floor, guess - 1), is_proven=True)
    low, step = guess, max(guess // _FIRST_STEP, _FIRST_STEP)
    while low < most:
        high = min(low + step, most)
        if works(high):
            return Least(_between(works, low, high), is_proven=True)
        low, step = high, step * _FASTER
    return None


def _between(works: Callable[[int], bool], low: int, high: int) -> int:
    """The least that works, where `low` doesn't and `high` does."""
    while high - low > 1:
        middle = (low + high) // 2
        if works(middle):
            high = middle
        else:
            low = middle
    return high
