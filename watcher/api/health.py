"""`/healthz`, `/readyz`, `/metrics`: for those who run it. They name networks, never wallets or tenants."""

import asyncio

from aiohttp import web
from sqlalchemy import select

from chains.model import NetworkId
from config.errors import FieldError
from config.model import Network
from watcher.api.problems import invalid
from watcher.api.routing import Answer, Deps, make_response
from watcher.render import JSON, render_time
from watcher.store.errors import StoreUnavailable
from watcher.store.holds import Holds, find_holds
from watcher.store.tables import network_status

PING_SECONDS = 3


def add_health_routes(app: web.Application, deps: Deps) -> None:
    """No key is needed."""

    async def healthz(_: web.Request) -> web.StreamResponse:
        return make_response(Answer({"status": "alive"}))

    async def readyz(request: web.Request) -> web.StreamResponse:
        asked = request.query.get("network")
        network = deps.settings.find_network(asked) if asked is not None else None
        if asked is not None and network is None:
            raise invalid([FieldError("?network", "unknown_network", "is not a configured network")])
        body, ready = await find_readiness(deps, network)
        return make_response(Answer(body, 200 if ready else 503))

    async def metrics(_: web.Request) -> web.StreamResponse:
        return web.Response(body=deps.metrics.render(), headers={"Content-Type": "text/plain; version=0.0.4"})

    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)


def _show_holds(network: NetworkId, holds: Holds, *, fresh: bool) -> JSON:
    """A network that is held, or paused, is read as ever: only its asks wait."""
    shown: JSON = {}
    if network in holds.storms:
        shown["held_since"] = render_time(holds.storms[network])
        if fresh:
            shown |= {"status": "held", "reason": "storm"}
    if holds.everything or network in holds.paused:
        shown["paused"] = True
    return shown


async def find_readiness(deps: Deps, network: Network | None) -> tuple[JSON, bool]:
    """Ready: the store can be written and no task keeps crashing. A network decides only when it is asked for."""
    degraded = list(deps.degraded())
    networks: dict[str, JSON] = {
        n.name: {"status": "stale", "reason": "not_read_yet"} for n in deps.settings.networks.values()
    }
    try:
        async with asyncio.timeout(PING_SECONDS):
            await deps.database.ping()
            async with deps.database.begin() as conn:
                rows = (await conn.execute(select(network_status))).mappings().all()
                holds = await find_holds(conn)
    except (StoreUnavailable, TimeoutError):
        return {"status": "not_ready", "store": "unavailable", "networks": networks, "degraded": degraded}, False
    fresh = {row["network"] for row in rows if row["fresh"]}
    for row in rows:
        found = deps.settings.networks.get(row["network"])
        if found is not None:
            networks[found.name] = {"status": "fresh" if row["fresh"] else "stale", "reason": row["reason"]}
            networks[found.name] |= _show_holds(found.id, holds, fresh=row["fresh"])
    ready = not degraded and (network is None or network.id in fresh)
    status = "ready" if ready else "not_ready"
    return {"status": status, "store": "ok", "networks": networks, "degraded": degraded}, ready
