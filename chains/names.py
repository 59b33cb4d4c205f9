"""Many short texts, each with a number, in columns: no Python object a text. Found, added and removed at once."""

from array import array
from typing import Final

_TABLES: Final = 256
"""Each grows by itself, so that growing never takes long: a four-thousandth of a second at a million texts."""
_LEAST: Final = 8
_LOW: Final = 0xFFFF_FFFF
_SIEVE: Final = 2**21 - 1
"""Bytes of a bitmap that sorts out most strangers: it stays in the processor's cache when the tables don't."""


class Names:
    """Texts of ASCII by number. Numbers of removed ones are used again.

    Hash tables of open addressing: a cell is 32 bits of the hash, then the number plus one; 0 is empty.
    """

    def __init__(self, width: int, *, fold: bool = False) -> None:
        """`width` is the longest text's length. With `fold`, texts are found by their lower case, kept as given."""
        self._width = width
        self._fold = fold
        self._tables = [array("Q", bytes(8 * _LEAST)) for _ in range(_TABLES)]
        self._used = array("I", bytes(4 * _TABLES))
        self._sieve = bytearray(_SIEVE + 1)
        self._texts = bytearray()
        self._free = array("I")

    def __len__(self) -> int:
        """How many there are."""
        return self.top - len(self._free)

    @property
    def top(self) -> int:
        """Every number is below it."""
        return len(self._texts) // self._width

    def find(self, key: str) -> int | None:
        """The number of a text, given in lower case where they are folded."""
        hashed = hash(key)
        if not self._sieve[hashed >> 40 & _SIEVE] >> (hashed >> 37 & 7) & 1:
            return None
        table = self._tables[hashed & 0xFF]
        mark, last = hashed >> 8 & _LOW, len(table) - 1
        at = mark & last
        while cell := table[at]:
            if cell >> 32 == mark and self._key((cell & _LOW) - 1) == key:
                return (cell & _LOW) - 1
            at = at + 1 & last
        return None

    def add(self, text: str) -> tuple[int, bool]:
        """Its number, and whether it is new."""
        key = text.lower() if self._fold else text
        found = self.find(key)
        if found is not None:
            return found, False
        number = self._write(text)
        hashed = hash(key)
        which = hashed & 0xFF
        self._sieve[hashed >> 40 & _SIEVE] |= 1 << (hashed >> 37 & 7)
        self._used[which] += 1
        if 2 * self._used[which] > len(self._tables[which]):
            self._grow(which)
        _put(self._tables[which], (hashed >> 8 & _LOW) << 32 | number + 1)
        return number, True

    def remove(self, key: str) -> int | None:
        """Forget a text, given as for `find`; the number that it had."""
        number = self.find(key)
        if number is None:
            return None
        hashed = hash(key)
        table = self._tables[hashed & 0xFF]
        self._used[hashed & 0xFF] -= 1
        _take(table, (hashed >> 8 & _LOW) << 32 | number + 1)
        self._free.append(number)
        return number

    def text(self, number: int) -> str:
        """The text of a number, as it was given; of a free number, some old one."""
        at = number * self._width
        return self._texts[at : at + self._width].decode("ascii").rstrip()

    def _key(self, number: int) -> str:
        return self.text(number).lower() if self._fold else self.text(number)

    def _write(self, text: str) -> int:
        padded = text.encode("ascii").ljust(self._width)
        if len(padded) != self._width:
            raise ValueError(f"longer than {self._width} characters")
        if self._free:
            number = self._free.pop()
            self._texts[number * self._width : (number + 1) * self._width] = padded
            return number
        self._texts += padded
        return self.top - 1

    def _grow(self, which: int) -> None:
        old = self._tables[which]
        table = self._tables[which] = array("Q", bytes(16 * len(old)))
        for cell in old:
            if cell:
                _put(table, cell)


def _put(table: "array[int]", cell: int) -> None:
    last = len(table) - 1
    at = cell >> 32 & last
    while table[at]:
        at = at + 1 & last
    table[at] = cell


def _take(table: "array[int]", cell: int) -> None:
    """Empty a cell, and move up those behind it that would not be found over the hole."""
    last = len(table) - 1
    hole = cell >> 32 & last
    while table[hole] != cell:
        hole = hole + 1 & last
    at = hole
    while True:
        at = at + 1 & last
        other = table[at]
        if not other:
            break
        home = other >> 32 & last
        if (at - home & last) >= (at - hole & last):
            table[hole] = other
            hole = at
    table[hole] = 0
