"""Rates from a URL of the operator's: a JSON answer, and the places in it where the rate and its time stand."""

import asyncio
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import structlog
from yarl import URL

from chains.bounded_json import loads
from notifier.rates import Pair, Rate, is_sane
from notifier.rates_pointer import find_at

log = structlog.get_logger()

TIMEOUT_SECONDS: Final = 3
MOST_BYTES: Final = 64 * 1024
MOST_PAIRS: Final = 256
"""Kept at a time: backends may name any currency."""
REST_SECONDS: Final = 5
"""After a failure, before the same pair is asked for again."""
_SKEW: Final = timedelta(minutes=5)
"""How far ahead of ours a source's clock may be."""
_MILLISECONDS: Final = Decimal(10**11)
"""Unix times above this are in milliseconds: as seconds they would be in the year 5138."""
_NUMBER: Final = re.compile(r"-?[0-9]{1,60}(?:\.[0-9]{1,60})?(?:[eE][-+]?[0-9]{1,2})?", re.ASCII)


class _Unusable(Exception):
    """The answer gives no rate; the message says why, without quoting it or the URL."""


@dataclass(slots=True)
class _Known:
    """What was last told of a pair."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    rate: Rate | None = None
    fetched: datetime | None = None
    """When `rate` was told."""
    rests_until: datetime | None = None


class HttpRates:
    """One URL. What it told is taken again for a while, and for a little longer while it can't be reached."""

    def __init__(
        self,
        url: str,
        value: str,
        *,
        http: aiohttp.ClientSession,
        now: Callable[[], datetime],
        time: str | None = None,
        fresh_seconds: int = 60,
        stale_seconds: int = 300,
    ) -> None:
        """`url`, which may hold a key, has `{asset}` for the symbol, and `{fiat}` or `{FIAT}` for the currency.

        `value` and `time` are JSON pointers to the rate and to when it was true, which is an RFC 3339 text or a Unix
        time. `http` is the caller's to close. An answer is asked for anew after `fresh_seconds`, and not believed
        when it, or what it says of its own time, is older than `stale_seconds`.
        """
        self._url = url
        self._value = value
        self._time = time
        self._http = http
        self._now = now
        self._fresh = timedelta(seconds=fresh_seconds)
        self._stale = timedelta(seconds=stale_seconds)
        self._host = URL(url.replace("{", "").replace("}", "")).host or ""
        self._known: dict[Pair, _Known] = {}

    async def rate(self, fiat: str, asset_symbol: str) -> Rate | None:
        """See `RateSource.rate`. One question at a time for each pair; whoever comes meanwhile takes its answer."""
        known = self._remember((asset_symbol, fiat))
        async with known.lock:
            now = self._now()
            fresh = known.fetched is not None and now - known.fetched < self._fresh
            resting = known.rests_until is not None and now < known.rests_until
            if not fresh and not resting:
                await self._ask(known, fiat, asset_symbol)
            return self._judge(known, fiat, asset_symbol)

    def _remember(self, pair: Pair) -> _Known:
        known = self._known.pop(pair, None) or _Known()
        self._known[pair] = known
        while len(self._known) > MOST_PAIRS:  # the one that was asked for longest ago
            del self._known[next(iter(self._known))]
        return known

    async def _ask(self, known: _Known, fiat: str, asset: str) -> None:
        try:
            known.rate = await self._fetch(fiat, asset)
            known.fetched, known.rests_until = self._now(), None
        except _Unusable as error:
            log.warning("rate.unusable", host=self._host, asset=asset, fiat=fiat, reason=str(error))
            known.rests_until = self._now() + timedelta(seconds=REST_SECONDS)

    def _judge(self, known: _Known, fiat: str, asset: str) -> Rate | None:
        """What is known, unless it is too old."""
        if known.rate is None or known.fetched is None:
            return None
        age = self._now() - min(known.rate.at, known.fetched)
        if age > self._stale:
            log.warning("rate.stale", host=self._host, asset=asset, fiat=fiat, seconds=int(age.total_seconds()))
            return None
        return known.rate

    async def _fetch(self, fiat: str, asset: str) -> Rate:
        document = _parse(await self._get(fiat, asset))
        value = _read_number(_find(document, self._value))
        if not is_sane(value):
            raise _Unusable("the rate is absurd")
        at = now = self._now()
        if self._time is not None:
            at = _read_time(_find(document, self._time))
            if at > now + _SKEW:
                raise _Unusable("the rate's time is in the future")
        return Rate(value, self._host, min(at, now))

    async def _get(self, fiat: str, asset: str) -> bytes:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS), self._open(fiat, asset) as answer:
                if answer.status != 200:  # noqa: PLR2004  HTTP's OK
                    raise _Unusable(f"HTTP {answer.status}")
                body = bytearray()
                async for chunk in answer.content.iter_chunked(MOST_BYTES):
                    body += chunk
                    if len(body) > MOST_BYTES:
                        raise _Unusable(f"an answer of more than {MOST_BYTES} bytes")
                return bytes(body)
        except TimeoutError:
            raise _Unusable("no answer in time") from None
        except (aiohttp.ClientError, OSError, ValueError, RuntimeError) as error:
            # `from None`: aiohttp's errors carry the URL, and the URL may carry a key
            raise _Unusable(f"no connection ({type(error).__name__})") from None

    def _open(self, fiat: str, asset: str) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        parts = {"{asset}": asset, "{fiat}": fiat, "{FIAT}": fiat.upper()}
        url = self._url
        for place, text in parts.items():
            url = url.replace(place, quote(text, safe=""))
        headers = {"Accept": "application/json"}
        return self._http.get(URL(url, encoded=True), headers=headers, allow_redirects=False)


def _parse(body: bytes) -> Any:
    def refuse(_: str) -> Any:
        raise ValueError("no JSON")

    try:
        return loads(body, parse_float=Decimal, parse_int=Decimal, parse_constant=refuse)
    except (ValueError, ArithmeticError, RecursionError):
        raise _Unusable("not JSON") from None


def _find(document: Any, pointer: str) -> object:
    try:
        return find_at(document, pointer)
    except LookupError:
        raise _Unusable("the answer has no such place") from None


def _read_number(found: object) -> Decimal:
    """A JSON number, or a text that is one, exactly."""
    if isinstance(found, str) and _NUMBER.fullmatch(found):
        return Decimal(found)
    if isinstance(found, Decimal):
        return found
    raise _Unusable("the rate is not a number")


def _read_time(found: object) -> datetime:
    try:
        if isinstance(found, Decimal) and found.is_finite() and found.adjusted() < 15:  # noqa: PLR2004  a date in ms
            seconds = found / 1000 if found > _MILLISECONDS else found
            return datetime.fromtimestamp(int(seconds), UTC)
        if isinstance(found, str) and (at := datetime.fromisoformat(found)).tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise _Unusable("the rate's time is none")
