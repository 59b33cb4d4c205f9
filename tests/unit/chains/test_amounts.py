"""Amounts to base units and back, exactly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.amounts import format_amount, parse_amount, round_up

units = st.integers(min_value=0, max_value=2**256 - 1)
decimals = st.integers(min_value=0, max_value=36)


@given(units, decimals)
def test_what_is_written_is_read_back_to_the_last_unit(amount: int, places: int) -> None:
    """Formatting and parsing lose nothing, up to 2^256."""
    assert parse_amount(format_amount(amount, places), places) == amount


@given(st.integers(min_value=0, max_value=10**30), st.text("0123456789", max_size=18), st.integers(18, 36))
def test_an_amount_is_its_digits_moved_by_the_decimals(whole: int, fraction: str, places: int) -> None:
    """The same number is found by whole numbers alone: no float and no Decimal on the way."""
    text = f"{whole}.{fraction}" if fraction else str(whole)
    expected = whole * 10**places + (int(fraction) * 10 ** (places - len(fraction)) if fraction else 0)
    assert parse_amount(text, places) == expected


@given(units, decimals)
def test_an_amount_is_written_as_short_as_can_be(amount: int, places: int) -> None:
    """No trailing zeros, no bare point, no leading zero but the one before the point."""
    text = format_amount(amount, places)
    assert "." not in text or not text.endswith(("0", "."))
    assert text == "0" or not text.startswith("0") or text.startswith("0.")


@given(st.integers(min_value=-(2**255), max_value=-1), decimals)
def test_a_difference_below_zero_keeps_its_sign(amount: int, places: int) -> None:
    """A negative number of units is written as its positive with a minus sign."""
    assert format_amount(amount, places) == "-" + format_amount(-amount, places)


@given(units, decimals, decimals)
def test_rounding_goes_up_by_less_than_one_step(amount: int, places: int, to: int) -> None:
    """What is asked for is never less than what is missing, and never a whole step more."""
    rounded = round_up(amount, places, to=to)
    step = 10 ** max(0, places - to)
    assert 0 <= rounded - amount < step
    assert rounded % step == 0


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "1 ", " 1", "+1", "-1", "-0", "1e3", "1E3", "1_000", "1,5", "1,000", ".5", "5.", "00", "01", "01.5",
        "0x10", "NaN", "sNaN", "Infinity", "1.2.3", "1\n", "१२", "\uff11\uff12", "١٢٣", "²", "1e999999",
        "9" * 200, "1." + "0" * 200, str(2**256), None, True, 1, 0, b"1", ["1"], {"transactions": 1},
    ],
)  # fmt: skip
def test_anything_but_a_plain_decimal_string_is_refused(text: object) -> None:
    """Numbers, signs, exponents, other scripts' digits and oversized values are no amounts."""
    with pytest.raises(ValueError, match=r"^\S"):
        parse_amount(text, 0)
    with pytest.raises(ValueError, match=r"^\S"):
        parse_amount(text, 18)


def test_a_json_number_with_a_fraction_is_refused() -> None:
    """A float has already lost what it was meant to say."""
    with pytest.raises(ValueError, match="decimal string"):
        parse_amount(12.4, 6)


def test_more_decimals_than_the_asset_has_are_refused() -> None:
    """Cutting digits off would change what was asked for, even when they are zeros."""
    with pytest.raises(ValueError, match="has 7 decimals, the asset has 6"):
        parse_amount("1.0000000", 6)
    assert parse_amount("1.000000", 6) == 1_000_000


def test_the_largest_amount_is_the_largest_of_a_chain() -> None:
    """2^256 - 1 is taken, one more is not."""
    assert parse_amount(str(2**256 - 1), 0) == 2**256 - 1
    with pytest.raises(ValueError, match="larger than any chain"):
        parse_amount(str(2**256), 0)
    with pytest.raises(ValueError, match="larger than any chain"):
        parse_amount(str(2**200), 36)
