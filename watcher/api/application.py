"""The HTTP application: every route in one place."""

from importlib.metadata import version

from aiohttp import web

from watcher.api import asks, endpoints, events, preflight, top_ups, users, wallets
from watcher.api.bulk import add_bulk_routes
from watcher.api.health import add_health_routes
from watcher.api.later import add_later_routes
from watcher.api.openapi import make_openapi
from watcher.api.problems import make_problem_middleware
from watcher.api.routing import Answer, Deps, add_route, make_response
from watcher.api.strict_json import MOST_BYTES
from watcher.api.webhooks_backend import add_backend_routes
from watcher.api.webhooks_stripe import add_stripe_routes
from watcher.inbound.intake import Intake

ROUTES = (
    *users.ROUTES,
    *wallets.ROUTES,
    *asks.ROUTES,
    *preflight.ROUTES,
    *top_ups.ROUTES,
    *events.ROUTES,
    *endpoints.ROUTES,
)


def create_app(deps: Deps, intake: Intake | None = None) -> web.Application:
    """Everything that is served. `intake` is closed with the application."""
    intake = intake or Intake(deps.database)
    app = web.Application(middlewares=[make_problem_middleware(deps.new_id)], client_max_size=MOST_BYTES)
    for route in ROUTES:
        add_route(app, deps, route)
    add_bulk_routes(app, deps)
    add_stripe_routes(app, deps, intake)
    add_backend_routes(app, deps, intake)
    add_health_routes(app, deps)
    add_later_routes(app, deps)
    document = make_openapi(ROUTES, version=version("topup-watcher"))

    async def openapi(_: web.Request) -> web.StreamResponse:
        return make_response(Answer(document))

    async def close(_: web.Application) -> None:
        await intake.close()

    app.router.add_get("/openapi.json", openapi)
    app.on_cleanup.append(close)
    return app
