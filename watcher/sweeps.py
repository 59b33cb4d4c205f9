"""What time alone brings about: sessions due for a look, asks that expire or are overdue, rows past their keeping."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, delete, select, update

from chains.model import NetworkId
from config.model import Network
from watcher.asks.lifecycle import end_ask
from watcher.asks.model import State
from watcher.clock import Clock, Stamp
from watcher.closing import LOOK_TASK
from watcher.jobs.defer import defer
from watcher.look import nudge
from watcher.model import TopUpStatus
from watcher.store.asks import list_expired, lock_ask
from watcher.store.database import Database
from watcher.store.endpoints import forget_endpoints
from watcher.store.events import record_events
from watcher.store.inbox import forget_addresses
from watcher.store.tables import delivery, event, idempotency, inbox, session, sweep_run, top_up, wallet
from watcher.store.top_ups import lock_top_up, read_top_up
from watcher.store.wallets import IP_KEPT
from watcher.top_ups import move_top_up, note_step

BATCH: Final = 500
"""Most rows that one run of a sweep takes up; the next run takes the rest."""
EVENTS_KEPT: Final = timedelta(days=90)
INBOX_KEPT: Final = timedelta(days=30)
"""Longer than Stripe retries a webhook (3 days) and than a backend may replay one."""
ENDPOINTS_KEPT: Final = timedelta(days=1)
"""After its removal: no transaction is open so long."""
RUNS_KEPT: Final = timedelta(days=7)
LOOK_AGAIN: Final = timedelta(minutes=1)
"""A session whose look was deferred is due again after this, should the job be lost."""


class Sweeper:
    """Each method is a job that a tick of the clock defers; running one twice does nothing twice."""

    def __init__(
        self,
        database: Database,
        networks: Mapping[NetworkId, Network],
        *,
        clock: Clock,
        new_id: Callable[[str], str],
    ) -> None:
        """Everything else that they need is in the store."""
        self._networks = networks
        self._database = database
        self._clock = clock
        self._new_id = new_id

    async def look_at_due_sessions(self) -> None:
        """Defer a look at each session whose time has come: what a webhook would have told, should it be lost."""
        now = self._clock.now()
        async with self._database.begin() as conn:
            due = select(session.c.top_up).where(session.c.next_look_at <= now).order_by(session.c.next_look_at)
            ids = sorted({row[0] for row in await conn.execute(due.limit(BATCH))})
            if not ids:
                return
            taken = update(session).where(session.c.top_up.in_(ids), session.c.next_look_at <= now)
            await conn.execute(taken.values(next_look_at=now + LOOK_AGAIN))
            for top_up_id in ids:
                await defer(conn, LOOK_TASK, top_up=top_up_id)

    async def expire_top_ups(self) -> None:
        """End asks that nobody answered in time. A payment that comes later still lands, `late`."""
        now = self._clock.now()
        for top_up_id in await self._list(top_up.c.status == "open", top_up.c.expires_at <= now):
            stamp = Stamp(now, self._new_id)
            async with self._database.begin() as conn:
                found = await lock_top_up(conn, top_up_id)
                if found is not None and found.status is TopUpStatus.OPEN and found.expires_at <= now:
                    _, expired = await move_top_up(conn, found, TopUpStatus.EXPIRED, stamp)
                    await record_events(conn, [expired], now=now, new_id=self._new_id)

    async def expire_asks(self) -> None:
        """End transactions, checkouts and swaps whose time is over; unpaid top-ups for nothing else are withdrawn."""
        stamp = Stamp(self._clock.now(), self._new_id)
        async with self._database.begin() as conn:
            keys = await list_expired(conn, stamp.now, BATCH)
        for key in keys:
            async with self._database.begin() as conn:
                ask = await lock_ask(conn, key)
                if ask is not None and ask.status.living and ask.expires_at <= stamp.now:
                    events = await end_ask(conn, ask, State.EXPIRED, self._networks, stamp)
                    await record_events(conn, events, now=stamp.now, new_id=self._new_id)

    async def tell_overdue_top_ups(self) -> None:
        """Say once of each paid ask that it should have landed by now."""
        now = self._clock.now()
        late = (top_up.c.status == "settling", top_up.c.overdue.is_(False), top_up.c.overdue_at <= now)
        for top_up_id in await self._list(*late):
            stamp = Stamp(now, self._new_id)
            async with self._database.begin() as conn:
                found = await lock_top_up(conn, top_up_id)
                if found is not None and found.status is TopUpStatus.SETTLING and not found.overdue:
                    _, overdue = await note_step(conn, found, "overdue", stamp, values={"overdue": True})
                    await record_events(conn, [overdue], now=now, new_id=self._new_id)

    async def nudge_settling(self) -> None:
        """Have the chains read again where money is on its way: a quiet chain makes no steps of its own."""
        async with self._database.begin() as conn:
            query = select(top_up).where(top_up.c.status == "settling").order_by(top_up.c.updated_at).limit(BATCH)
            for row in (await conn.execute(query)).mappings().all():
                await nudge(conn, read_top_up(row))

    async def prune(self) -> None:
        """Forget what is past its keeping; IP addresses first of all."""
        now = self._clock.now()
        await self._forget_ip_addresses(now)
        async with self._database.begin() as conn:
            await conn.execute(delete(inbox).where(inbox.c.received_at < now - INBOX_KEPT))
            await conn.execute(delete(idempotency).where(idempotency.c.created_at < now - INBOX_KEPT))
            await conn.execute(delete(sweep_run).where(sweep_run.c.created_at < now - RUNS_KEPT))
            done = select(event.c.id).where(event.c.created_at < now - EVENTS_KEPT)
            await conn.execute(delete(delivery).where(delivery.c.event_id.in_(done)))
            await conn.execute(delete(event).where(event.c.created_at < now - EVENTS_KEPT))
            await forget_endpoints(conn, before=now - ENDPOINTS_KEPT)

    async def _forget_ip_addresses(self, now: datetime) -> None:
        """Of wallets, and of what was sent to Stripe: a body this old is never sent again (`dispatch.KEY_LIFE`)."""
        forget = update(wallet).where(wallet.c.customer_ip_until <= now)
        ip = "customer_ip_address"
        sent = update(session).where(session.c.created_at <= now - IP_KEPT, session.c.body.has_key(ip))
        async with self._database.begin() as conn:
            await conn.execute(forget.values(customer_ip_address=None, customer_ip_until=None))
            await forget_addresses(conn, before=now - IP_KEPT)
            await conn.execute(sent.values(body=session.c.body.op("-", return_type=session.c.body.type)(ip)))

    async def _list(self, *conditions: ColumnElement[bool]) -> list[str]:
        async with self._database.begin() as conn:
            query = select(top_up.c.id).where(*conditions).order_by(top_up.c.id).limit(BATCH)
            return [row[0] for row in await conn.execute(query)]
