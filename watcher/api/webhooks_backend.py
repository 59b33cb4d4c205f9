"""`POST /webhooks/backend/{source}`: verified, on disk, answered; applied afterwards."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final

from aiohttp import web
from pydantic import ConfigDict, StringConstraints

from config.errors import FieldError, escape
from config.model import Source, Tenant
from notifier.errors import BadSignature
from notifier.signatures import verify
from watcher.api.problems import Problem, invalid, not_found
from watcher.api.routing import Answer, Deps, make_response, validate
from watcher.api.strict_json import JsonNumber, parse_json, read_body
from watcher.inbound.apply import INBOUND_TASK, describe, make_refusal
from watcher.inbound.intake import Intake, Kept
from watcher.inbound.kinds import KINDS
from watcher.shapes import Strict
from watcher.store.events import record_events
from watcher.store.inbox import Arrival, find_inbound

_ID: Final = re.compile(r"[!-~]+")
REUSED: Final = FieldError("webhook-id", "id_reused", "came with another body before; nothing of this one was taken")


class Unknown(Strict):
    """All that is asked of a webhook of a type that nobody here knows."""

    model_config = ConfigDict(extra="ignore")

    type: Annotated[str, StringConstraints(min_length=1, max_length=128)]


class Envelope(Unknown):
    """A webhook of a known type. Of what senders like to put beside, nothing is read."""

    model_config = ConfigDict(extra="forbid")

    data: dict[str, Any]
    id: Any = None
    created_at: Any = None
    timestamp: Any = None


@dataclass(frozen=True, slots=True)
class Sent:
    """A webhook that was verified and understood."""

    tenant: Tenant
    source: Source
    id: str
    digest: bytes
    type: str
    data: Mapping[str, Any] | None
    """None for a type that is not known."""


def add_backend_routes(app: web.Application, deps: Deps, intake: Intake) -> None:
    """One path a source, and the bare one for a sole source of a sole tenant."""

    async def serve(request: web.Request) -> web.StreamResponse:
        found = deps.settings.find_source(request.match_info.get("source"))
        if found is None:
            raise not_found()
        sent = await _read(request, deps, *found)
        duplicate = await _accept(deps, intake, sent)
        return make_response(Answer({"id": sent.id, "duplicate": duplicate}, 202))

    app.router.add_post("/webhooks/backend", serve)
    app.router.add_post("/webhooks/backend/{source}", serve)


async def _read(request: web.Request, deps: Deps, tenant: Tenant, source: Source) -> Sent:
    if request.content_type != "application/json":
        raise Problem(415, "unsupported_media_type", "Send application/json")
    body = await read_body(request)
    try:
        sent_id = verify(request.headers, body, source.secrets, now=deps.clock.now())
    except BadSignature as error:
        raise Problem(401, error.code, str(error)) from None
    if not _ID.fullmatch(sent_id):
        raise invalid([FieldError("webhook-id", "bad_id", "must be printable ASCII without spaces")])
    told, data = _understand(parse_json(body))
    return Sent(tenant, source, sent_id, hashlib.sha256(body).digest(), told, data)


def _understand(raw: Any) -> tuple[str, Mapping[str, Any] | None]:
    """The type, and the data of a known one. Raises `Problem` 422 for a wrong shape."""
    told: str = validate(Unknown, raw).type
    kind = KINDS.get(told)
    if kind is None:
        return told, None
    data: dict[str, Any] = validate(Envelope, raw).data
    try:
        validate(kind.body, data)
    except Problem as problem:
        raise invalid([FieldError("/data" + e.field, e.code, e.message) for e in problem.errors]) from None
    if fractions := list(_find_fractions(data, "/data")):
        message = "must be a string; numbers with fractions are not taken"
        raise invalid([FieldError(pointer, "not_a_string", message) for pointer in fractions])
    return told, data


def _find_fractions(value: Any, pointer: str) -> Iterator[str]:
    """Where numbers stand that no field takes and no row could hold as they were written."""
    if isinstance(value, JsonNumber):
        yield pointer
    elif isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        for key, held in inner:
            yield from _find_fractions(held, f"{pointer}/{escape(str(key))}")


async def _accept(deps: Deps, intake: Intake, sent: Sent) -> bool:
    """Store it with the job that applies it; whether it was there already. Raises `Problem` 409 for another's id."""
    kept = await intake.keep(_make_arrival(sent, deps.clock.now()))
    if kept is Kept.NEW and sent.data is None:
        deps.metrics.inbound_ignored.labels(sent.source.name).inc()
    elif kept is Kept.OTHER and not await _is_the_same(deps, sent):
        raise Problem(409, "id_reused", "This webhook-id came with another body before", errors=[REUSED])
    return kept is not Kept.NEW


def _make_arrival(sent: Sent, now: datetime) -> Arrival:
    tenant, source = sent.tenant.id, sent.source.name
    if sent.data is None:
        return Arrival(tenant, source, sent.id, sent.digest, {"type": sent.type}, now, outcome="ignored")
    payload = {"type": sent.type, "data": sent.data}
    named = describe(payload)
    return Arrival(
        tenant,
        source,
        sent.id,
        sent.digest,
        payload,
        now,
        about=f"{named['object']}:{named['id']}",
        task=INBOUND_TASK,
        args={"tenant": tenant, "source": source, "inbound_id": sent.id},
        together=not KINDS[sent.type].asks,
    )


async def _is_the_same(deps: Deps, sent: Sent) -> bool:
    """Whether what was stored under this id is this; if not, that is told as an event, too, once."""
    stamp = deps.stamp()
    async with deps.database.begin() as conn:
        row = await find_inbound(conn, sent.tenant.id, sent.source.name, sent.id, lock=True)
        if row is None or row["digest"] == sent.digest:
            return True
        names = {"id": sent.id, "source": sent.source.name, "type": sent.type}
        event = await make_refusal(conn, sent.tenant, names, [REUSED], stamp)
        await record_events(conn, [] if event is None else [event], now=stamp.now, new_id=stamp.new_id)
    return False
