"""`/v1/events` and `/v1/deliveries`: everything that was said, and to whom."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints
from sqlalchemy import select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from watcher.api.fields import Id, Page, Time, read_time
from watcher.api.idempotency import act_once
from watcher.api.problems import Problem, not_found
from watcher.api.routing import Answer, Call, Route
from watcher.jobs.defer import defer
from watcher.render import JSON, render_time
from watcher.shapes import Strict
from watcher.store.events import DELIVER_PRIORITY, DELIVER_TASK
from watcher.store.tables import delivery, event


class EventPage(Strict):
    """Where to go on reading."""

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    after: Annotated[str, StringConstraints(max_length=64)] | None = None
    updated_after: Time | None = None
    """An event never changes: this is about its `created_at`."""


class DeliveryPage(Page):
    """Filters of the list."""

    endpoint: Id | None = None
    top_up: Id | None = None
    status: Literal["pending", "delivered", "dead", "superseded"] | None = None


async def list_events(call: Call) -> Answer:
    """Oldest first; nothing ever appears behind a cursor, since positions are in commit order."""
    page: EventPage = call.query
    query = select(event).where(event.c.tenant == call.tenant.id)
    if page.updated_after is not None:
        query = query.where(event.c.created_at > read_time(page.updated_after))
    async with call.deps.database.begin() as conn:
        if page.after is not None:
            query = query.where(event.c.position > await _find_position(conn, call.tenant.id, page.after))
        rows = (await conn.execute(query.order_by(event.c.position).limit(page.limit + 1))).mappings().all()
    data = [render_event(row) for row in rows[: page.limit]]
    more = data[-1]["id"] if len(rows) > page.limit else None
    return Answer({"object": "list", "data": data, "next": more})


async def _find_position(conn: AsyncConnection, tenant: str, event_id: str) -> int:
    query = select(event.c.position).where(event.c.tenant == tenant, event.c.id == event_id)
    position = (await conn.execute(query)).scalar_one_or_none()
    if position is None:
        raise Problem(410, "cursor_expired", "There is no such event, or no more (90 days): start without after")
    return int(position)


def render_event(row: Any) -> JSON:
    """An event as it is listed. Its data holds no link."""
    return {
        "object": "event",
        "id": row["id"],
        "type": row["type"],
        "created_at": render_time(row["created_at"]),
        "livemode": row["livemode"],
        "subject": {"object": row["subject_object"], "id": row["subject_id"]},
        "version": row["version"],
        "data": row["data"],
    }


async def list_deliveries(call: Call) -> Answer:
    """Deliveries, oldest first; `status=dead` are the dead letters."""
    page: DeliveryPage = call.query
    query = _deliveries(call.tenant.id)
    if page.endpoint is not None:
        query = query.where(delivery.c.endpoint == page.endpoint)
    if page.top_up is not None:
        query = query.where(event.c.subject_object == "top_up", event.c.subject_id == page.top_up)
    if page.status is not None:
        query = query.where(delivery.c.status == page.status)
    if page.updated_after is not None:
        query = query.where(delivery.c.updated_at > read_time(page.updated_after))
    async with call.deps.database.begin() as conn:
        if page.after is not None:
            last = (await conn.execute(_deliveries(call.tenant.id).where(delivery.c.id == page.after))).mappings()
            row = last.one_or_none()
            if row is None:
                raise Problem(410, "cursor_expired", "There is no such delivery: start without after")
            query = query.where(tuple_(delivery.c.created_at, delivery.c.id) > (row["created_at"], row["id"]))
        ordered = query.order_by(delivery.c.created_at, delivery.c.id).limit(page.limit + 1)
        rows = (await conn.execute(ordered)).mappings().all()
    data = [render_delivery(row) for row in rows[: page.limit]]
    more = data[-1]["id"] if len(rows) > page.limit else None
    return Answer({"object": "list", "data": data, "next": more})


async def redeliver(call: Call) -> Answer:
    """Start a delivery that has ended over, with the same event and so the same `webhook-id`."""

    async def act(conn: AsyncConnection) -> Answer:
        now = call.deps.clock.now()
        this = (delivery.c.tenant == call.tenant.id, delivery.c.id == call.path["id"])
        fresh = {"status": "pending", "attempts": 0, "next_attempt_at": now, "updated_at": now}
        status = (await conn.execute(select(delivery.c.status).where(*this).with_for_update())).scalar_one_or_none()
        if status is None:
            raise not_found()
        if status == "pending":
            raise Problem(409, "pending", "It is being delivered already: its next attempt stands in next_attempt_at")
        await conn.execute(update(delivery).where(*this).values(**fresh))
        await defer(conn, DELIVER_TASK, priority=DELIVER_PRIORITY, delivery=call.path["id"])
        return Answer(await show_delivery(conn, call.tenant.id, call.path["id"]))

    return await act_once(call, "redeliver", act)


async def show_delivery(conn: AsyncConnection, tenant: str, delivery_id: str) -> JSON:
    """One that there is."""
    query = _deliveries(tenant).where(delivery.c.id == delivery_id)
    return render_delivery((await conn.execute(query)).mappings().one())


def _deliveries(tenant: str) -> Any:
    return (
        select(delivery, event.c.type, event.c.subject_object, event.c.subject_id)
        .join(event, event.c.id == delivery.c.event_id)
        .where(delivery.c.tenant == tenant)
    )


def render_delivery(row: Any) -> JSON:
    """A delivery as the API shows it."""
    return {
        "object": "delivery",
        "id": row["id"],
        "event": row["event_id"],
        "type": row["type"],
        "subject": {"object": row["subject_object"], "id": row["subject_id"]},
        "endpoint": row["endpoint"],
        "status": row["status"],
        "attempts": row["attempts"],
        "next_attempt_at": render_time(row["next_attempt_at"]),
        "last_status_code": row["last_status_code"],
        "last_detail": row["last_detail"],
        "created_at": render_time(row["created_at"]),
        "updated_at": render_time(row["updated_at"]),
    }


ROUTES = (
    Route("GET", "/v1/events", "Read events", "wallets:read", list_events, query=EventPage, answer="event_list"),
    Route(
        "GET",
        "/v1/deliveries",
        "List deliveries",
        "wallets:read",
        list_deliveries,
        query=DeliveryPage,
        answer="delivery_list",
    ),
    Route("POST", "/v1/deliveries/{id}/redeliver", "Deliver again", "endpoints:write", redeliver, answer="delivery"),
)
