"""The clock of the daemon. A tick never works: it records its slot and defers a job, both in one transaction.

Any number of replicas may tick; the first to record a slot defers its job (key of `sweep_run`). APScheduler keeps no
store of its own: two of it on one store fire twice, and its store blocks the event loop.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert as upsert

from watcher.clock import Clock
from watcher.jobs.defer import defer
from watcher.store.database import Database
from watcher.store.errors import StoreUnavailable
from watcher.store.tables import sweep_run

log = structlog.get_logger()

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
CLOCKS_DIFFER: Final = timedelta(minutes=1)
"""Replicas' clocks are within this of each other."""


@dataclass(frozen=True, slots=True)
class Tick:
    """One job of the clock."""

    task: str
    """Name of the job's task, and of the tick."""
    every_seconds: int

    def slot(self, now: datetime) -> datetime:
        """The last multiple of `every_seconds` since 1970 that is not after `now`: the same on all replicas."""
        seconds = int(now.timestamp())
        return datetime.fromtimestamp(seconds - seconds % self.every_seconds, UTC)


class Schedule:
    """`run` ticks until cancelled, for the supervisor."""

    def __init__(self, database: Database, ticks: Sequence[Tick], *, clock: Clock) -> None:
        """Each tick's task must take no arguments."""
        self._database = database
        self._ticks = ticks
        self._clock = clock

    async def run(self) -> None:
        """Catch up on the slots missed while nobody ran, once each, then tick."""
        for tick in self._ticks:
            await self.tick(tick)
        due: asyncio.Queue[Tick] = asyncio.Queue(len(self._ticks))
        scheduler = self._make_scheduler(due)
        scheduler.start()
        try:
            while True:
                await self._tick_or_say(await due.get())
        finally:
            scheduler.shutdown(wait=False)
            await asyncio.sleep(0)  # it ends in the loop's next round

    def _make_scheduler(self, due: asyncio.Queue[Tick]) -> AsyncIOScheduler:
        async def ring(tick: Tick) -> None:
            if not due.full():
                due.put_nowait(tick)

        scheduler = AsyncIOScheduler(timezone=UTC)
        for tick in self._ticks:
            scheduler.add_job(
                ring,
                "interval",
                args=[tick],
                seconds=tick.every_seconds,
                start_date=EPOCH,
                id=tick.task,
                coalesce=True,
                max_instances=1,
                misfire_grace_time=None,
            )
        return scheduler

    async def tick(self, tick: Tick) -> bool:
        """Whether this call recorded the current slot and deferred its job. Raises `StoreUnavailable`."""
        now = self._clock.now()
        # slots well ahead of the clock were recorded before somebody set it back: they must not silence the tick
        ahead = sweep_run.c.slot > now + max(CLOCKS_DIFFER, timedelta(seconds=tick.every_seconds))
        new = upsert(sweep_run).values(name=tick.task, slot=tick.slot(now), created_at=now)
        async with self._database.begin() as conn:
            await conn.execute(delete(sweep_run).where(sweep_run.c.name == tick.task, ahead))
            taken = await conn.execute(new.on_conflict_do_nothing().returning(sweep_run.c.slot))
            if taken.first() is None:
                return False
            await defer(conn, tick.task, lock=f"tick:{tick.task}")
        return True

    async def _tick_or_say(self, tick: Tick) -> None:
        try:
            await self.tick(tick)
        except StoreUnavailable as error:
            log.warning("tick.failed", task=tick.task, reason=str(error))


def make_ticks(poll_seconds: int) -> list[Tick]:
    """What the clock defers, and how often; `poll_seconds` is the first wait between looks at a session."""
    return [
        Tick("look_at_due_sessions", min(5, poll_seconds)),
        Tick("look_again", 2),
        Tick("look_at_brakes", 5),
        Tick("expire_top_ups", 10),
        Tick("expire_asks", 10),
        Tick("replace_addresses", 10),
        Tick("tell_overdue_top_ups", 60),
        Tick("nudge_settling", 30),
        Tick("prune", 3600),
    ]
