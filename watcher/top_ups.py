"""The moves of a top-up's life, each with its timeline step and its event, inside the caller's transaction."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from watcher.asks.settle import settle_asks
from watcher.clock import Stamp
from watcher.model import HoldingStatus, NewEvent, Outcome, TopUp, TopUpStatus
from watcher.render import render_time, render_top_up
from watcher.store.tables import requirement
from watcher.store.top_ups import find_sessions, find_subjects, settle_needs, update_top_up

NeedState = {
    TopUpStatus.LANDED: "covered",
    TopUpStatus.RETRACTED: "covered",
    TopUpStatus.EXPIRED: "expired",
    TopUpStatus.CANCELLED: "cancelled",
    TopUpStatus.REJECTED: "cancelled",
    TopUpStatus.FAILED: "cancelled",
}

_NEXT: Mapping[TopUpStatus, frozenset[TopUpStatus]] = {
    TopUpStatus.OPEN: frozenset(TopUpStatus) - {TopUpStatus.OPEN},
    TopUpStatus.SETTLING: frozenset({TopUpStatus.LANDED, TopUpStatus.FAILED}),
    TopUpStatus.RETRACTED: frozenset({TopUpStatus.SETTLING}),
    TopUpStatus.CANCELLED: frozenset({TopUpStatus.SETTLING}),
    TopUpStatus.EXPIRED: frozenset({TopUpStatus.SETTLING}),
    TopUpStatus.SUPERSEDED: frozenset({TopUpStatus.SETTLING}),
    TopUpStatus.FAILED: frozenset({TopUpStatus.LANDED}),
    TopUpStatus.REJECTED: frozenset(),
    TopUpStatus.LANDED: frozenset(),
}
"""Where each status may lead. A link stays payable at Stripe whatever we say, so a payment revives what had ended."""


def may_become(before: TopUpStatus, after: TopUpStatus) -> bool:
    """Whether the life of a top-up has that arrow."""
    return after in _NEXT[before]


async def move_top_up(
    conn: AsyncConnection,
    top_up: TopUp,
    status: TopUpStatus,
    stamp: Stamp,
    *,
    proof: Mapping[str, Any] | None = None,
    values: Mapping[str, Any] | None = None,
) -> tuple[TopUp, NewEvent]:
    """Give a top-up its next status, end the needs behind it, start the cooldown, and say so.

    Raises ValueError for an arrow that the life of a top-up does not have: a caller's mistake.
    """
    if not may_become(top_up.status, status):
        raise ValueError(f"a {top_up.status} top-up never becomes {status}")
    late = top_up.late or (status is TopUpStatus.SETTLING and top_up.status is not TopUpStatus.OPEN)
    late = late or top_up.status is TopUpStatus.FAILED
    moved, event = await note_step(
        conn, top_up, status.value, stamp, proof=proof, values={"status": status.value, "late": late, **(values or {})}
    )
    if status in NeedState:
        await settle_needs(conn, top_up.id, NeedState[status], now=stamp.now)
    await settle_asks(conn, moved, stamp)
    if starts_cooldown(status, moved.outcome):
        await _start_cooldown(conn, moved, stamp.now)
    return moved, event


def starts_cooldown(status: TopUpStatus, outcome: str | None) -> bool:
    """Whether an end leaves the need where it was. One that was met leads to no silence: the next fall is a new one."""
    met = (TopUpStatus.LANDED, TopUpStatus.RETRACTED, TopUpStatus.SUPERSEDED)
    return not status.active and (status not in met or outcome == Outcome.PARTIAL)


async def note_step(
    conn: AsyncConnection,
    top_up: TopUp,
    step: str,
    stamp: Stamp,
    *,
    event: str | None = None,
    proof: Mapping[str, Any] | None = None,
    values: Mapping[str, Any] | None = None,
) -> tuple[TopUp, NewEvent]:
    """Write columns, grow the version, append to the timeline, and make the event `top_up.<event or step>`."""
    event_id = stamp.new_id("evt")
    entry = {"step": step, "at": render_time(stamp.now), "proof": proof or {"event": event_id}}
    written = {
        **(values or {}),
        "version": top_up.version + 1,
        "timeline": [*top_up.timeline, entry],
        "updated_at": stamp.now,
    }
    changed = await update_top_up(conn, top_up.id, written)
    return changed, await make_event(conn, changed, event or step, event_id)


async def make_event(conn: AsyncConnection, top_up: TopUp, name: str, event_id: str) -> NewEvent:
    """The event that tells of a top-up as it is now. It holds no link: deliveries that may carry one add it."""
    sessions = await find_sessions(conn, top_up.id)
    latest = sessions[-1] if sessions else None
    subjects = await find_subjects(conn, top_up.id)
    return NewEvent(
        id=event_id,
        tenant=top_up.tenant,
        type=f"top_up.{name}",
        subject_object="top_up",
        subject_id=top_up.id,
        version=top_up.version,
        livemode=top_up.livemode,
        data={"top_up": render_top_up(top_up, latest, subjects=subjects)},
    )


async def _start_cooldown(conn: AsyncConnection, top_up: TopUp, now: datetime) -> None:
    """From now on the cooldown counts for what the ask was for; a recovery forgets it."""
    keys = [(d.holding.network, d.holding.asset) for d in top_up.destinations]
    reached = tuple_(requirement.c.network, requirement.c.asset).in_(keys)
    low = requirement.c.status.in_([HoldingStatus.LOW.value, HoldingStatus.CRITICAL.value])
    query = update(requirement).where(
        requirement.c.tenant == top_up.tenant, requirement.c.wallet == top_up.wallet, reached, low
    )
    await conn.execute(query.values(ended_at=now))
