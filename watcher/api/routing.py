"""From a request to a call that a handler can trust."""

import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web
from pydantic import ValidationError

from config.errors import FieldError, escape
from config.model import Settings, Tenant
from watcher.api.auth import Caller, find_caller
from watcher.api.limits import Limits
from watcher.api.problems import Problem, invalid
from watcher.api.strict_json import JsonNumber, read_json
from watcher.api.waiting import Waiting
from watcher.asks.beforehand import Sources
from watcher.clock import Clock, Stamp
from watcher.metrics import Metrics
from watcher.shapes import ID_PATTERN, Strict
from watcher.store.database import Database

MOST_KEY_CHARACTERS: Final = 255
MOST_WAIT: Final = 30
"""Seconds that an answer can be made to wait."""


@dataclass(frozen=True, slots=True)
class Deps:
    """What handlers work with."""

    database: Database
    settings: Settings
    clock: Clock
    new_id: Callable[[str], str]
    metrics: Metrics
    degraded: Callable[[], Sequence[str]]
    limits: Limits
    new_secret: Callable[[], str]
    """A signing secret, `whsec_…`."""
    sources: Sources
    """Where asks are looked up."""
    patience_seconds: float = 2.0
    """How long an answer waits for what is being decided."""
    waiting: Waiting = field(default_factory=Waiting)

    def stamp(self) -> Stamp:
        """For one transaction."""
        return Stamp(self.clock.now(), self.new_id)


@dataclass(frozen=True, slots=True)
class Call:
    """A request that was understood."""

    deps: Deps
    tenant: Tenant
    caller: Caller
    path: Mapping[str, str]
    query: Any
    body: Any
    """The model named by the route."""
    raw: Any
    """The body as it came."""
    idempotency_key: str | None = None
    wait_seconds: int | None = None
    """How long the caller would wait for links (`Prefer: wait=5`)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler gives."""

    content: Mapping[str, Any] | None
    status: int = 200


Handle = Callable[[Call], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Route:
    """One operation of the API."""

    method: str
    path: str
    summary: str
    scope: str
    handle: Handle
    body: type[Strict] | None = None
    query: type[Strict] | None = None
    media_types: tuple[str, ...] = ("application/json",)
    statuses: tuple[int, ...] = (200,)
    answer: str | None = None
    """The schema of what is answered, by its name in `watcher.api.schemas.table`; None where nothing is."""


def add_route(app: web.Application, deps: Deps, route: Route) -> None:
    """Serve a route: caller, scope, path, query and body are judged in this order."""

    async def serve(request: web.Request) -> web.StreamResponse:
        tenant, caller = await authorize(request, deps, route.scope)
        _check_ids(request)
        query = read_query(route.query, request)
        raw = await read_json(request, media_types=route.media_types) if route.body else None
        body = validate(route.body, raw) if route.body else None
        key = _read_idempotency_key(request)
        wait = _read_wait(request)
        call = Call(deps, tenant, caller, dict(request.match_info), query, body, raw, key, wait)
        return make_response(await route.handle(call))

    app.router.add_route(route.method, route.path, serve)


async def authorize(request: web.Request, deps: Deps, scope: str) -> tuple[Tenant, Caller]:
    """Who is calling, for whom. Raises `Problem` 401, 403."""
    caller = await find_caller(request, deps.database, deps.limits)
    tenant = deps.settings.tenants.get(caller.tenant)
    if tenant is None:
        raise Problem(403, "tenant_not_configured", "The tenant of this key is not in the configuration")
    if not caller.may(scope):
        raise Problem(403, "missing_scope", f"This key lacks the scope {scope}")
    return tenant, caller


def _read_idempotency_key(request: web.Request) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not (0 < len(key) <= MOST_KEY_CHARACTERS and key.isascii() and key.isprintable()):
        raise invalid([FieldError("Idempotency-Key", "bad_key", "must be 1 to 255 printable ASCII characters")])
    return key


def _read_wait(request: web.Request) -> int | None:
    """`wait` of the Prefer header (RFC 7240), at most `MOST_WAIT`; what can't be read is no preference."""
    for preference in request.headers.get("Prefer", "").split(","):
        name, _, value = preference.strip().partition("=")
        if name.lower() == "wait" and value.isascii() and value.isdigit() and len(value) < MOST_KEY_CHARACTERS:
            return min(int(value[:9]), MOST_WAIT)
    return None


def _check_ids(request: web.Request) -> None:
    for name, value in request.match_info.items():
        if not re.fullmatch(ID_PATTERN, value):
            raise invalid([FieldError(f"{{{name}}}", "bad_id", "must be 1 to 64 of A-Z a-z 0-9 . _ : -")])


def make_response(answer: Answer) -> web.Response:
    """JSON, or nothing."""
    if answer.content is None:
        return web.Response(status=answer.status)
    body = json.dumps(answer.content, ensure_ascii=False).encode()
    return web.Response(body=body, status=answer.status, content_type="application/json")


def validate(model: type[Strict], raw: Any) -> Any:
    """The model. Raises `Problem` 422 with every fault at its JSON pointer."""
    if not isinstance(raw, dict):
        raise invalid([FieldError("", "not_an_object", "must be a JSON object")])
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise invalid([_translate(fault) for fault in error.errors()]) from None


def read_query(model: type[Strict] | None, request: web.Request) -> Any:
    """The query's model; None takes no query. Raises `Problem` 422."""
    known = model.model_fields if model else {}
    for name in request.query:
        if name not in known:
            raise invalid([FieldError(f"?{name}", "unknown_field", "is not a known query parameter")])
        if len(request.query.getall(name)) > 1:
            raise invalid([FieldError(f"?{name}", "repeated", "stands more than once")])
        if not request.query[name].isprintable():
            raise invalid([FieldError(f"?{name}", "not_printable", "holds a control character")])
    if model is None:
        return None
    try:
        return model.model_validate_strings(dict(request.query))
    except ValidationError as error:
        faults = [_translate(fault) for fault in error.errors()]
        raise invalid([FieldError("?" + f.field.lstrip("/"), f.code, f.message) for f in faults]) from None


_CODES: Final = {
    "extra_forbidden": ("unknown_field", "is not a known field"),
    "missing": ("required", "is missing"),
    "string_type": ("not_a_string", "must be a string"),
    "bool_type": ("not_a_boolean", "must be true or false"),
    "dict_type": ("not_an_object", "must be an object"),
    "model_type": ("not_an_object", "must be an object"),
    "list_type": ("not_a_list", "must be a list"),
}


def _translate(fault: Any) -> FieldError:
    pointer = "".join("/" + escape(str(part)) for part in fault["loc"])
    said = fault["msg"].removeprefix("Value error, ")
    code, message = _CODES.get(fault["type"], (fault["type"], said[0].lower() + said[1:]))
    if isinstance(fault.get("input"), JsonNumber):
        code, message = "not_a_string", "must be a string; numbers with fractions are not taken"
    return FieldError(pointer, code, message)
