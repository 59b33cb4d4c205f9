"""Balances by index, sixteen bytes each: compared in bulk with what a node gives, no Python object a balance."""

from array import array
from collections.abc import Sequence
from typing import Final

_UNKNOWN: Final = 2**64 - 1
_HALF: Final = 8
_WIDE: Final = 1 << 127
"""From here on a balance is not kept: it is taken for changed each time, which costs a read."""


class Amounts:
    """The lower 128 bits of each balance, in two columns, in the byte order that nodes give them in."""

    def __init__(self) -> None:
        self._high = array("Q")
        self._low = array("Q")

    def put(self, index: int, amount: int) -> None:
        """A balance that is known."""
        if amount >= _WIDE:
            self.forget(index)
            return
        self._reach(index + 1)
        word = array("Q", amount.to_bytes(2 * _HALF))
        self._high[index], self._low[index] = word

    def forget(self, index: int) -> None:
        """It is not known any more."""
        if index < len(self._high):
            self._high[index] = self._low[index] = _UNKNOWN

    def compare(self, indexes: Sequence[int], words: "array[int]") -> list[int]:
        """Keep the balances of these indexes, four cells each; the indexes of those that differ from what was kept."""
        if not indexes:
            return []
        self._reach(max(indexes) + 1)
        first, behind = indexes[0], indexes[0] + len(indexes)
        high, low = words[2::4], words[3::4]
        wide = any(words[0::4]) or any(words[1::4])
        if indexes[-1] == behind - 1 and not wide and self._same(first, behind, high, low):
            return []
        changed = []
        for place, index in enumerate(indexes):
            if wide and (words[4 * place] or words[4 * place + 1]):
                self.forget(index)
            elif self._high[index] == high[place] and self._low[index] == low[place]:
                continue
            else:
                self._high[index], self._low[index] = high[place], low[place]
            changed.append(index)
        return changed

    def _same(self, first: int, behind: int, high: "array[int]", low: "array[int]") -> bool:
        return self._high[first:behind] == high and self._low[first:behind] == low

    def _reach(self, top: int) -> None:
        missing = top - len(self._high)
        if missing > 0:
            unknown = array("Q", [_UNKNOWN]) * missing
            self._high += unknown
            self._low += unknown
