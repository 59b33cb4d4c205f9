"""`[rates]`: what the operator says of prices in fiat, each fault at its place."""

import re
from collections.abc import Collection
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlsplit

from chains.amounts import parse_amount
from config.catalogue import names_host
from config.errors import FieldError, escape
from config.model import HttpRateUrl, Network, Rates
from config.schema import HttpRateEntry, RatesEntry
from notifier.rates import LARGEST, SMALLEST, Pair, is_sane
from notifier.rates_pointer import is_pointer

_FIAT: Final = re.compile(r"[a-z]{3}", re.ASCII)
_PLACES: Final = re.compile(r"\{[^{}]*\}")
_KNOWN_PLACES: Final = ("{asset}", "{fiat}", "{FIAT}")
_DECIMALS: Final = 30
_HERE: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def build_rates(entry: RatesEntry, networks: Collection[Network], *, live: bool, errors: list[FieldError]) -> Rates:
    """Rates ready for use; faults are added to `errors`. With `live`, a tenant moves real money."""
    symbols = {asset.asset.symbol for network in networks for asset in network.assets}
    pegs: dict[str, str] = {}
    for symbol, fiat in entry.peg.items():
        pointer = f"/rates/peg/{escape(symbol)}"
        if _check_pair(symbol, fiat, symbols, pointer, errors):
            pegs[symbol] = fiat
    table: dict[Pair, Decimal] = {}
    for name, text in entry.table.items():
        pointer = f"/rates/table/{escape(name)}"
        symbol, _, fiat = name.rpartition("/")
        value = _read_value(text, pointer, errors)
        if not _check_pair(symbol, fiat, symbols, pointer, errors) or value is None:
            continue
        if pegs.get(symbol) == fiat:
            errors.append(FieldError(pointer, "repeated", f"is pegged as well, by /rates/peg/{escape(symbol)}"))
        table[symbol, fiat] = value
    urls = [_build_url(url, f"/rates/http/{i}", live=live, errors=errors) for i, url in enumerate(entry.http)]
    return Rates(pegs, table, tuple(urls))


def _check_pair(symbol: str, fiat: Any, symbols: set[str], pointer: str, errors: list[FieldError]) -> bool:
    before = len(errors)
    if symbol not in symbols:
        errors.append(FieldError(pointer, "unknown_asset", f"names {symbol}, an asset of none of the networks"))
    if not isinstance(fiat, str) or not _FIAT.fullmatch(fiat):
        errors.append(FieldError(pointer, "bad_currency", 'must name a currency by three small letters, such as "usd"'))
    return len(errors) == before


def _read_value(text: Any, pointer: str, errors: list[FieldError]) -> Decimal | None:
    try:
        parse_amount(text, _DECIMALS)
    except ValueError as error:
        errors.append(FieldError(pointer, "not_a_decimal", str(error)))
        return None
    value = Decimal(text)
    if not is_sane(value):
        errors.append(FieldError(pointer, "out_of_range", f"must be from {SMALLEST:f} to {LARGEST:f}"))
        return None
    return value


def _build_url(entry: HttpRateEntry, pointer: str, *, live: bool, errors: list[FieldError]) -> HttpRateUrl:
    url = entry.url.get_secret_value()
    where = f"{pointer}/url"
    if not url.startswith(("https://", "http://")) or not names_host(url) or not url.isprintable() or " " in url:
        errors.append(FieldError(where, "bad_url", "must begin with https:// or http://, and name a host"))
    elif live and url.startswith("http://") and urlsplit(url).hostname not in _HERE:
        errors.append(FieldError(where, "not_encrypted", "must be https with a live key: real money is reckoned by it"))
    places = _PLACES.findall(url)
    if any(place not in _KNOWN_PLACES for place in places) or set("{}") & set(_PLACES.sub("", url)):
        errors.append(FieldError(where, "bad_template", "has other places in braces than {asset}, {fiat} and {FIAT}"))
    elif "{asset}" not in places or not {"{fiat}", "{FIAT}"} & set(places):
        message = "must have {asset}, and {fiat} or {FIAT}: it would tell one rate for everything"
        errors.append(FieldError(where, "bad_template", message))
    elif "{" in url.split("/")[2]:
        errors.append(FieldError(where, "bad_template", "must have no place in braces in its host"))
    for name, value in (("value", entry.value), ("time", entry.time)):
        if value is not None and not is_pointer(value):
            message = "must be a JSON pointer, such as /data/price"
            errors.append(FieldError(f"{pointer}/{name}", "bad_pointer", message))
    if entry.stale_seconds < entry.fresh_seconds:
        message = f"must not be less than fresh_seconds, which is {entry.fresh_seconds}"
        errors.append(FieldError(f"{pointer}/stale_seconds", "out_of_range", message))
    return HttpRateUrl(url, entry.value, entry.time, entry.fresh_seconds, entry.stale_seconds)
