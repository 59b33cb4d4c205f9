"""`/v1/endpoints`: where a backend wants its events."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from sqlalchemy.ext.asyncio import AsyncConnection

from config.catalogue import names_host
from config.errors import FieldError
from config.model import CONSOLE_ENDPOINT
from config.schema import EventPattern, HttpUrl
from watcher.api.events import show_delivery
from watcher.api.fields import Page, read_time
from watcher.api.idempotency import act_once
from watcher.api.problems import Problem, invalid, not_found
from watcher.api.routing import Answer, Call, Route
from watcher.event_types import EVENT_TYPES, TEST_EVENT, matches
from watcher.model import NewEvent
from watcher.render import JSON, render_time
from watcher.shapes import Strict
from watcher.store import endpoints as store
from watcher.store.endpoints import SigningSecret, StoredEndpoint, write_secrets
from watcher.store.events import record_event_for
from watcher.store.tables import endpoint

MOST_ENDPOINTS: Final = 16
MOST_PATTERNS: Final = 64
MOST_SECRETS: Final = 5
MOST_URL_CHARACTERS: Final = 2048
OLD_SECRET_VALID: Final = timedelta(hours=24)


def _check_url(url: str) -> str:
    if not (names_host(url) and url.isprintable() and " " not in url):
        raise PydanticCustomError("bad_url", "must be a URL with a host, and a port from 1 to 65535 if any")
    return url


def _check_pattern(pattern: str) -> str:
    if not any(matches(pattern, event_type) for event_type in EVENT_TYPES):
        raise PydanticCustomError("unknown_event", "matches no type of event that there is")
    return pattern


class EndpointBody(Strict):
    """A receiver as its backend describes it."""

    url: Annotated[HttpUrl, Field(max_length=MOST_URL_CHARACTERS), AfterValidator(_check_url)]
    events: Annotated[
        list[Annotated[EventPattern, AfterValidator(_check_pattern)]], Field(min_length=1, max_length=MOST_PATTERNS)
    ] = Field(default_factory=lambda: ["*"])
    include_links: bool = False
    enabled: bool = True


async def put_endpoint(call: Call) -> Answer:
    """Create, with its secret in the answer; or replace, which keeps the secret and calls back one that was gone."""
    values = _read_body(call)
    now = call.deps.clock.now()
    key = (call.tenant.id, call.path["id"])
    async with call.deps.database.begin() as conn:
        await store.hold_endpoints(conn, call.tenant.id)
        found = await store.find_endpoint(conn, *key)
        _refuse_declared(call, found)
        if found is None:
            if await store.count_endpoints(conn, call.tenant.id) >= MOST_ENDPOINTS:
                raise Problem(409, "too_many_endpoints", f"There may be {MOST_ENDPOINTS} endpoints: delete one first")
            secret = SigningSecret(call.deps.new_secret())
            new = {**values, "secrets": write_secrets([secret])}
            made = await store.insert_endpoint(conn, *key, new, now=now)
            return Answer({**render_endpoint(made), "secret": secret.value}, 201)
        same = {**values, "events": tuple(values["events"])} == {name: getattr(found, name) for name in values}
        if not same or found.gone_at is not None:
            found = await _update(conn, call, {**values, "gone_at": None}, now)
    return Answer(render_endpoint(found))


async def get_endpoint(call: Call) -> Answer:
    """One endpoint."""
    async with call.deps.database.begin() as conn:
        found = await store.find_endpoint(conn, call.tenant.id, call.path["id"])
    if found is None:
        raise not_found()
    return Answer(render_endpoint(found))


async def list_endpoints(call: Call) -> Answer:
    """A page in the order of ids, declared ones too."""
    page: Page = call.query
    updated_after = read_time(page.updated_after) if page.updated_after else None
    async with call.deps.database.begin() as conn:
        found = await store.list_endpoints(
            conn, call.tenant.id, limit=page.limit + 1, after=page.after, updated_after=updated_after
        )
    shown = found[: page.limit]
    more = shown[-1].id if len(found) > page.limit else None
    data = [render_endpoint(e) for e in shown]
    return Answer({"object": "list", "data": data, "next": more})


async def delete_endpoint(call: Call) -> Answer:
    """Send there no more. What is on its way is a dead letter."""
    now = call.deps.clock.now()
    async with call.deps.database.begin() as conn:
        await store.hold_endpoints(conn, call.tenant.id)
        found = await store.find_endpoint(conn, call.tenant.id, call.path["id"])
        _refuse_declared(call, found)
        if found is None:
            raise not_found()
        await store.remove_endpoints(conn, call.tenant.id, endpoint.c.id == found.id, now=now)
    return Answer(None, 204)


async def rotate_secret(call: Call) -> Answer:
    """A new secret, in this answer alone; deliveries are signed with the old one too for a day."""

    async def act(conn: AsyncConnection) -> Answer:
        now = call.deps.clock.now()
        await store.hold_endpoints(conn, call.tenant.id)
        found = await store.find_endpoint(conn, call.tenant.id, call.path["id"])
        _refuse_declared(call, found)
        if found is None:
            raise not_found()
        valid = found.find_secrets(now)
        if len(valid) >= MOST_SECRETS:
            ends = render_time(valid[-1].until)
            raise Problem(409, "too_many_secrets", f"{MOST_SECRETS} secrets are valid; the oldest ends at {ends}")
        new = SigningSecret(call.deps.new_secret())
        old = [SigningSecret(s.value, s.until or now + OLD_SECRET_VALID) for s in valid]
        found = await _update(conn, call, {"secrets": write_secrets([new, *old])}, now)
        return Answer({**render_endpoint(found), "secret": new.value})

    return await act_once(call, "rotate", act)


async def send_test(call: Call) -> Answer:
    """Send it, and no other, an event that says nothing else; by the path that every event takes."""

    async def act(conn: AsyncConnection) -> Answer:
        stamp = call.deps.stamp()
        found = await _update(conn, call, {}, stamp.now)
        if not found.enabled:
            raise Problem(409, "endpoint_disabled", "Nothing is sent there: PUT it with enabled true first")
        event = NewEvent(
            id=stamp.new_id("evt"),
            tenant=call.tenant.id,
            type=TEST_EVENT,
            subject_object="endpoint",
            subject_id=found.id,
            version=found.version,
            livemode=call.tenant.livemode,
            data={"endpoint": {**render_endpoint(found), "url": None}},
        )
        delivery_id = stamp.new_id("dlv")
        await record_event_for(conn, event, found.id, now=stamp.now, delivery_id=delivery_id)
        return Answer(await show_delivery(conn, call.tenant.id, delivery_id))

    return await act_once(call, "test", act)


def _read_body(call: Call) -> dict[str, Any]:
    """The row's columns. Raises `Problem`: 403 for links that the key may not read, 422 for a URL not to be sent to."""
    body: EndpointBody = call.body
    if body.include_links and not call.caller.may("links:read"):
        raise Problem(403, "missing_scope", "This key lacks the scope links:read, which include_links asks for")
    if not body.url.startswith("https://") and not call.deps.settings.allow_private_receivers:
        raise invalid([FieldError("/url", "not_encrypted", "must begin with https://")])
    return {**body.model_dump(), "events": list(dict.fromkeys(body.events))}


def _refuse_declared(call: Call, found: StoredEndpoint | None) -> None:
    declared = {CONSOLE_ENDPOINT, *(e.id for e in call.tenant.endpoints)}
    if call.path["id"] in declared or (found is not None and found.source == store.CONFIG):
        raise Problem(409, "declared_in_config", "This endpoint is declared in the configuration, and changes there")


async def _update(conn: AsyncConnection, call: Call, values: Mapping[str, Any], now: datetime) -> StoredEndpoint:
    changed = await store.update_endpoint(conn, call.tenant.id, call.path["id"], values, now=now)
    if changed is None:
        raise not_found()
    return changed


def render_endpoint(found: StoredEndpoint) -> JSON:
    """An endpoint as the API shows it: without secrets, and only to keys that may write it, since a URL may be one."""
    return {
        "object": "endpoint",
        "id": found.id,
        "source": found.source,
        "version": found.version,
        "url": found.url,
        "events": list(found.events),
        "include_links": found.include_links,
        "enabled": found.enabled,
        "gone_at": render_time(found.gone_at),
        "metadata": {},
        "created_at": render_time(found.created_at),
        "updated_at": render_time(found.updated_at),
    }


_ONE: Final = "/v1/endpoints/{id}"
ROUTES = (
    Route(
        "PUT",
        _ONE,
        "Register or replace an endpoint",
        "endpoints:write",
        put_endpoint,
        body=EndpointBody,
        statuses=(200, 201),
        answer="endpoint",
    ),
    Route("GET", _ONE, "Read an endpoint", "endpoints:write", get_endpoint, answer="endpoint"),
    Route(
        "GET", "/v1/endpoints", "List endpoints", "endpoints:write", list_endpoints, query=Page, answer="endpoint_list"
    ),
    Route("DELETE", _ONE, "Send to an endpoint no more", "endpoints:write", delete_endpoint, statuses=(204,)),
    Route(
        "POST", f"{_ONE}/rotate", "Give an endpoint a new secret", "endpoints:write", rotate_secret, answer="endpoint"
    ),
    Route("POST", f"{_ONE}/test", "Send an endpoint a test event", "endpoints:write", send_test, answer="delivery"),
)
