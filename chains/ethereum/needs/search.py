"""The least amount that works, found by trying: near a first guess, then between what failed and what worked."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

Works = Callable[[Sequence[int]], Awaitable[list[bool]]]
"""Whether each of some amounts works."""

_POINTS: Final = 3
"""Amounts tried at once between two known ones: two bits a round trip."""


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
        gap = least - fails
        points = _POINTS if gap > _POINTS and left() > 2 * gap.bit_length() else 1
        inner = sorted({fails + gap * number // (points + 1) for number in range(1, points + 1)} - {fails, least})
        for amount, good in zip(inner, await works(inner), strict=True):
            if good:
                least = amount
                break
            fails = amount
    return least, True


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
