"""The store is away, or takes no writes: 503 with a time to come back, and nothing said to be done."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.integration.api.conftest import Api, Caller, Seconds, make_deps, two_tenants
from tests.integration.api.test_asks import post_stripe, stripe_event
from tests.integration.watcher.world import ADDRESS, World
from watcher.api.application import ROUTES, create_app
from watcher.store.database import Database

BODY: dict[str, Any] = {"addresses": {"local-evm": ADDRESS}}


@pytest.fixture
async def away(tmp_path: Path) -> AsyncIterator[Caller]:
    """The application on a database that nobody listens for."""
    database = Database("postgresql://nobody@127.0.0.1:1/nothing")
    deps = make_deps(World(database, two_tenants(tmp_path)), Seconds())
    runner = web.AppRunner(create_app(deps), shutdown_timeout=1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as http:
        yield Caller(http, f"http://127.0.0.1:{runner.addresses[0][1]}", "tuw_any")
    await runner.cleanup()
    await database.close()


@pytest.fixture
async def read_only(api: Api, call: Caller) -> Api:
    """The store after a failover to a standby: it is read, and refuses every write."""
    async with api.world.database.begin() as conn:
        name = (await conn.exec_driver_sql("select current_database()")).scalar_one()
        await conn.exec_driver_sql(f'alter database "{name}" set default_transaction_read_only = on')
    await api.world.database.close()
    return api


@pytest.mark.parametrize("route", ROUTES, ids=lambda r: f"{r.method} {r.path}")
async def test_without_a_store_every_route_asks_to_come_back(away: Caller, route: Any) -> None:
    """503 and Retry-After, whatever was asked; not 401, which would have a backend throw its key away."""
    headers = {"Authorization": f"Bearer {away.key}"}
    async with away.http.request(
        route.method, away.url + route.path.replace("{id}", "x").replace("{network}", "local-evm"), headers=headers
    ) as answer:
        problem = await answer.json(content_type="application/problem+json")
        assert (answer.status, problem["code"]) == (503, "store_unavailable")
        assert int(answer.headers["Retry-After"]) > 0


async def test_without_a_store_the_daemon_is_alive_and_not_ready(away: Caller) -> None:
    """Liveness stays, so that nobody restarts what a restart does not heal."""
    assert (await away("GET", "/healthz"))[0] == 200
    status, body = await away("GET", "/readyz")
    assert (status, body["store"]) == (503, "unavailable")
    assert (await away("GET", "/openapi.json"))[0] == 200


async def test_no_webhook_of_stripe_is_accepted_without_a_store(away: Caller, api: Api) -> None:
    """Never a 2xx for what is not on disk: Stripe comes again."""
    text, signature = stripe_event(api)
    assert await post_stripe(replace(api, url=away.url), "/webhooks/stripe/default", text, signature) == 503


async def test_a_store_that_takes_no_writes_is_no_store(read_only: Api, call: Caller) -> None:
    """Reads are answered; writes and webhooks are 503, and readiness says why."""
    assert (await call("GET", "/v1/wallets"))[0] == 200
    status, problem = await call("PUT", "/v1/wallets/w-1", BODY)
    assert (status, problem["code"]) == (503, "store_unavailable")
    assert await post_stripe(read_only, "/webhooks/stripe/default", *stripe_event(read_only)) == 503
    status, body = await call("GET", "/readyz")
    assert (status, body["store"]) == (503, "unavailable")
