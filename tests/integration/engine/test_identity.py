"""A server that answers and holds another store is no store: nothing is written to it, and the right one heals it."""

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from procrastinate.exceptions import ConnectorException
from prometheus_client import CollectorRegistry

from tests.conftest import Server
from tests.fakes.settings import ETH, make_settings
from tests.integration.engine.polling import execute, fetch, until
from tests.integration.watcher.world import ETH_HOLDING, World
from watcher.jobs.defer import defer
from watcher.jobs.engine import JobEngine
from watcher.metrics import Metrics
from watcher.store.database import Database, conninfo
from watcher.store.errors import StoreReplaced
from watcher.store.identity import read_identity


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> World:
    """A daemon's parts on its store, which they know."""
    made = World(database, make_settings(tmp_path))
    await made.start()
    async with database.begin() as conn:
        database.expect(await read_identity(conn))
    return made


class Failover:
    """Other databases behind the URL that the daemon has."""

    def __init__(self, server: Server, url: str) -> None:
        self.admin = server.url
        self.name = urlsplit(url).path[1:]
        self.url = url

    async def keep(self, name: str) -> None:
        """A copy of the store as it is now."""
        await self._break(self.name)
        await execute(self.admin, f"create database {name} template {self.name}")

    async def to(self, name: str | None) -> None:
        """From now on the URL leads to `name`, or to an empty database."""
        await self._break(self.name)
        await execute(self.admin, f"alter database {self.name} rename to {self.name}_gone")
        if name is None:
            await execute(self.admin, f"create database {self.name}")
        else:
            await execute(self.admin, f"alter database {name} rename to {self.name}")

    async def back(self) -> None:
        """As it was."""
        await execute(self.admin, f"drop database {self.name} with (force)")
        await execute(self.admin, f"alter database {self.name}_gone rename to {self.name}")

    async def _break(self, name: str) -> None:
        kill = f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"  # noqa: S608
        await execute(self.admin, kill)


@pytest.fixture
def failover(postgres: Server, database_url: str) -> Failover:
    """What an operator's standby may do."""
    return Failover(postgres, database_url)


async def write(database: Database) -> None:
    """Any transaction."""
    async with database.begin() as conn:
        await conn.exec_driver_sql("insert into tenant values ('written', now())")


async def test_an_empty_database_is_refused_and_the_right_one_is_taken_back(world: World, failover: Failover) -> None:
    """After a failover to nothing no transaction begins; when the store is back, the next one does."""
    await failover.to(None)
    with pytest.raises(StoreReplaced, match="empty database"):
        await write(world.database)
    with pytest.raises(StoreReplaced):
        await world.database.ping()
    await failover.back()
    await write(world.database)


async def test_an_older_state_is_refused(world: World, failover: Failover) -> None:
    """A copy that lacks the last event is refused: what it would ask for has been asked for."""
    await world.register()
    await failover.keep("older")
    await world.step({ETH_HOLDING: ETH - 1})
    await failover.to("older")
    with pytest.raises(StoreReplaced, match="older state"):
        await write(world.database)
    await failover.back()


async def test_a_copy_that_lacks_nothing_is_taken(world: World, failover: Failover) -> None:
    """A failover that lost no event goes on without a restart."""
    await world.register()
    await failover.keep("whole")
    await failover.to("whole")
    await write(world.database)
    await execute(failover.admin, f"drop database {failover.name}_gone with (force)")


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("update installation set epoch = 'other'", "a backup was put back"),
        ("update installation set moved_at = now()", "moved to another server"),
        ("update alembic_version set version_num = '9999'", "schema is of another release"),
        ("delete from installation", "empty database"),
    ],
)
async def test_what_has_become_another_store_is_refused(
    statement: str, said: str, world: World, database_url: str
) -> None:
    """Also on connections that never broke."""
    await write(world.database)
    await execute(database_url, "delete from tenant where id = 'written'")
    await execute(database_url, statement)
    with pytest.raises(StoreReplaced, match=said):
        await write(world.database)
    assert await fetch(database_url, "select count(*) from tenant where id = 'written'") == [(0,)]


async def test_what_others_commit_meanwhile_is_no_older_state(world: World) -> None:
    """Many transactions with events at once, each seeing another last position: none is refused."""
    for number in range(8):
        await world.register(id=f"w-{number}")

    async def relabel(number: int) -> None:
        for label in range(10):
            await world.register(id=f"w-{number}", label=f"{label}")

    await asyncio.gather(*(relabel(number) for number in range(8)))


async def test_a_rolled_back_event_is_not_remembered(world: World) -> None:
    """A position that was taken and given back is not missed afterwards."""

    class Undone(Exception):
        pass

    async def register_and_fail() -> None:
        async with world.database.begin() as conn:
            await conn.exec_driver_sql("update event_position set last = last + 1")
            conn.info["topup_watcher_position"] = 10**6
            raise Undone

    with pytest.raises(Undone):
        await register_and_fail()
    await write(world.database)


async def test_no_job_of_another_store_is_begun(world: World, database_url: str) -> None:
    """The worker takes nothing from a store that is refused, and goes on when it is the right one."""
    done: list[int] = []

    async def note(number: int) -> None:
        done.append(number)

    async with world.database.begin() as conn:
        identity = await read_identity(conn)
    metrics = Metrics(CollectorRegistry())
    engine = JobEngine(conninfo(database_url), {"note": note}, name="here", metrics=metrics, check=identity.check)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as other:
        await other.execute("update installation set epoch = epoch || '-other'")
        stranger = Database(database_url)
        async with stranger.begin() as writing:
            await defer(writing, "note", number=1)
        await stranger.close()
        with pytest.raises((ConnectorException, ExceptionGroup)):
            async with asyncio.timeout(20):
                await engine.run()
        assert await fetch(database_url, "select status::text, attempts from procrastinate_jobs") == [("todo", 0)]
        await other.execute("update installation set epoch = replace(epoch, '-other', '')")
    working = asyncio.create_task(engine.run())

    async def finished() -> bool:
        return done == [1]

    await until(finished, what="the job")
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
