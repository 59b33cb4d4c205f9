"""What the contract names and this version does not do yet: refused by name, never ignored."""

from aiohttp import web

from watcher.api.auth import find_caller
from watcher.api.problems import Problem
from watcher.api.routing import Deps

PATHS = (("POST", "/v1/users/{id}/erase"),)


def add_later_routes(app: web.Application, deps: Deps) -> None:
    """501 for callers; strangers learn no more than elsewhere."""

    async def refuse(request: web.Request) -> web.StreamResponse:
        await find_caller(request, deps.database, deps.limits)
        raise Problem(501, "not_available_yet", f"{request.method} {request.path} is not available in this version")

    for method, path in PATHS:
        app.router.add_route(method, path, refuse)
