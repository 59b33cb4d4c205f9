"""Time and identity, passed in: nothing else asks the machine what time it is."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32: no letter that could be read as another."""
TIME_DIGITS: Final = 10
RANDOM_DIGITS: Final = 16


class Clock(Protocol):
    """What time it is."""

    def now(self) -> datetime:
        """Aware, in UTC."""
        ...


@dataclass(frozen=True, slots=True)
class Stamp:
    """When a transaction happens, and where its ids come from."""

    now: datetime
    new_id: Callable[[str], str]


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Aware, in UTC."""
        return datetime.now(UTC)


def make_new_id(clock: Clock, randbits: Callable[[int], int]) -> Callable[[str], str]:
    """A maker of ids: `new_id("tu")` is `tu_` and 26 digits, 48 bits of milliseconds and 80 random ones.

    `randbits` is `secrets.randbits` outside of tests. Ids of different milliseconds sort by time.
    """

    def new_id(prefix: str) -> str:
        milliseconds = int(clock.now().timestamp() * 1000)
        return f"{prefix}_{_digits(milliseconds, TIME_DIGITS)}{_digits(randbits(80), RANDOM_DIGITS)}"

    return new_id


def _digits(number: int, length: int) -> str:
    return "".join(ALPHABET[number >> (5 * place) & 31] for place in reversed(range(length)))
