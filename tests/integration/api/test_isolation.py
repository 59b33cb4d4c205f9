"""Nobody learns what another tenant has: another's id is answered as one that never was, by every route."""

import json
from typing import Any

import pytest
from sqlalchemy import insert, select

from tests.fakes.settings import ETH
from tests.integration.api.conftest import Api, Caller
from tests.integration.watcher.world import ADDRESS, ETH_HOLDING
from watcher.api.application import ROUTES
from watcher.api.auth import SCOPES
from watcher.store.tables import delivery, endpoint, event, top_up

ASK = {"wallet": "w-1", "network": "local-evm"}
BODIES: dict[str, Any] = {
    "WalletBody": {"addresses": {"local-evm": ADDRESS.lower()[:-1] + "1"}},
    "WalletPatch": {"label": "theirs"},
    "UserBody": {"country": "DE"},
    "TransactionBody": {**ASK, "id": "tx-1"},
    "CheckoutBody": {**ASK, "id": "order-1", "price": {"asset": "ETH", "amount": "1"}},
    "SwapBody": {**ASK, "id": "swap-1", "want": "X", "pay_in": [{"asset": "ETH"}]},
    "PreflightBody": {"transaction": ASK},
    "AddBody": {"wallet": "w-1", "network": "local-evm", "asset": "ETH"},
    "CompleteBody": {},
    "LinkBody": {},
    "ReplaceBody": {"address": "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", "expected": ADDRESS},
    "EndpointBody": {"url": "https://theirs.example"},
}
CURSORS = ("/v1/events", "/v1/deliveries", "/v1/top-ups")


@pytest.fixture
async def ids(api: Api, call: Caller) -> dict[str, list[str]]:
    """Everything of the first tenant that has an id, by the part of the path before it."""
    now = api.world.clock.now()
    async with api.world.database.begin() as conn:
        row = {"tenant": "default", "id": "main", "source": "config", "url": "https://x.example", "events": ["*"]}
        await conn.execute(insert(endpoint).values(**row, secrets=[], created_at=now, updated_at=now))
    await call("PUT", "/v1/users/u-1", {})
    await call("PUT", "/v1/wallets/w-1", {"addresses": {"local-evm": ADDRESS}, "user": "u-1"})
    for kind in ("Transaction", "Checkout", "Swap"):
        assert (await call("POST", f"/v1/{kind.lower()}s", BODIES[f"{kind}Body"]))[0] == 201
    await api.world.observer.refresh_watched()
    await api.world.step({ETH_HOLDING: ETH // 2})
    async with api.world.database.begin() as conn:
        found = {
            name: list((await conn.execute(select(table.c.id).order_by(table.c.created_at))).scalars())
            for name, table in (("top-ups", top_up), ("deliveries", delivery), ("events", event))
        }
    assert all(found.values())
    asks = {"transactions": ["tx-1"], "checkouts": ["order-1"], "swaps": ["swap-1"]}
    return {**found, **asks, "wallets": ["w-1"], "users": ["u-1"], "endpoints": ["main"]}


def fill(path: str, id_: str) -> str:
    """A route's path with this id in it."""
    return path.replace("{id}", id_).replace("{network}", "local-evm")


def blur(answer: tuple[int, Any], asked: str) -> str:
    """An answer without what differs between any two requests."""
    status, content = answer
    changing = {"request_id": "", "created_at": "", "updated_at": "", "secret": ""}
    return f"{status} {json.dumps({**(content or {}), **changing}, sort_keys=True)}".replace(asked, "ID")


@pytest.mark.parametrize("route", [r for r in ROUTES if "{" in r.path], ids=lambda r: f"{r.method} {r.path}")
async def test_anothers_id_is_as_good_as_none(api: Api, call: Caller, ids: dict[str, list[str]], route: Any) -> None:
    """Same status, same body, letter for letter, and the owner's things are as they were."""
    kind = route.path.split("/")[2]
    mine, never = ids[kind][0], "never-was"
    body = BODIES[route.body.__name__] if route.body else None
    stranger = await api.caller("other")
    path = route.path if kind != "deliveries" else "/v1/deliveries"
    before = await call("GET", path.replace("{id}", mine).partition(f"/{mine}/")[0])
    theirs = await stranger(route.method, fill(route.path, mine), body)
    nobodys = await stranger(route.method, fill(route.path, never), body)
    assert blur(theirs, mine) == blur(nobodys, never)
    assert await call("GET", path.replace("{id}", mine).partition(f"/{mine}/")[0]) == before


async def test_lists_hold_ones_own_things_alone(api: Api, call: Caller, ids: dict[str, list[str]]) -> None:
    """Every list of a stranger is empty, whatever it is narrowed by; the owner's is not."""
    stranger = await api.caller("other")
    for route in ROUTES:
        if "{" not in route.path and route.method == "GET":
            assert (await stranger("GET", route.path))[1]["data"] == []
            assert (await call("GET", route.path))[1]["data"] != []
    narrowed = ("/v1/wallets?user=u-1", "/v1/top-ups?wallet=w-1", "/v1/deliveries?endpoint=main")
    for path in narrowed:
        assert (await stranger("GET", path))[1]["data"] == []


@pytest.mark.parametrize("path", CURSORS)
async def test_anothers_cursor_is_as_good_as_none(api: Api, ids: dict[str, list[str]], path: str) -> None:
    """410 for both, so that a cursor can't be used to find out what exists."""
    stranger = await api.caller("other")
    mine = ids[path.rpartition("/")[2]][0]
    theirs = await stranger("GET", f"{path}?after={mine}")
    assert theirs[0] == 410
    assert blur(theirs, mine) == blur(await stranger("GET", f"{path}?after=never-was"), "never-was")


async def test_an_idempotency_key_is_its_tenants_own(api: Api, call: Caller, ids: dict[str, list[str]]) -> None:
    """The same key of two tenants: each has its own answer."""
    stranger = await api.caller("other")
    path = f"/v1/top-ups/{ids['top-ups'][0]}/cancel"
    assert (await call("POST", path, Idempotency_Key="k"))[0] == 200
    assert (await stranger("POST", path, Idempotency_Key="k"))[0] == 404


async def test_a_key_of_a_tenant_that_the_configuration_dropped_opens_nothing(api: Api) -> None:
    """403, and by no path anything else."""
    async with api.world.database.begin() as conn:
        await conn.exec_driver_sql("insert into tenant (id, created_at) values ('gone', now())")
    gone = await api.caller("gone")
    for route in ROUTES:
        body = BODIES[route.body.__name__] if route.body else None
        status, problem = await gone(route.method, fill(route.path, "x"), body)
        assert (status, problem["code"]) == (403, "tenant_not_configured")


async def test_a_revoked_key_opens_nothing(api: Api, call: Caller) -> None:
    """From the moment that it is revoked, as if it had never been."""
    assert (await call("GET", "/v1/wallets"))[0] == 200
    async with api.world.database.begin() as conn:
        await conn.exec_driver_sql("update api_key set revoked_at = now()")
    for route in ROUTES:
        assert (await call(route.method, fill(route.path, "x")))[0] == 401


@pytest.mark.parametrize("route", ROUTES, ids=lambda r: f"{r.method} {r.path}")
async def test_each_route_asks_for_its_own_scope(api: Api, route: Any) -> None:
    """A key with every scope but that one gets 403, before anything of the request is looked at."""
    scopes = tuple(scope for scope in SCOPES if scope not in (route.scope, "admin"))
    poor = await api.caller(scopes=scopes)
    status, problem = await poor(route.method, fill(route.path, "x y"), raw=b"{")
    assert (status, problem["code"]) == (403, "missing_scope")
