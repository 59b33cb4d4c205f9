"""Events: recorded with what they tell of, numbered in commit order, one delivery for each endpoint that wants them."""

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from watcher.event_types import matches
from watcher.jobs.defer import defer
from watcher.model import NewEvent
from watcher.store.database import POSITION
from watcher.store.tables import delivery, endpoint, event, event_position

DELIVER_TASK = "deliver"
DELIVER_PRIORITY = 1
"""A spike of new asks, which Stripe's rate limit holds up, must not hold up what is to be told."""


async def record_events(
    conn: AsyncConnection, events: Sequence[NewEvent], *, now: datetime, new_id: Callable[[str], str]
) -> None:
    """Number and store events, and queue their deliveries. Call it last in a transaction.

    The one row of `event_position` stays locked until the commit, so positions follow the order of commits and
    none is missing: whoever reads behind a position has read everything before it.
    """
    if events:
        await _insert_events(conn, events, now)
        await _queue_deliveries(conn, events, now=now, new_id=new_id)


async def record_event_for(
    conn: AsyncConnection, e: NewEvent, endpoint_id: str, *, now: datetime, delivery_id: str
) -> None:
    """The same for an event that one endpoint gets, and no other. Call it last in a transaction."""
    await _insert_events(conn, [e], now)
    await queue_delivery(conn, e, endpoint_id, now=now, delivery_id=delivery_id)


async def _insert_events(conn: AsyncConnection, events: Sequence[NewEvent], now: datetime) -> None:
    last = await _take_positions(conn, len(events))
    rows = [
        {
            "position": last - len(events) + i,
            "id": e.id,
            "tenant": e.tenant,
            "type": e.type,
            "subject_object": e.subject_object,
            "subject_id": e.subject_id,
            "version": e.version,
            "livemode": e.livemode,
            "data": e.data,
            "created_at": now,
        }
        for i, e in enumerate(events, start=1)
    ]
    await conn.execute(insert(event), rows)


async def _take_positions(conn: AsyncConnection, count: int) -> int:
    taken = update(event_position).values(last=event_position.c.last + count).returning(event_position.c.last)
    last = int((await conn.execute(taken)).scalar_one())
    conn.info[POSITION] = last
    return last


async def _queue_deliveries(
    conn: AsyncConnection, events: Sequence[NewEvent], *, now: datetime, new_id: Callable[[str], str]
) -> None:
    tenants = {e.tenant for e in events}
    wanted = select(endpoint.c.tenant, endpoint.c.id, endpoint.c.events).where(
        endpoint.c.tenant.in_(tenants), endpoint.c.enabled
    )
    endpoints = (await conn.execute(wanted)).mappings().all()
    for e in events:
        for target in endpoints:
            if target["tenant"] == e.tenant and any(matches(pattern, e.type) for pattern in target["events"]):
                await queue_delivery(conn, e, target["id"], now=now, delivery_id=new_id("dlv"))


async def queue_delivery(
    conn: AsyncConnection, e: NewEvent, endpoint_id: str, *, now: datetime, delivery_id: str
) -> None:
    """One event for one endpoint: a row that says how it went, and the job that tries."""
    await conn.execute(
        insert(delivery).values(
            id=delivery_id,
            tenant=e.tenant,
            event_id=e.id,
            endpoint=endpoint_id,
            status="pending",
            next_attempt_at=now,
            created_at=now,
            updated_at=now,
        )
    )
    await defer(conn, DELIVER_TASK, priority=DELIVER_PRIORITY, delivery=delivery_id)
