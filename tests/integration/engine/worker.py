"""A worker process for tests: writes each job's effect and each execution. `python -m … URL NAME`."""

import asyncio
import random
import sys

from prometheus_client import CollectorRegistry
from sqlalchemy import text

from watcher.jobs.engine import JobEngine
from watcher.metrics import Metrics
from watcher.store.database import Database, conninfo
from watcher.supervise import Supervisor

TABLES = """
create table effect (job int primary key);
create table execution (id bigserial primary key, job int, worker text);
create table fragile (job int primary key)
"""


class Effects:
    """Handlers whose work is rows: an effect is written once, an execution each time."""

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._name = name

    async def write(self, number: int) -> None:
        """One effect, in two transactions, so that a kill can fall between them."""
        async with self._database.begin() as conn:
            values = {"job": number, "worker": self._name}
            await conn.execute(text("insert into execution (job, worker) values (:job, :worker)"), values)
        await asyncio.sleep(0.01)
        async with self._database.begin() as conn:
            await conn.execute(text("insert into effect values (:job) on conflict do nothing"), {"job": number})

    async def fail_once(self, number: int) -> None:
        """Raises the first time, writes the second."""
        async with self._database.begin() as conn:
            query = text("insert into fragile values (:job) on conflict do nothing returning job")
            first = (await conn.execute(query, {"job": number})).first() is not None
        if first:
            raise RuntimeError("the first time always fails")
        await self.write(number)

    async def dawdle(self, number: int) -> None:
        """Takes longer than anybody waits, the first time."""
        async with self._database.begin() as conn:
            query = text("insert into fragile values (:job) on conflict do nothing returning job")
            first = (await conn.execute(query, {"job": number})).first() is not None
        if first:
            await asyncio.sleep(3600)
        await self.write(number)


def make_engine(url: str, database: Database, name: str, *, concurrency: int = 4) -> JobEngine:
    """An engine with these handlers."""
    effects = Effects(database, name)
    handlers = {"write": effects.write, "fail_once": effects.fail_once, "dawdle": effects.dawdle}
    return JobEngine(conninfo(url), handlers, name=name, metrics=Metrics(CollectorRegistry()), concurrency=concurrency)


async def main(url: str, name: str) -> None:
    """Work until killed."""
    database = Database(url)
    async with Supervisor(Metrics(CollectorRegistry()), random.random) as tasks:
        tasks.start("jobs", make_engine(url, database, name).run)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
