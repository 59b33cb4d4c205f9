"""Rates over HTTP, from a server of our own: exact, cached for a while, and None for whatever can't be believed."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from notifier.rates import FirstRates, TableRates
from notifier.rates_http import MOST_BYTES, MOST_PAIRS, REST_SECONDS, HttpRates
from tests.nodes.solana_process import free_ports

KEY = "rates-canary-key"
START = datetime(2026, 11, 1, 12, tzinfo=UTC)


class Clock:
    """The time, which a test moves."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Source:
    """A server of rates: answers `body`, or what `answer` makes."""

    def __init__(self) -> None:
        self.url = ""
        self.body: str | bytes = '{"data": {"price": "2500.10"}}'
        self.answer: Callable[[], web.StreamResponse] | None = None
        self.asked: list[str] = []
        self.came = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    def tell(self, price: Any, **more: Any) -> None:
        """An answer with this price, written as Python's json does."""
        self.body = json.dumps({"data": {"price": price, **more}})

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        self.came.set()
        await self.gate.wait()
        if self.answer is not None:
            return self.answer()
        return web.Response(body=self.body, content_type="application/json")


class World:
    """A source, and rates that ask it."""

    def __init__(self, source: Source, http: aiohttp.ClientSession) -> None:
        self.source = source
        self.clock = Clock()
        self._http = http

    def rates(self, **settings: Any) -> HttpRates:
        url = f"{self.source.url}/v1/{{asset}}?quote={{FIAT}}&fiat={{fiat}}&key={KEY}"
        return HttpRates(
            settings.pop("url", url), settings.pop("value", "/data/price"), http=self._http, now=self.clock, **settings
        )


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        source, app = Source(), web.Application()
        app.router.add_get("/{tail:.*}", source.serve)
        server = await stack.enter_async_context(TestServer(app, port=free_ports(1)))
        source.url = str(server.make_url("/")).rstrip("/")
        http = await stack.enter_async_context(aiohttp.ClientSession(trust_env=False))
        yield World(source, http)
        source.gate.set()


async def value_of(rates: HttpRates) -> Decimal | None:
    """What a dollar price of ETH is reckoned with."""
    found = await rates.rate("usd", "ETH")
    return None if found is None else found.value


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ('{"data": {"price": "2500.10"}}', "2500.10"),
        ('{"data": {"price": 2500.10}}', "2500.10"),
        ('{"data": {"price": 0.1234567890123456789}}', "0.1234567890123456789"),
        ('{"data": {"price": 1}}', "1"),
        ('{"data": {"price": 2.5e3}}', "2500"),
        ('{"data": {"price": "9.5E-7"}}', "0.00000095"),
    ],
)
async def test_a_rate_is_taken_exactly(world: World, body: str, value: str) -> None:
    """Numbers and texts to the last digit, with the source's host, as of the answer."""
    world.source.body = body
    found = await world.rates().rate("usd", "ETH")
    assert found is not None
    assert (found.value, found.source, found.at) == (Decimal(value), "127.0.0.1", START)


async def test_the_url_is_filled_in(world: World) -> None:
    """Asset and currency in their places, whatever letters a symbol has."""
    await world.rates().rate("usd", "USDC.e/x&y")
    assert world.source.asked == [f"/v1/USDC.e%2Fx%26y?quote=USD&fiat=usd&key={KEY}"]


BAD = [
    "",
    "nonsense",
    "[",
    "[" * 100_000,
    "{}",
    '{"data": []}',
    '{"data": {"price": null}}',
    '{"data": {"price": true}}',
    '{"data": {"price": NaN}}',
    '{"data": {"price": Infinity}}',
    '{"data": {"price": "NaN"}}',
    '{"data": {"price": "1_000"}}',
    '{"data": {"price": " 1"}}',
    '{"data": {"price": "1,5"}}',
    '{"data": {"price": {"amount": 1}}}',
    '{"data": {"price": 0}}',
    '{"data": {"price": "0.00"}}',
    '{"data": {"price": -2500}}',
    '{"data": {"price": 1e13}}',
    '{"data": {"price": 1e-13}}',
    '{"data": {"price": 1e999999999}}',
    '{"data": {"price": 1e99999999999999999999}}',
    '{"data": {"price": 1' + "0" * 5000 + "}}",
    '{"data": {"price": 1, "more": "' + "x" * MOST_BYTES + '"}}',
]


@pytest.mark.parametrize("body", BAD, ids=range(len(BAD)))
async def test_what_makes_no_sense_is_no_rate(world: World, body: str) -> None:
    """None, and one line in the log that does not quote it."""
    world.source.body = body
    with capture_logs() as logs:
        assert await world.rates().rate("usd", "ETH") is None
    assert [line["event"] for line in logs] == ["rate.unusable"]
    assert KEY not in str(logs)


ANSWERS: dict[str, Callable[[], web.StreamResponse]] = {
    "an error": lambda: web.Response(status=500, text='{"data": {"price": 1}}'),
    "slow down": lambda: web.Response(status=429),
    "not there": lambda: web.Response(status=404),
    "elsewhere": lambda: web.Response(status=302, headers={"Location": "/v2", "Set-Cookie": "a=b"}),
    "a bomb": lambda: web.Response(body=gzip.compress(b"[" + b" " * 10**7), headers={"Content-Encoding": "gzip"}),
    "no gzip": lambda: web.Response(body=b"{}", headers={"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_another_answer_than_200_is_no_rate(world: World, name: str) -> None:
    """Nothing is followed, nothing large is read."""
    world.source.answer = ANSWERS[name]
    with capture_logs() as logs:
        assert await world.rates().rate("usd", "ETH") is None
    assert [line["event"] for line in logs] == ["rate.unusable"]
    assert len(world.source.asked) == 1
    assert KEY not in str(logs)


async def test_a_silent_source_is_no_rate(world: World) -> None:
    """Nobody waits for it for longer than three seconds."""
    world.source.gate.clear()
    began = asyncio.get_running_loop().time()
    assert await world.rates().rate("usd", "ETH") is None
    assert asyncio.get_running_loop().time() - began < 5


async def test_a_dead_source_is_no_rate(world: World) -> None:
    """Nobody listens: None, and the log has no key."""
    with capture_logs() as logs:
        rates = world.rates(url=f"http://127.0.0.1:9/{{asset}}/{{fiat}}?key={KEY}")
        assert await rates.rate("usd", "ETH") is None
    assert logs
    assert KEY not in f"{logs}{rates!r}"


async def test_an_answer_is_taken_again_while_fresh(world: World) -> None:
    """One question a minute for each pair, and the new answer afterwards."""
    rates = world.rates()
    for _ in range(3):
        await rates.rate("usd", "ETH")
    await rates.rate("eur", "ETH")
    assert len(world.source.asked) == 2
    world.source.tell("2600")
    world.clock.move(59)
    assert await value_of(rates) == Decimal("2500.10")
    world.clock.move(2)
    assert await value_of(rates) == Decimal(2600)
    assert len(world.source.asked) == 3


async def test_many_at_once_are_one_question(world: World) -> None:
    """Whoever asks while the answer is under way takes it as well."""
    rates = world.rates()
    world.source.gate.clear()
    waiting = [asyncio.create_task(rates.rate("usd", "ETH")) for _ in range(10)]
    await world.source.came.wait()
    world.source.gate.set()
    assert len({found and found.value for found in await asyncio.gather(*waiting)}) == 1
    assert len(world.source.asked) == 1


async def test_the_last_answer_serves_until_it_is_stale(world: World) -> None:
    """A source that fails is bridged by what it told, for five minutes and no longer."""
    rates = world.rates()
    await rates.rate("usd", "ETH")
    world.source.answer = ANSWERS["an error"]
    world.clock.move(299)
    assert await rates.rate("usd", "ETH") is not None
    world.clock.move(2)
    assert await rates.rate("usd", "ETH") is None


async def test_a_failing_source_is_left_alone_for_a_moment(world: World) -> None:
    """A burst of asks is one failure, and a source that is back is believed soon."""
    rates = world.rates()
    world.source.answer = ANSWERS["an error"]
    for _ in range(5):
        assert await rates.rate("usd", "ETH") is None
    assert len(world.source.asked) == 1
    world.source.answer = None
    world.clock.move(REST_SECONDS)
    assert await rates.rate("usd", "ETH") is not None


@pytest.mark.parametrize(
    "at",
    [
        (START - timedelta(seconds=299)).isoformat(),
        (START - timedelta(seconds=299)).isoformat().replace("+00:00", "Z"),
        "2026-11-01T13:56:00+02:00",
        int(START.timestamp()) - 299,
        (int(START.timestamp()) - 299) * 1000,
        START.timestamp() - 298.5,
        int(START.timestamp()) + 60,
    ],
)
async def test_its_own_time_counts(world: World, at: Any) -> None:
    """In any of the forms: young enough is believed, and stale once that time is five minutes ago."""
    world.source.tell("2500", at=at)
    rates = world.rates(time="/data/at")
    found = await rates.rate("usd", "ETH")
    assert found is not None
    assert START - timedelta(minutes=5) < found.at <= START
    if found.at < START:
        world.clock.move(2 + (found.at - START + timedelta(seconds=299)).total_seconds())
        assert await rates.rate("usd", "ETH") is None


@pytest.mark.parametrize(
    "at",
    [
        (START - timedelta(seconds=301)).isoformat(),
        int(START.timestamp()) - 301,
        int(START.timestamp()) + 3600,
        "2026-11-01T12:00:00",
        "yesterday",
        "",
        None,
        True,
        -1,
        10**30,
        [],
    ],
)
async def test_an_old_or_odd_time_is_no_rate(world: World, at: Any) -> None:
    """Older than stale, from the future, without a zone, or no time at all."""
    world.source.tell("2500", at=at)
    assert await world.rates(time="/data/at").rate("usd", "ETH") is None


async def test_pairs_that_anybody_may_name_are_bounded(world: World) -> None:
    """However many currencies are asked for, only so many answers are kept: the oldest is asked for anew."""
    rates = world.rates()
    for number in range(MOST_PAIRS + 1):
        await rates.rate("usd", f"A{number}")
    await rates.rate("usd", f"A{MOST_PAIRS}")
    assert len(world.source.asked) == MOST_PAIRS + 1
    await rates.rate("usd", "A0")
    assert len(world.source.asked) == MOST_PAIRS + 2


async def test_the_next_source_is_asked_when_one_has_none(world: World) -> None:
    """A URL before another, or before a table, in the order given."""
    table = TableRates({("ETH", "usd"): Decimal(1)}, now=world.clock)
    world.source.answer = ANSWERS["an error"]
    found = await FirstRates([world.rates(), table]).rate("usd", "ETH")
    assert found is not None
    assert found.source == "table"
