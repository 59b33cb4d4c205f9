"""The API served on loopback, and callers with keys."""

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry
from sqlalchemy import func, insert, select

from config.model import Settings, Source
from notifier.rates import PegRates
from notifier.signatures import make_secret
from tests.described import validate_answer
from tests.fakes.settings import SOLANA, make_settings, make_solana, make_tenant
from tests.integration.watcher.world import World, check_recorded
from watcher.api.application import create_app
from watcher.api.auth import SCOPES, digest_key
from watcher.api.limits import Limits
from watcher.api.routing import Deps
from watcher.asks.beforehand import Sources
from watcher.metrics import Metrics
from watcher.store.database import Database
from watcher.store.tables import api_key, metadata

STRIPE_SECRET = "whsec_stripe"
SOURCE_SECRET = "whsec_" + "QUJD" * 8
OLD_SOURCE_SECRET = "whsec_" + "REVG" * 8
OTHER_SOURCE_SECRET = "whsec_" + "R0hJ" * 8


@dataclass
class Seconds:
    """What limits measure by. Each look at it is a second after the last, so that no other test meets a limit."""

    now: int = 0
    step: int = 1

    def __call__(self) -> int:
        self.now += self.step
        return self.now * 10**9


@dataclass
class Caller:
    """One key's holder."""

    http: aiohttp.ClientSession
    url: str
    key: str

    async def __call__(
        self, method: str, path: str, body: Any = None, *, raw: bytes | None = None, **headers: str
    ) -> tuple[int, Any]:
        """Status and body, which is held against the document; `raw` is sent as it is."""
        data = raw if raw is not None else (None if body is None else json.dumps(body).encode())
        sent = {"Authorization": f"Bearer {self.key}"} | (
            {"Content-Type": "application/json"} if data is not None else {}
        )
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.http.request(method, self.url + path, data=data, headers=sent) as answer:
            text = await answer.read()
            told = json.loads(text) if text else None
            validate_answer(method, path, answer.status, answer.content_type, told)
            return answer.status, told


@dataclass
class Api:
    """Everything around one served application."""

    world: World
    http: aiohttp.ClientSession
    url: str
    seconds: Seconds

    async def caller(self, tenant: str = "default", scopes: tuple[str, ...] = SCOPES) -> Caller:
        key = f"tuw_{tenant}_{'_'.join(scopes)}"
        row = {"id": self.world.new_id("key"), "tenant": tenant, "digest": digest_key(key), "scopes": list(scopes)}
        async with self.world.database.begin() as conn:
            await conn.execute(insert(api_key).values(**row, created_at=self.world.clock.now()))
        return Caller(self.http, self.url, key)

    async def counts(self) -> dict[str, int]:
        """Rows of every table: what a refused request must not change."""
        async with self.world.database.begin() as conn:
            return {
                name: (await conn.execute(select(func.count()).select_from(table))).scalar_one()
                for name, table in metadata.tables.items()
            }


def two_tenants(tmp: Path) -> Settings:
    settings = make_settings(tmp)
    sources = (Source("main", (SOURCE_SECRET, OLD_SOURCE_SECRET)),)
    default = replace(settings.tenants["default"], stripe_webhook_secrets=(STRIPE_SECRET,), sources=sources)
    other = replace(make_tenant(), id="other", sources=(Source("theirs", (OTHER_SOURCE_SECRET,)),))
    networks = {**settings.networks, SOLANA: make_solana()}
    return replace(settings, networks=networks, tenants={"default": default, "other": other})


def make_deps(world: World, seconds: Seconds) -> Deps:
    return Deps(
        world.database,
        world.settings,
        world.clock,
        world.new_id,
        Metrics(CollectorRegistry()),
        degraded=lambda: (),
        limits=Limits(world.settings.tenants, monotonic_ns=seconds),
        new_secret=lambda: make_secret(secrets.token_bytes),
        sources=Sources(
            world.database,
            world.settings,
            {world.chain.network: world.chain},
            PegRates({"USDC": "usd"}, now=world.clock.now),
        ),
        patience_seconds=0,
    )


@asynccontextmanager
async def serve(world: World) -> AsyncIterator[Api]:
    """The application on loopback; nobody waits for what only the test can bring about."""
    seconds = Seconds()
    app = create_app(make_deps(world, seconds))
    runner = web.AppRunner(app, shutdown_timeout=1, access_log=None, lingering_time=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as http:
        yield Api(world, http, f"http://127.0.0.1:{runner.addresses[0][1]}", seconds)
    await runner.cleanup()


@pytest.fixture(autouse=True)
async def events_are_described(database: Database) -> AsyncIterator[None]:
    """Whatever a test brought about, each event of it is as its type is described."""
    yield
    await check_recorded(database)


@pytest.fixture
async def api(database: Database, tmp_path: Path) -> AsyncIterator[Api]:
    world = await World(database, two_tenants(tmp_path)).start()
    async with serve(world) as served:
        yield served


@pytest.fixture
async def call(api: Api) -> Caller:
    return await api.caller()
