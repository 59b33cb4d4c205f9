"""The least amount that works, found by trying: near a first guess, then between what failed and what worked."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

Works = Callable[[Sequence[int]], Awaitable[list[bool]]]
"""Whether each of some amounts works."""

_POINTS: Final = 3
"""Amounts tried at once between two known ones: two bits a round trip."""

_FAR: Final = 2
"""Bits between two amounts from which on their order of magnitude is sought first."""


async def find_least(
    works: Works, guess: int, most: int, left: Callable[[], int], hints: Sequence[int] = ()
) -> tuple[int, bool]:
    """The least amount, and whether the one below it was seen to fail. `most` is known to work.

    `hints` are amounts that it may be, such as numbers of the calldata.
    `left` says how many more may be tried; when they run out, the least amount known to work is given as not proven.
    """
    fails, least = await _gallop(works, guess, most, hints)
    while least - fails > 1:
        if left() < 1:
            return least, False
        inner = _between(fails, least, left())
        for amount, good in zip(inner, await works(inner), strict=True):
            if good:
                least = amount
                break
            fails = amount
    return least, True


def _between(fails: int, least: int, left: int) -> list[int]:
    """What to try next. While the two are far apart, between their exponents: amounts are small or large evenly."""
    gap, low = least - fails, max(fails, 0).bit_length()
    span = least.bit_length() - low
    if span > _FAR:
        points = _POINTS if left > least.bit_length() + _POINTS * span.bit_length() else 1
        return sorted({1 << (low + span * number // (points + 1)) for number in range(1, points + 1)} - {least})
    points = _POINTS if gap > _POINTS and 2 * left > _POINTS * (gap.bit_length() + 2) else 1
    return sorted({fails + gap * number // (points + 1) for number in range(1, points + 1)} - {fails, least})


async def _gallop(works: Works, guess: int, most: int, hints: Sequence[int]) -> tuple[int, int]:
    """An amount that fails and one above it that works, as near to the guess as a few tries tell; -1 fails always."""
    steps = (0, 1, 2, 10, guess // 1000, guess // 50, guess)
    near = {guess + sign * step for step in steps for sign in (1, -1)} | {0}
    near |= {hint - below for hint in hints for below in (0, 1)}
    tried = sorted(amount for amount in near if 0 <= amount < most)
    fails, least = -1, most
    for amount, good in zip(tried, await works(tried), strict=True):
        if good:
            least = amount
            break
        fails = amount
    return fails, least
