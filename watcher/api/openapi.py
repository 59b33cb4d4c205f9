"""OpenAPI 3.1 of the routes and of the events sent: generated, so that it can't disagree with what is served."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from watcher.api.routing import Route
from watcher.api.schemas.events import list_webhooks
from watcher.api.schemas.table import SCHEMAS
from watcher.api.schemas.words import ref
from watcher.shapes import ID_PATTERN, Strict


def make_openapi(routes: Sequence[Route], *, version: str) -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, dict[str, Any]] = {}
    schemas: dict[str, Any] = dict(SCHEMAS)
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _describe(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "topup-watcher", "version": version},
        "security": [{"key": []}],
        "paths": paths,
        "webhooks": list_webhooks(),
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas,
        },
    }


def _describe(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "summary": route.summary,
        "description": f"Scope: `{route.scope}`.",
        "parameters": [*_path_parameters(route.path), *_query_parameters(route.query)],
        "responses": {
            **{str(s): _answer(s, route.answer) for s in route.statuses},
            "default": {
                "description": "A problem (RFC 9457).",
                "content": {"application/problem+json": {"schema": ref("problem")}},
            },
        },
    }
    if route.body is not None:
        schema = route.body.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas[route.body.__name__] = schema
        content = {media: {"schema": ref(route.body.__name__)} for media in route.media_types}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _answer(status: int, answer: str | None) -> dict[str, Any]:
    if status == HTTPStatus.NO_CONTENT:
        return {"description": "Done."}
    schema = {"type": "object"} if answer is None else ref(answer)
    return {"description": "The object.", "content": {"application/json": {"schema": schema}}}


def _path_parameters(path: str) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    schema = {"type": "string", "pattern": ID_PATTERN}
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name in names]


def _query_parameters(query: type[Strict] | None) -> list[dict[str, Any]]:
    if query is None:
        return []
    properties = query.model_json_schema()["properties"]
    return [{"name": name, "in": "query", "required": False, "schema": schema} for name, schema in properties.items()]
