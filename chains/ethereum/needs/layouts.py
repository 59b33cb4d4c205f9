"""Where a token keeps its numbers: how a storage key is made of an owner, and how a word holds an amount. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache
from typing import Final

from chains.ethereum.needs.state import Place
from chains.ethereum.needs.words import hash_word

SENTINEL: Final = 0x1234567890ABCDEF1234
"""A number that no token holds by chance, of 77 bits."""
AMPLE: Final = 2**95
"""More than anybody needs, and still below the 2^96 that some tokens can hold."""
LEAST_WIDTH: Final = 64
"""Bits of the smallest field that is taken for an amount."""
MOST_SLOTS: Final = 64
"""Numbered slots that a mapping is looked for in."""
_LIKELY_SLOTS: Final = (*range(12), 51, 52)
"""51 and 52 are OpenZeppelin's of upgradeable tokens."""
_LIKELY_VYPER_SLOTS: Final = tuple(range(6))

_OZ_BALANCES: Final = 0x52C63247E1F47DB19D5CE0460030C497F067CA4CEBF71BA98EEADABE20BACE00
"""OpenZeppelin's ERC-7201 namespace of ERC-20 storage; allowances are one further."""
_SOLADY_BALANCES: Final = bytes(8) + bytes.fromhex("87a211a2")


@dataclass(frozen=True, slots=True)
class Layout:
    """How the key of a mapping's value is made of its keys."""

    kind: str
    """`solidity`, `vyper` or `solady`."""
    base: int
    """The mapping's own slot."""

    def key(self, *owners: str) -> str:
        """The storage key of a value, `0x` and 64 digits; owners from the outer mapping inwards."""
        numbers = [int(owner, 16) for owner in owners]
        if self.kind == "solady":
            return f"0x{hash_word(numbers[0].to_bytes(20) + _SOLADY_BALANCES):064x}"
        slot = self.base
        for number in numbers:
            slot = hash_word(number, slot) if self.kind == "solidity" else hash_word(slot, number)
        return f"0x{slot:064x}"


@lru_cache(maxsize=64)
def guesses(owners: tuple[str, ...]) -> Mapping[str, Layout]:
    """Storage keys that usual tokens keep the value of these owners at, and their layouts."""
    namespaced = _OZ_BALANCES + (len(owners) > 1)
    layouts = [Layout("solidity", slot) for slot in (*range(MOST_SLOTS), namespaced)]
    layouts += [Layout("vyper", slot) for slot in range(MOST_SLOTS)]
    if len(owners) == 1:
        layouts.append(Layout("solady", 0))
    return {layout.key(*owners): layout for layout in layouts}


@lru_cache(maxsize=64)
def likely(owners: tuple[str, ...]) -> Mapping[str, int]:
    """The few places that most tokens keep the value of these owners at, each with a pattern to plant there."""
    namespaced = _OZ_BALANCES + (len(owners) > 1)
    layouts = [Layout("solidity", slot) for slot in (*_LIKELY_SLOTS, namespaced)]
    layouts += [Layout("vyper", slot) for slot in _LIKELY_VYPER_SLOTS]
    if len(owners) == 1:
        layouts.append(Layout("solady", 0))
    return {layout.key(*owners): pattern(number) for number, layout in enumerate(layouts)}


@dataclass(frozen=True, slots=True)
class Field:
    """How a word holds an amount: from which bit, of how many; or scaled, as shares of an index."""

    shift: int = 0
    width: int = 256
    scale: Fraction | None = None
    """Units of the word for one of the amount, for tokens that keep shares."""

    @property
    def most(self) -> int:
        """The largest amount to put there."""
        return (1 << self.width) - 1

    def put(self, word: int, amount: int) -> int:
        """The word with another amount: flags and neighbours in the other bits are kept."""
        if self.scale is not None:
            return -(-amount * self.scale.numerator // self.scale.denominator)
        mask = self.most << self.shift
        return (word & ~mask) | ((amount << self.shift) & mask)

    def get(self, word: int) -> int:
        """The amount that a word holds; of shares, about so much."""
        if self.scale is not None:
            return word * self.scale.denominator // self.scale.numerator
        return (word >> self.shift) & self.most


@dataclass(frozen=True, slots=True)
class Slot:
    """One amount of the sender's: where it is kept, what is there now, and how to make it another."""

    place: Place
    word: int
    amount: int
    """What the view answers now."""
    field: Field

    @property
    def ample(self) -> int:
        """An amount that is enough for anything."""
        return max(self.amount, min(AMPLE, self.field.most >> 1))

    @property
    def is_scaled(self) -> bool:
        """Whether amounts can be put there only within the token's own rounding."""
        return self.field.scale is not None

    def holding(self, amount: int) -> int:
        """The word that makes the view answer `amount`."""
        return self.field.put(self.word, amount)


@cache
def pattern(number: int) -> int:
    """A word that shows which of its bits an answer has: each byte begins with two ones and ends with one."""
    return hash_word(SENTINEL, number) | int.from_bytes(b"\xc1" * 32)


def find_field(word: int, answer: int) -> Field | None:
    """The bits of a `pattern` that an answer is, of whole bytes or with the topmost left out; 64 at least."""
    width = answer.bit_length()
    if width < LEAST_WIDTH:
        return None
    for shift in range(0, 256 - LEAST_WIDTH + 1, 8):
        field = Field(shift, min(width, 256 - shift))
        if field.get(word) == answer:
            return field
    return None
