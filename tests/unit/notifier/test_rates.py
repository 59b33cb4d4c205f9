"""Rates without a network: pegs, tables, several in order, and what a price comes to."""

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.amounts import format_amount
from notifier.rates import LARGEST, SMALLEST, FirstRates, PegRates, Rate, TableRates, find_units, is_sane
from notifier.rates_pointer import find_at, is_pointer

NOW = datetime(2026, 11, 1, tzinfo=UTC)
PEGS = PegRates({"USDC": "usd", "EURC": "eur"}, now=lambda: NOW)
TABLE = TableRates({("ETH", "usd"): Decimal("2500.00"), ("USDC", "usd"): Decimal("0.98")}, now=lambda: NOW)

prices = st.builds(format_amount, st.integers(0, 10**30), st.just(18))
rates = st.decimals(SMALLEST, LARGEST, allow_nan=False).filter(is_sane)


@given(price=prices, rate=rates, decimals=st.integers(0, 18))
def test_what_a_price_comes_to_is_the_least_that_is_worth_it(price: str, rate: Decimal, decimals: int) -> None:
    """So many base units are worth at least the price, and one less is not, exactly."""
    units = find_units(price, rate, decimals)
    worth = Fraction(rate) / 10**decimals
    assert units * worth >= Fraction(price)
    assert units == 0 or (units - 1) * worth < Fraction(price)


@pytest.mark.parametrize(
    ("price", "rate", "decimals", "units"),
    [
        ("700", "2500.00", 18, 28 * 10**16),
        ("10", "1", 6, 10_000_000),
        ("0.01", "3", 0, 1),
        ("10", "3", 6, 3_333_334),
        ("0", "2500", 18, 0),
    ],
)
def test_prices_by_example(price: str, rate: str, decimals: int, units: int) -> None:
    """By hand."""
    assert find_units(price, Decimal(rate), decimals) == units


@pytest.mark.parametrize("price", ["-1", "1e3", "1_0", "", "x", "\u0661", "0." + "1" * 19])
def test_an_odd_price_is_refused(price: str) -> None:
    """Only a plain amount is one."""
    with pytest.raises(ValueError):  # noqa: PT011  chains.amounts has the words
        find_units(price, Decimal(1), 6)


@pytest.mark.parametrize("rate", ["0", "-1", "NaN", "Infinity", "1e-13", "1e13", "1e999999", "1." + "1" * 40])
def test_an_odd_rate_is_refused(rate: str) -> None:
    """Whatever no asset costs is no rate."""
    assert not is_sane(Decimal(rate))
    with pytest.raises(ValueError, match="no rate"):
        find_units("1", Decimal(rate), 6)


def test_more_than_a_chain_can_hold_is_refused() -> None:
    """A price that is absurd at that rate is an error, not a number that breaks something later."""
    with pytest.raises(ValueError, match="larger than"):
        find_units("1" * 50, Decimal("1e-12"), 18)


async def test_a_peg_is_one_for_its_own_currency_alone() -> None:
    """One USDC is a dollar, and says nothing of euros."""
    assert await PEGS.rate("usd", "USDC") == Rate(Decimal(1), "peg", NOW)
    assert await PEGS.rate("eur", "USDC") is None
    assert await PEGS.rate("usd", "ETH") is None


async def test_a_table_has_what_stands_in_it() -> None:
    """A pair that is not there has no rate, nor has its reverse."""
    assert await TABLE.rate("usd", "ETH") == Rate(Decimal("2500.00"), "table", NOW)
    assert await TABLE.rate("eur", "ETH") is None
    assert await TABLE.rate("ETH", "usd") is None


async def test_the_first_that_knows_is_believed() -> None:
    """In the order given; none is None."""
    rates = FirstRates([PEGS, TABLE])
    assert [(await rates.rate("usd", asset)) and asset for asset in ("USDC", "ETH", "SOL")] == ["USDC", "ETH", None]
    found = await rates.rate("usd", "USDC")
    assert found is not None
    assert found.source == "peg"
    assert await FirstRates([]).rate("usd", "USDC") is None


DOCUMENT = {"data": [{"price": 1}], "a/b": {"m~n": 2}, "": 3, "0": 4}


@pytest.mark.parametrize(
    ("pointer", "found"), [("", DOCUMENT), ("/data/0/price", 1), ("/a~1b/m~0n", 2), ("/", 3), ("/0", 4)]
)
def test_a_pointer_finds_its_place(pointer: str, found: object) -> None:
    """As RFC 6901 has it."""
    assert is_pointer(pointer)
    assert find_at(DOCUMENT, pointer) == found


@pytest.mark.parametrize("pointer", ["/data/1", "/data/00", "/data/-", "/data/price", "/nothing", "/data/0/price/x"])
def test_a_pointer_to_nothing_is_an_error(pointer: str) -> None:
    """Not the last thing that was there."""
    with pytest.raises(LookupError):
        find_at(DOCUMENT, pointer)


@pytest.mark.parametrize("text", ["data", "/~", "/~2", "data/price"])
def test_what_is_no_pointer(text: str) -> None:
    """It begins with a slash, and a tilde is followed by 0 or 1."""
    assert not is_pointer(text)
