"""From a recorded ask to an onramp session: the exact body is stored before the call, its outcome after it.

A crash anywhere leaves a row that says how far it came, and the same idempotency key makes a repeated call harmless.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, Final

import structlog
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.errors import (
    OnrampError,
    OnrampMisconfigured,
    OnrampPaused,
    OnrampRefused,
    OnrampUserRefused,
)
from notifier.model import OnrampSession
from notifier.onramp import Onramp
from watcher.adopting import LostSessions
from watcher.clock import Clock, Stamp
from watcher.model import Session, SessionState, TopUp, TopUpStatus
from watcher.render import render_time
from watcher.session_request import Onramps, make_request
from watcher.store.database import Database
from watcher.store.events import record_events
from watcher.store.holds import find_holds
from watcher.store.tables import onramp_pause, wallet
from watcher.store.top_ups import find_sessions, insert_session, lock_top_up, update_session, update_top_up
from watcher.store.turns import wait_turn
from watcher.top_ups import move_top_up, note_step

log = structlog.get_logger()

KEY_LIFE: Final = timedelta(hours=23)
"""Stripe may forget an idempotency key after 24 h; past this, the session is looked for before anything is created."""
STORED_FAULTS: Final = 3
"""A stored answer is replayed for ever: after so many, look whether the session exists after all."""
PAUSE: Final = timedelta(minutes=5)
"""How long no session is created for a tenant after Stripe has switched minting off, or refused our account."""
MAX_BACKOFF_SECONDS: Final = 60
UNSURE: Final = timedelta(seconds=3)
"""Until it is looked again whether a transaction still needs what its link would be for."""


class Dispatcher:
    """Carries out asks. Each method is a job: one bounded step, whose outcome is recorded with the next step's turn."""

    def __init__(
        self,
        database: Database,
        onramps: Onramps,
        *,
        clock: Clock,
        new_id: Callable[[str], str],
        may_send: Callable[[str], Awaitable[bool]] | None = None,
        lost: LostSessions | None = None,
    ) -> None:
        """`onramps` are open for as long as this lives.

        `may_send` says of an open top-up whether what it was opened for still holds, now that a link is to be made.
        `lost`: where the store was put back from a backup, what is looked at before anything is created.
        """
        self._database = database
        self._may_send = may_send
        self._onramps = onramps
        self._lost = lost
        self._clock = clock
        self._new_id = new_id

    async def create_session(self, top_up: str) -> None:
        """Get the session that an open ask needs, or learn why there is none."""
        if not await self._still_holds(top_up):
            return
        attempt = await self._begin_attempt(top_up)
        if attempt is None:
            return
        onramp = self._onramps.by_tenant[attempt.tenant]
        try:
            session = await self._ask(onramp, attempt)
        except OnrampError as error:
            await self._record_failure(attempt, error)
        else:
            await self._record_session(attempt, session)

    async def _still_holds(self, top_up_id: str) -> bool:
        """Whether a link may be made; if it can't be said, or it is being decided anew, this is looked at again."""
        if self._may_send is None:
            return True
        async with self._database.begin() as conn:
            sessions = await find_sessions(conn, top_up_id)
        if any(session.state is not SessionState.NONE for session in sessions):
            return True
        if await self._may_send(top_up_id):
            return True
        async with self._database.begin() as conn:
            top_up = await lock_top_up(conn, top_up_id)
            if top_up is not None and top_up.status is TopUpStatus.OPEN:
                await wait_turn(conn, top_up, at=self._clock.now() + UNSURE)
        return False

    async def _begin_attempt(self, top_up_id: str) -> Session | None:
        """The attempt to make now, stored; None when there is nothing to do, or not yet."""
        now = self._clock.now()
        async with self._database.begin() as conn:
            top_up = await lock_top_up(conn, top_up_id)
            if top_up is None or top_up.tenant not in self._onramps.by_tenant:
                return None
            sessions = await find_sessions(conn, top_up_id)
            latest = sessions[-1] if sessions else None
            if not _wants_attempt(top_up, latest):
                return None
            if (until := await _find_pause(conn, top_up, now)) is not None:
                await update_top_up(conn, top_up_id, {"withheld": True})
                await wait_turn(conn, top_up, at=until)
                return None
            if top_up.withheld:
                await update_top_up(conn, top_up_id, {"withheld": False})
            if latest is None or latest.state is SessionState.NONE:
                return await self._start_attempt(conn, top_up, latest.attempt + 1 if latest else 1, now)
            if top_up.status is not TopUpStatus.OPEN:
                return replace(
                    latest, faults=STORED_FAULTS
                )  # only to learn whether it exists: nothing is asked any more
            return latest

    async def _start_attempt(self, conn: AsyncConnection, top_up: TopUp, number: int, now: datetime) -> Session | None:
        try:
            await self._insert_attempt(conn, top_up, number, now)
        except OnrampRefused as error:
            await self._end(conn, top_up, error, Stamp(now, self._new_id))
            return None
        return (await find_sessions(conn, top_up.id))[-1]

    async def _insert_attempt(self, conn: AsyncConnection, top_up: TopUp, number: int, now: datetime) -> None:
        onramp = self._onramps.by_tenant[top_up.tenant]
        ip = await _find_customer_ip(conn, top_up, now)
        request = make_request(top_up, number, self._onramps, customer_ip_address=ip)
        key = f"{top_up.id}:{number}"
        values = {
            "top_up": top_up.id,
            "attempt": number,
            "tenant": top_up.tenant,
            "idempotency_key": self._lost.make_key(key) if self._lost is not None else key,
            "body": dict(onramp.session_body(request)),
            "state": SessionState.CREATING.value,
            "livemode": onramp.livemode,
            "called_at": now,
            "created_at": now,
            "updated_at": now,
        }
        await insert_session(conn, values)

    async def _ask(self, onramp: Onramp, attempt: Session) -> OnrampSession | None:
        """The session, or None when it is known that this attempt has none."""
        if self._lost is not None and (lost := await self._lost.find(onramp, attempt)) is not None:
            return lost
        now = self._clock.now()
        stale = attempt.called_at is not None and now - attempt.called_at > KEY_LIFE
        if stale or attempt.faults >= STORED_FAULTS:
            return await onramp.find_session(
                top_up=attempt.top_up, attempt=attempt.attempt, created_after=attempt.created_at
            )
        return await onramp.create_session(attempt.body, idempotency_key=attempt.idempotency_key)

    async def _record_session(self, attempt: Session, session: OnrampSession | None) -> None:
        stamp = Stamp(self._clock.now(), self._new_id)
        async with self._database.begin() as conn:
            top_up = await lock_top_up(conn, attempt.top_up)
            if top_up is None:
                return
            if session is None:
                await self._write(conn, attempt, {"state": SessionState.NONE.value, "refusal": "not_found"})
                await wait_turn(conn, top_up, at=stamp.now)
                return
            wait = timedelta(seconds=self._onramps.settings.poll_seconds)
            await self._write(
                conn,
                attempt,
                {
                    "state": SessionState.CREATED.value,
                    "stripe_id": session.id,
                    "status": session.status.value,
                    "link": session.link,
                    "next_look_at": stamp.now + wait,
                },
            )
            if top_up.status is not TopUpStatus.OPEN:
                return
            made = {"step": "session_created", "at": render_time(stamp.now), "proof": {"session": session.id}}
            top_up = replace(top_up, timeline=(*top_up.timeline, made))
            _, event = await note_step(conn, top_up, "notified", stamp, event="link_ready")
            await record_events(conn, [event], now=stamp.now, new_id=self._new_id)
        log.info("session.created", top_up=attempt.top_up, attempt=attempt.attempt, session=session.id)

    async def _record_failure(self, attempt: Session, error: OnrampError) -> None:
        stamp = Stamp(self._clock.now(), self._new_id)
        log.warning(
            "session.failed",
            top_up=attempt.top_up,
            attempt=attempt.attempt,
            kind=type(error).__name__,
            code=error.code,
            http_status=error.http_status,
            request_id=error.request_id,
        )
        async with self._database.begin() as conn:
            top_up = await lock_top_up(conn, attempt.top_up)
            if top_up is None:
                return
            if isinstance(error, OnrampRefused | OnrampUserRefused):
                await self._give_up(conn, top_up, attempt, error, stamp)
                return
            if isinstance(error, OnrampPaused | OnrampMisconfigured):
                await _pause(conn, top_up.tenant, stamp.now + PAUSE, error.code or type(error).__name__)
                again = stamp.now + PAUSE
            else:
                again = stamp.now + timedelta(seconds=find_backoff(attempt.tries, error.retry_after_seconds))
            fault = _may_be_stored(error)
            await self._write(conn, attempt, {"tries": attempt.tries + 1, "faults": attempt.faults + fault})
            await wait_turn(conn, top_up, at=again)

    async def _give_up(
        self, conn: AsyncConnection, top_up: TopUp, attempt: Session, error: OnrampError, stamp: Stamp
    ) -> None:
        await self._write(conn, attempt, {"state": SessionState.NONE.value, "refusal": error.code or "refused"})
        await self._end(conn, top_up, error, stamp)

    async def _end(self, conn: AsyncConnection, top_up: TopUp, error: OnrampError, stamp: Stamp) -> None:
        """No session can be made for this ask: `rejected` when it is about the person, else `failed`."""
        if top_up.status is TopUpStatus.OPEN:
            status = TopUpStatus.REJECTED if isinstance(error, OnrampUserRefused) else TopUpStatus.FAILED
            _, event = await move_top_up(conn, top_up, status, stamp, values={"failure": error.code or "refused"})
            await record_events(conn, [event], now=stamp.now, new_id=self._new_id)

    async def _write(self, conn: AsyncConnection, attempt: Session, values: Mapping[str, Any]) -> None:
        await update_session(conn, attempt.top_up, attempt.attempt, {**values, "updated_at": self._clock.now()})


def _may_be_stored(error: OnrampError) -> bool:
    """Whether Stripe may have kept this answer with its key, to be replayed for ever."""
    failed = error.http_status is not None and error.http_status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return failed or isinstance(error, OnrampPaused)


def _wants_attempt(top_up: TopUp, latest: Session | None) -> bool:
    """Whether a call is due: an outcome is unknown, or an open ask has no session."""
    if latest is not None and latest.state is not SessionState.NONE:
        return latest.state is SessionState.CREATING
    return top_up.status is TopUpStatus.OPEN


def find_backoff(tries: int, retry_after_seconds: int | None) -> int:
    """Seconds until the next try: doubling from 1, at most 60, and never before Stripe said."""
    return max(min(MAX_BACKOFF_SECONDS, 1 << min(tries, 10)), retry_after_seconds or 0)


async def _find_customer_ip(conn: AsyncConnection, top_up: TopUp, now: datetime) -> str | None:
    """The IP address that came with the registration, if it is fresh enough to be told."""
    query = select(wallet.c.customer_ip_address).where(
        wallet.c.tenant == top_up.tenant, wallet.c.id == top_up.wallet, wallet.c.customer_ip_until > now
    )
    return (await conn.execute(query)).scalar_one_or_none()


async def _find_pause(conn: AsyncConnection, top_up: TopUp, now: datetime) -> datetime | None:
    """Until when no session is made: the onramp is off for this tenant, or the wallet's asks are paused.

    What was held back since its turn was given out waits for another one, which comes once it is let go.
    """
    if (await find_holds(conn)).cover(top_up):
        return now
    off = select(onramp_pause.c.until).where(onramp_pause.c.tenant == top_up.tenant, onramp_pause.c.until > now)
    until: datetime | None = (await conn.execute(off)).scalar_one_or_none()
    paused = select(wallet.c.asks_paused_until).where(
        wallet.c.tenant == top_up.tenant, wallet.c.id == top_up.wallet, wallet.c.asks_paused_until > now
    )
    return until or (await conn.execute(paused)).scalar_one_or_none()


async def _pause(conn: AsyncConnection, tenant: str, until: datetime, reason: str) -> None:
    values = {"until": until, "reason": reason}
    paused = upsert(onramp_pause).values(tenant=tenant, **values)
    await conn.execute(paused.on_conflict_do_update(index_elements=["tenant"], set_=values))
