"""The clock's ticks: each slot once, among any number of replicas."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tests.integration.engine.polling import fetch, until
from watcher.clock import SystemClock
from watcher.schedule import Schedule, Tick
from watcher.store.database import Database

JOBS = "select count(*) from procrastinate_jobs"


@dataclass
class _Clock:
    time: datetime

    def now(self) -> datetime:
        return self.time


async def test_two_schedulers_share_each_slot(database: Database, database_url: str) -> None:
    """Of two replicas that tick every second, one defers the job of a slot: as many jobs as slots, no slot missing."""
    ticks = [Tick("look", 1)]
    tasks = [asyncio.create_task(Schedule(database, ticks, clock=SystemClock()).run()) for _ in range(2)]

    async def four_slots() -> bool:
        return len(await fetch(database_url, "select slot from sweep_run")) >= 4

    try:
        await until(four_slots, what="four slots")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    slots = [row[0] for row in await fetch(database_url, "select slot from sweep_run order by slot")]
    assert await fetch(database_url, JOBS) == [(len(slots),)]
    assert isinstance(slots[0], datetime)
    assert slots == [slots[0] + timedelta(seconds=n) for n in range(len(slots))]


async def test_slots_missed_while_nobody_ran_are_made_up_once(database: Database, database_url: str) -> None:
    """After an outage of a hundred slots one job is deferred, not a hundred; asked again, none."""
    clock = _Clock(datetime(2026, 1, 2, tzinfo=UTC))
    tick = Tick("look", 10)
    schedule = Schedule(database, [tick], clock=clock)
    assert await schedule.tick(tick)
    clock.time += timedelta(seconds=1000)
    assert await schedule.tick(tick)
    assert not await schedule.tick(tick)
    assert await fetch(database_url, JOBS) == [(2,)]


async def test_a_clock_that_is_set_back_silences_nothing(database: Database) -> None:
    """When the machine's clock is set back into slots that were recorded, ticks pause for a minute or so, no longer."""
    clock = _Clock(datetime(2026, 1, 2, tzinfo=UTC))
    tick = Tick("look", 10)
    schedule = Schedule(database, [tick], clock=clock)
    for _ in range(30):
        assert await schedule.tick(tick)
        clock.time += timedelta(seconds=10)
    clock.time -= timedelta(seconds=280)
    ticked = []
    for _ in range(9):
        clock.time += timedelta(seconds=10)
        ticked.append(await schedule.tick(tick))
    assert ticked.count(True) >= 2
    assert ticked[-1]
