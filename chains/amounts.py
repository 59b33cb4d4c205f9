"""Base units (int) to and from amounts (decimal strings), exactly. The only place that does it."""

import re
from typing import Final

MAX_DIGITS: Final = 78
"""Digits of 2^256: no balance of any chain has more."""

_PLAIN = re.compile(r"(0|[1-9][0-9]*)(?:\.([0-9]+))?", re.ASCII)


def parse_amount(text: object, decimals: int) -> int:
    """Base units of a plain decimal string such as `"12.40"`.

    Raises ValueError for anything else: numbers, signs, exponents, other digits than 0-9, more decimals than
    the asset has, more than 78 digits. The message is fit for the person who wrote it.
    """
    if not isinstance(text, str):
        raise ValueError('must be a decimal string such as "12.4"')  # noqa: TRY004  one error kind for all bad amounts
    if len(text) > 2 * MAX_DIGITS:
        raise ValueError("has too many digits")
    match = _PLAIN.fullmatch(text)
    if match is None:
        raise ValueError('must be a plain decimal string such as "12.4": digits and one point, no sign, no exponent')
    whole, fraction = match[1], match[2] or ""
    if len(fraction) > decimals:
        raise ValueError(f"has {len(fraction)} decimals, the asset has {decimals}")
    units = int(whole + fraction.ljust(decimals, "0"))
    if units >= 2**256:
        raise ValueError("is larger than any chain can hold")
    return units


def format_amount(units: int, decimals: int) -> str:
    """The shortest plain decimal string of an amount of base units: `3100000` with 6 decimals is `"3.1"`."""
    sign, digits = ("-" if units < 0 else ""), str(abs(units)).rjust(decimals + 1, "0")
    whole, fraction = digits[: len(digits) - decimals], digits[len(digits) - decimals :].rstrip("0")
    return sign + whole + ("." + fraction if fraction else "")


def round_up(units: int, decimals: int, *, to: int) -> int:
    """The smallest amount not below `units` that has at most `to` decimals, in base units."""
    step: int = 10 ** max(0, decimals - to)
    return -(-units // step) * step
