"""Jobs: at least once each, whatever dies; effects once."""

import asyncio
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import text

from tests.integration.engine.polling import execute, fetch, until
from tests.integration.engine.worker import TABLES, make_engine
from watcher.jobs.defer import defer
from watcher.metrics import Metrics
from watcher.store.database import Database
from watcher.supervise import Supervisor

JOBS = 120


@contextmanager
def _workers(url: str, *names: str) -> Iterator[list[subprocess.Popen[bytes]]]:
    command = ["nice", "-n", "10", sys.executable, "-m", "tests.integration.engine.worker", url]
    processes = [subprocess.Popen([*command, name], stdout=subprocess.DEVNULL) for name in names]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait(10)


@asynccontextmanager
async def _engine(url: str, database: Database, name: str = "here") -> AsyncIterator[None]:
    async with Supervisor(Metrics(CollectorRegistry()), random.random) as tasks:
        tasks.start("jobs", make_engine(url, database, name).run)
        yield


async def _defer(database: Database, task: str, numbers: range) -> None:
    async with database.begin() as conn:
        for number in numbers:
            await defer(conn, task, number=number)


async def _count(url: str, table: str) -> int:
    return int(str((await fetch(url, f"select count(*) from {table}"))[0][0]))  # noqa: S608 - our own words


async def _is_done(url: str, effects: int) -> bool:
    return await _count(url, "effect") == effects and await _count(url, "procrastinate_jobs") == 0


async def test_a_job_is_deferred_with_its_rows_or_not_at_all(database: Database, database_url: str) -> None:
    """A transaction that is rolled back leaves neither rows nor jobs; one that is committed leaves both."""
    await execute(database_url, TABLES)
    with suppress(RuntimeError):
        async with database.begin() as conn:
            await conn.execute(text("insert into effect values (1)"))
            await defer(conn, "write", number=1)
            raise RuntimeError
    assert await _count(database_url, "effect") == await _count(database_url, "procrastinate_jobs") == 0
    await _defer(database, "write", range(1))
    assert await _count(database_url, "procrastinate_jobs") == 1


async def test_jobs_run_once_and_a_raising_one_runs_again(database: Database, database_url: str) -> None:
    """Each job has its effect and is gone afterwards; one that raised is tried again, and no other is disturbed."""
    await execute(database_url, TABLES)
    await _defer(database, "write", range(10))
    await _defer(database, "fail_once", range(10, 12))
    async with _engine(database_url, database):
        await until(lambda: _is_done(database_url, 12), what="all effects")
    assert await _count(database_url, "execution") == 12


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_dead_or_frozen_worker_loses_nothing(
    database: Database, database_url: str, fault: signal.Signals
) -> None:
    """When one of two workers is killed or frozen in the middle, the other finishes every job, each effect once."""
    await execute(database_url, TABLES)
    await _defer(database, "write", range(JOBS))
    await _defer(database, "dawdle", range(JOBS, JOBS + 2))

    async def half() -> bool:
        busy = await fetch(database_url, "select worker from execution where worker = 'a' limit 1")
        return bool(busy) and await _count(database_url, "effect") > JOBS // 4

    with _workers(database_url, "a") as (first,), _workers(database_url, "b"):
        await until(half, what="both at work")
        first.send_signal(fault)
        await execute(database_url, "insert into fragile select generate_series(0, 999) on conflict do nothing")
        await until(lambda: _is_at_least(database_url, JOBS), seconds=40, what="all effects")
        if fault == signal.SIGSTOP:
            first.send_signal(signal.SIGCONT)
        stuck = "select 1 from procrastinate_jobs where task_name = 'write'"
        await until(lambda: _is_empty(database_url, stuck), what="no job left")
    assert await _count(database_url, "execution") >= JOBS


async def _is_at_least(url: str, effects: int) -> bool:
    return await _count(url, "effect") >= effects


async def _is_empty(url: str, query: str) -> bool:
    return not await fetch(url, query)


async def test_stopping_hands_running_jobs_back(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that outlasts the grace when the engine stops is back in the queue, at once, for somebody else."""
    monkeypatch.setattr("watcher.jobs.engine.GRACE_SECONDS", 0.1)
    await execute(database_url, TABLES)
    await _defer(database, "dawdle", range(1))
    async with _engine(database_url, database):
        await until(lambda: _is_full(database_url, "select 1 from fragile"), what="job started")
    assert await fetch(database_url, "select status::text from procrastinate_jobs") == [("todo",)]
    assert await _count(database_url, "procrastinate_workers") == 0
    async with _engine(database_url, database, "next"):
        await until(lambda: _is_done(database_url, 1), seconds=10, what="done by the next")


async def _is_full(url: str, query: str) -> bool:
    return bool(await fetch(url, query))


async def test_a_job_whose_end_was_not_recorded_runs_again(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that a living worker holds in the table but does not work on is put back."""
    monkeypatch.setattr("watcher.jobs.rescue.STALLED_SECONDS", 1.5)
    await execute(database_url, TABLES)
    async with _engine(database_url, database):
        await until(lambda: _is_full(database_url, "select 1 from procrastinate_workers"), what="worker")
        await execute(
            database_url,
            "insert into procrastinate_jobs (queue_name, task_name, args, status, worker_id)"
            " select 'watcher', 'write', '{\"number\": 1}', 'doing', id from procrastinate_workers",
        )
        await until(lambda: _is_done(database_url, 1), seconds=15, what="lost job done")


async def test_no_task_of_ours_outlives_the_engine(database: Database, database_url: str) -> None:
    """Starting and stopping at once leaves nothing running."""
    await execute(database_url, TABLES)
    before = asyncio.all_tasks()
    async with _engine(database_url, database):
        pass
    assert asyncio.all_tasks() == before
