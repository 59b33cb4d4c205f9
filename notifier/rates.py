"""What a unit of an asset costs in fiat money, for prices that are named in it. Unknown is None, never a guess."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final, Protocol

from chains.amounts import parse_amount

Pair = tuple[str, str]
"""An asset's symbol, and a fiat currency as Stripe writes it: `("ETH", "usd")`."""

SMALLEST: Final = Decimal("1e-12")
LARGEST: Final = Decimal("1e12")
"""What one unit of an asset can cost: whatever lies outside is a mistake."""
MOST_DIGITS: Final = 40
_FIAT_DECIMALS: Final = 18
"""More than any price has; only so that whole numbers can be reckoned with."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate, where it comes from, and when it was true."""

    value: Decimal
    """Fiat per one unit of the asset."""
    source: str
    at: datetime
    """Aware UTC."""


class RateSource(Protocol):
    """One source of rates."""

    async def rate(self, fiat: str, asset_symbol: str) -> Rate | None:
        """The rate now; None where the source has none, or none that can be believed. Raises nothing."""


class PegRates:
    """Assets that are one unit of a fiat currency each, as the operator declares."""

    def __init__(self, pegs: Mapping[str, str], *, now: Callable[[], datetime]) -> None:
        """`pegs`: fiat by symbol."""
        self._pegs = dict(pegs)
        self._now = now

    async def rate(self, fiat: str, asset_symbol: str) -> Rate | None:
        """One, for the pegged pair."""
        return Rate(Decimal(1), "peg", self._now()) if self._pegs.get(asset_symbol) == fiat else None


class TableRates:
    """Rates that the operator has fixed."""

    def __init__(self, table: Mapping[Pair, Decimal], *, now: Callable[[], datetime]) -> None:
        """`table`: fiat per one unit."""
        self._table = dict(table)
        self._now = now

    async def rate(self, fiat: str, asset_symbol: str) -> Rate | None:
        """The fixed one."""
        value = self._table.get((asset_symbol, fiat))
        return None if value is None else Rate(value, "table", self._now())


class FirstRates:
    """Several sources, asked in order."""

    def __init__(self, sources: Sequence[RateSource]) -> None:
        """The first that knows a rate is believed."""
        self._sources = tuple(sources)

    async def rate(self, fiat: str, asset_symbol: str) -> Rate | None:
        """Of the first source that has one."""
        for source in self._sources:
            found = await source.rate(fiat, asset_symbol)
            if found is not None:
                return found
        return None


def is_sane(value: Decimal) -> bool:
    """Whether a rate can be one: positive, finite, of a size and a length that things have."""
    return value.is_finite() and len(value.as_tuple().digits) <= MOST_DIGITS and SMALLEST <= value <= LARGEST


def find_units(price: str, rate: Decimal, decimals: int) -> int:
    """The fewest base units that are worth at least `price`, a plain decimal string, at `rate`.

    Raises ValueError for a price that is no plain amount, a rate that is not sane, and what no chain can hold.
    """
    if not is_sane(rate):
        raise ValueError("is no rate")
    worth, per_unit = rate.as_integer_ratio()
    units: int = -(-parse_amount(price, _FIAT_DECIMALS) * 10**decimals * per_unit // (10**_FIAT_DECIMALS * worth))
    if units >= 2**256:
        raise ValueError("is larger than any chain can hold")
    return units
