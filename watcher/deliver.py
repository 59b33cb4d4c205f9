"""Handing over events: one attempt a job, its outcome recorded with the job of the next attempt."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from sqlalchemy import RowMapping, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.channel import Channel
from notifier.model import Attempt, Endpoint, OutgoingEvent, Verdict
from notifier.retries import find_delay
from watcher.clock import Clock
from watcher.jobs.defer import defer
from watcher.model import TopUpStatus
from watcher.store.database import Database
from watcher.store.endpoints import API, ENDPOINT_REMOVED, find_endpoint, leave_alone
from watcher.store.events import DELIVER_PRIORITY, DELIVER_TASK
from watcher.store.tables import delivery, event
from watcher.store.top_ups import find_sessions, find_top_up

log = structlog.get_logger()

MOST_AT_ONCE: Final = 4
"""Attempts at one endpoint side by side: one that never answers takes no more of the workers' places than these."""
POSTPONED: Final = timedelta(seconds=15)


class Deliverer:
    """Sends events to endpoints. `send` is a job and may run more than once: receivers know an event by its id."""

    def __init__(
        self,
        database: Database,
        channels: Mapping[str, Channel],
        endpoints: Mapping[tuple[str, str], Endpoint],
        *,
        clock: Clock,
        jitter: Callable[[int], int],
    ) -> None:
        """`channels` by URL scheme; declared `endpoints` by (tenant, id); `jitter(n)` gives an int in 0..n."""
        self._database = database
        self._channels = channels
        self._endpoints = endpoints
        self._clock = clock
        self._jitter = jitter
        self._under_way: Counter[tuple[str, str]] = Counter()

    async def send(self, delivery: str) -> None:
        """Make the next attempt of a delivery, unless it has come to its end."""
        found = await self._load(delivery)
        if found is None:
            return
        row, outgoing, target = found
        key = (row["tenant"], row["endpoint"])
        if self._under_way[key] >= MOST_AT_ONCE:
            await self._postpone(delivery)
            return
        self._under_way[key] += 1
        try:
            outcome = await self._attempt(outgoing, target)
        finally:
            self._under_way[key] -= 1
        await self._record(row, target, outcome)

    async def _attempt(self, outgoing: OutgoingEvent, target: Endpoint) -> Attempt:
        scheme = target.url.partition(":")[0]
        channel = self._channels.get(scheme)
        if channel is None:
            return Attempt(Verdict.REFUSED, detail=f"no channel speaks {scheme}")
        return await channel.send(outgoing, target)

    async def _postpone(self, delivery: str) -> None:
        """Come back later, without holding a worker's place meanwhile; it counts as no attempt."""
        async with self._database.begin() as conn:
            at = self._clock.now() + POSTPONED
            await defer(conn, DELIVER_TASK, at=at, delivery=delivery)

    async def _load(self, delivery_id: str) -> tuple[RowMapping, OutgoingEvent, Endpoint] | None:
        async with self._database.begin() as conn:
            query = (
                select(delivery, event.c.type, event.c.subject_object, event.c.subject_id, event.c.version)
                .add_columns(event.c.livemode, event.c.data, event.c.created_at.label("event_at"))
                .join(event, event.c.id == delivery.c.event_id)
                .where(delivery.c.id == delivery_id)
            )
            row = (await conn.execute(query)).mappings().one_or_none()
            if row is None or row["status"] != "pending":
                return None
            target = await self._find_target(conn, row["tenant"], row["endpoint"])
            if target is None or not target.enabled:
                outcome = Attempt(Verdict.REFUSED, detail=ENDPOINT_REMOVED if target is None else "endpoint disabled")
                await _write(conn, row, "dead", outcome, next_at=None, now=self._clock.now())
                return None
            data = await _add_link(conn, row) if target.include_links else row["data"]
        outgoing = OutgoingEvent(
            id=row["event_id"],
            type=row["type"],
            created_at=row["event_at"],
            livemode=row["livemode"],
            subject={"object": row["subject_object"], "id": row["subject_id"]},
            version=row["version"],
            data=data,
        )
        return row, outgoing, target

    async def _find_target(self, conn: AsyncConnection, tenant: str, endpoint_id: str) -> Endpoint | None:
        """Where to send now: one made over the API as its row says, with the secrets that are still valid."""
        stored = await find_endpoint(conn, tenant, endpoint_id)
        if stored is None:
            return None
        if stored.source == API:
            return stored.make_target(self._clock.now())
        declared = self._endpoints.get((tenant, endpoint_id))
        return None if declared is None else replace(declared, enabled=stored.enabled)

    async def _record(self, row: RowMapping, target: Endpoint, outcome: Attempt) -> None:
        now = self._clock.now()
        attempts = row["attempts"] + 1
        delay = None
        if outcome.verdict is Verdict.RETRY:
            delay = find_delay(attempts, jitter=self._jitter, retry_after_seconds=outcome.retry_after_seconds)
        next_at = None if delay is None else now + timedelta(seconds=delay)
        status = _find_status(outcome, next_at)
        async with self._database.begin() as conn:
            if outcome.verdict is Verdict.GONE:
                await leave_alone(conn, row["tenant"], target, now=now)
            written = await _write(conn, row, status, outcome, next_at=next_at, now=now)
            if written and next_at is not None:
                await defer(conn, DELIVER_TASK, at=next_at, priority=DELIVER_PRIORITY, delivery=row["id"])
        log.info(
            "delivery.attempted",
            outcome=status,
            delivery=row["id"],
            event_id=row["event_id"],
            endpoint=row["endpoint"],
            attempt=attempts,
            status_code=outcome.status_code,
            detail=outcome.detail,
        )


def _find_status(outcome: Attempt, next_at: datetime | None) -> str:
    if outcome.verdict is Verdict.DELIVERED:
        return "delivered"
    return "dead" if next_at is None else "pending"


async def _write(
    conn: AsyncConnection, row: RowMapping, status: str, outcome: Attempt, *, next_at: datetime | None, now: datetime
) -> bool:
    """Whether the delivery stood as it was loaded: of two jobs that made the same attempt, one has the next."""
    same = (delivery.c.id == row["id"], delivery.c.status == "pending", delivery.c.attempts == row["attempts"])
    done = await conn.execute(
        update(delivery)
        .where(*same)
        .values(
            status=status,
            attempts=row["attempts"] + 1,
            next_attempt_at=next_at,
            last_status_code=outcome.status_code,
            last_detail=outcome.detail,
            updated_at=now,
        )
    )
    return done.rowcount == 1


async def _add_link(conn: AsyncConnection, row: RowMapping) -> dict[str, Any]:
    """The event's data with the link as it is now, if its top-up still has one to offer."""
    data = dict(row["data"])
    if row["subject_object"] != "top_up":
        return data
    top_up = await find_top_up(conn, row["subject_id"])
    sessions = await find_sessions(conn, row["subject_id"])
    if top_up is not None and top_up.status is TopUpStatus.OPEN and sessions:
        data["top_up"] = {**data["top_up"], "link": sessions[-1].link}
    return data
