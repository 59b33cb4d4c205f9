"""Following a session: ask Stripe how it stands, and move its top-up accordingly. Its word never lands anything."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.errors import OnrampError
from notifier.model import OnrampSession, SessionStatus
from watcher.asks.follow import tell_asks_of
from watcher.clock import Clock, Stamp
from watcher.model import NewEvent, Outcome, Session, SessionState, TopUp, TopUpStatus
from watcher.session_request import Onramps
from watcher.store.database import Database
from watcher.store.events import record_events
from watcher.store.top_ups import (
    find_session_by_stripe_id,
    find_sessions,
    find_top_up,
    lock_top_up,
    update_session,
)
from watcher.store.wallets import tell_nudge
from watcher.top_ups import may_become, move_top_up

log = structlog.get_logger()

LONGEST_WAIT: Final = timedelta(minutes=5)
"""Between looks while money is asked for: a lost webhook costs at most this."""
LONGEST_WAIT_AFTERWARDS: Final = timedelta(hours=6)
"""Between looks after the ask has ended: its link stays payable."""
FOLLOWED_FOR: Final = timedelta(days=30)
"""A session that was never paid is let go after this long."""

_RANK: Mapping[SessionStatus, int] = {
    SessionStatus.INITIALIZED: 0,
    SessionStatus.REQUIRES_PAYMENT: 1,
    SessionStatus.FULFILLMENT_PROCESSING: 2,
    SessionStatus.FULFILLMENT_COMPLETE: 3,
    SessionStatus.REJECTED: 3,
}


def find_newer_status(known: SessionStatus, told: SessionStatus) -> SessionStatus:
    """Statuses only go forward, whatever order they are heard in; an end is final; an unknown one changes nothing.

    Stripe refuses a person before payment: a refusal heard after it would take paid money back, and is not believed.
    """
    if told is SessionStatus.UNKNOWN or known.terminal or (known.paid and not told.paid):
        return known
    return told if _RANK[told] > _RANK.get(known, -1) else known


class Follower:
    """Looks at sessions. Each method is a job, and may run any number of times."""

    def __init__(self, database: Database, onramps: Onramps, *, clock: Clock, new_id: Callable[[str], str]) -> None:
        """`onramps` are open for as long as this lives."""
        self._database = database
        self._onramps = onramps
        self._clock = clock
        self._new_id = new_id

    async def look_at_session(self, top_up: str) -> None:
        """Ask after every attempt of a top-up that has not come to its end."""
        async with self._database.begin() as conn:
            found = await find_top_up(conn, top_up)
            sessions = await find_sessions(conn, top_up) if found else []
        if found is None or found.tenant not in self._onramps.by_tenant:
            return
        living = [s for s in sessions if s.state is SessionState.CREATED and s.stripe_id is not None]
        onramp = self._onramps.by_tenant[found.tenant]
        for attempt in living:
            if _status(attempt).terminal or attempt.stripe_id is None:
                continue
            try:
                told = await onramp.retrieve_session(attempt.stripe_id)
            except OnrampError as error:
                log.warning("session.unread", top_up=top_up, kind=type(error).__name__, code=error.code)
                return
            await self._apply(attempt, told)
        if all(s.state is SessionState.NONE for s in sessions):
            await self._retract_unasked(top_up)

    async def handle_stripe_event(self, tenant: str, session: str) -> None:
        """A webhook named a session: look at it. One that isn't recorded yet is found by the next look."""
        async with self._database.begin() as conn:
            attempt = await find_session_by_stripe_id(conn, tenant, session)
        if attempt is not None:
            await self.look_at_session(attempt.top_up)

    async def _apply(self, attempt: Session, told: OnrampSession) -> None:
        stamp = Stamp(self._clock.now(), self._new_id)
        async with self._database.begin() as conn:
            top_up = await lock_top_up(conn, attempt.top_up)
            if top_up is None:
                return
            attempt = next(s for s in await find_sessions(conn, top_up.id) if s.attempt == attempt.attempt)
            status = find_newer_status(_status(attempt), told.status)
            values: dict[str, Any] = {
                "status": status.value,
                "transaction": told.transaction or attempt.transaction,
                "looks": attempt.looks + 1,
                "next_look_at": self._next_look(attempt, status, top_up, stamp.now),
                "updated_at": stamp.now,
            }
            await update_session(conn, top_up.id, attempt.attempt, values)
            events = await self._move(conn, top_up, status, stamp)
            if events:
                events += await tell_asks_of(conn, [top_up.id], self._onramps.settings.networks, stamp)
            if status.paid:
                await nudge(conn, top_up)
            await record_events(conn, events, now=stamp.now, new_id=self._new_id)
        if status is not _status(attempt):
            log.info("session.moved", top_up=top_up.id, attempt=attempt.attempt, status=status.value)

    async def _move(self, conn: AsyncConnection, top_up: TopUp, status: SessionStatus, stamp: Stamp) -> list[NewEvent]:
        if status.paid and may_become(top_up.status, TopUpStatus.SETTLING):
            policy = self._onramps.settings.tenants[top_up.tenant].policies.get(str(top_up.reason.get("policy")))
            overdue = stamp.now + timedelta(seconds=policy.settle_seconds if policy else 86_400)
            paid = {"overdue_at": overdue, "risen_at": None}
            return [(await move_top_up(conn, top_up, TopUpStatus.SETTLING, stamp, values=paid))[1]]
        if status is SessionStatus.REJECTED and top_up.status is TopUpStatus.OPEN:
            refused = {"failure": "rejected_by_onramp"}
            return [(await move_top_up(conn, top_up, TopUpStatus.REJECTED, stamp, values=refused))[1]]
        if top_up.status is TopUpStatus.OPEN and top_up.risen_at is not None and not status.paid:
            return [await _retract(conn, top_up, stamp)]
        return []

    async def _retract_unasked(self, top_up_id: str) -> None:
        """The need went before any session was made for it."""
        stamp = Stamp(self._clock.now(), self._new_id)
        async with self._database.begin() as conn:
            top_up = await lock_top_up(conn, top_up_id)
            sessions = await find_sessions(conn, top_up_id)
            if top_up is None or any(s.state is not SessionState.NONE for s in sessions):
                return
            if top_up.status is TopUpStatus.OPEN and top_up.risen_at is not None:
                events = [await _retract(conn, top_up, stamp)]
                events += await tell_asks_of(conn, [top_up.id], self._onramps.settings.networks, stamp)
                await record_events(conn, events, now=stamp.now, new_id=self._new_id)

    def _next_look(self, attempt: Session, status: SessionStatus, top_up: TopUp, now: datetime) -> datetime | None:
        if status.terminal or now - attempt.created_at > FOLLOWED_FOR:
            return None
        longest = LONGEST_WAIT if top_up.status.active else LONGEST_WAIT_AFTERWARDS
        return now + find_wait(attempt.looks, self._onramps.settings.poll_seconds, longest)


def find_wait(looks: int, first_seconds: int, longest: timedelta) -> timedelta:
    """Doubling every fourth look, so that a payment just made is seen soon and an old link costs little."""
    return min(longest, timedelta(seconds=first_seconds << min(looks // 4, 20)))


async def _retract(conn: AsyncConnection, top_up: TopUp, stamp: Stamp) -> NewEvent:
    """The chain shows that the money is there and Stripe that nobody has paid: it came from elsewhere."""
    if top_up.asked is None:
        values = {"outcome": Outcome.OTHER_FUNDS.value}
        return (await move_top_up(conn, top_up, TopUpStatus.LANDED, stamp, values=values))[1]
    return (await move_top_up(conn, top_up, TopUpStatus.RETRACTED, stamp))[1]


async def nudge(conn: AsyncConnection, top_up: TopUp) -> None:
    """Once committed, have the chains that this ask reaches read again."""
    await tell_nudge(conn, {d.holding.network for d in top_up.destinations}, top_up.tenant, top_up.wallet)


def _status(attempt: Session) -> SessionStatus:
    return SessionStatus(attempt.status) if attempt.status else SessionStatus.INITIALIZED
