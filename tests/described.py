"""What is served and sent, held against the OpenAPI document: an answer or an event that differs is a failure."""

import re
from typing import Any, Final

import jsonschema_rs

from watcher.api.application import ROUTES
from watcher.api.openapi import make_openapi
from watcher.event_types import SENT_TYPES

DOCUMENT: Final = make_openapi(ROUTES, version="0")
_REGISTRY: Final = jsonschema_rs.Registry([("urn:openapi", DOCUMENT)])
_OPERATIONS: Final = [
    (method.upper(), re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path)), operation["responses"])
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
]


def validate(name: str, body: Any) -> None:
    """Fails with what differs from the schema of that name."""
    schema = {"$ref": f"urn:openapi#/components/schemas/{name}"}
    validator = jsonschema_rs.Draft202012Validator(schema, registry=_REGISTRY, validate_formats=True)
    faults = [f"{'/'.join(map(str, e.instance_path))}: {e.message}" for e in validator.iter_errors(body)]
    assert not faults, f"not as {name} is described: {faults[:5]}\n{body}"


def validate_event(event: Any) -> None:
    """Its type is a known one, and it is as that type is described."""
    assert event["type"] in SENT_TYPES
    validate(event["type"], event)


def validate_answer(method: str, path: str, status: int, media_type: str, body: Any) -> None:
    """As the operation of this path is described; a path of the API without one answers problems alone."""
    if not path.startswith("/v1/"):
        return
    found = (
        responses
        for its_method, pattern, responses in _OPERATIONS
        if its_method == method and pattern.fullmatch(path.partition("?")[0])
    )
    responses: dict[str, Any] = next(found, {})
    if str(status) not in responses:
        assert status >= 400, f"{method} {path} is not described, and answered {status}"
        assert media_type == "application/problem+json"
        validate("problem", body)
        return
    content = responses[str(status)].get("content")
    if content is None:
        assert body is None
        return
    validate(content[media_type]["schema"]["$ref"].rpartition("/")[2], body)
