"""Transactions on a PostgreSQL that is away, frozen, busy or slow."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from tests.integration.engine.polling import fetch
from watcher.store import database as database_module
from watcher.store.database import Database, conninfo, driver_connection
from watcher.store.errors import StoreUnavailable


@pytest.fixture
def frozen(database_url: str) -> Iterator[list[int]]:
    """Ids of processes that the test froze; they are woken in the end, whatever happens."""
    pids: list[int] = []
    yield pids
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


async def test_a_database_that_is_away_says_so_without_its_password() -> None:
    """No server: `StoreUnavailable`, soon, and nothing of the URL in what is said."""
    store = Database("postgresql://somebody:hunter2@127.0.0.1:1/none")
    with pytest.raises(StoreUnavailable) as caught:
        await store.ping()
    await store.close()
    assert "hunter2" not in f"{caught.value!r} {caught.value.__cause__!r} {store.engine!r}"


async def test_a_slow_statement_is_cut_short(database_url: str) -> None:
    """A statement that runs past the limit ends as `StoreUnavailable`; the pool serves the next one."""
    store = Database(database_url, statement_seconds=1)
    with pytest.raises(StoreUnavailable, match="QueryCanceled"):
        async with store.begin() as conn:
            await conn.execute(text("select pg_sleep(30)"))
    await store.ping()
    await store.close()


async def test_a_frozen_server_costs_a_bounded_wait(database_url: str, frozen: list[int]) -> None:
    """A server that stops answering in the middle of a transaction ends it as `StoreUnavailable`, in bounded time."""
    store = Database(database_url, seconds=1)
    began = time.monotonic()

    async def freeze_and_ask() -> None:
        async with store.begin() as conn:
            backend = (await conn.execute(text("select pg_backend_pid()"))).scalar_one()
            frozen.append(backend)
            os.kill(backend, signal.SIGSTOP)
            await conn.execute(text("select 1"))

    with pytest.raises(StoreUnavailable, match="no answer in time"):
        await freeze_and_ask()
    assert time.monotonic() - began < 15
    await store.close()


async def test_a_full_pool_is_a_bounded_wait(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """When all connections are taken the next transaction waits a while, then is `StoreUnavailable`."""
    monkeypatch.setattr(database_module, "POOL_SECONDS", 0.2)
    store = Database(database_url, pool_size=1, overflow=0)
    async with store.begin():
        with pytest.raises(StoreUnavailable, match="no free connection"):
            async with store.begin():
                pass
    await store.close()


async def test_errors_of_ours_pass_and_roll_back(database: Database, database_url: str) -> None:
    """An exception of the caller's, a time-out of its own included, is not taken for the database's."""

    async def insert_and_wait() -> None:
        async with database.begin() as conn:
            await conn.execute(text("insert into tenant values ('t', now())"))
            async with asyncio.timeout(0.01):
                await asyncio.sleep(5)

    with pytest.raises(TimeoutError):
        await insert_and_wait()
    assert await fetch(database_url, "select count(*) from tenant") == [(0,)]


async def test_connections_speak_utc_and_share_the_transaction(database: Database) -> None:
    """Sessions are in UTC, and psycopg's connection below sees what is not committed yet."""
    async with database.begin() as conn:
        assert (await conn.execute(text("show timezone"))).scalar_one() == "UTC"
        await conn.execute(text("insert into tenant values ('t', now())"))
        raw = await driver_connection(conn)
        assert await (await raw.execute("select id from tenant")).fetchall() == [("t",)]


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_urls_of_all_spellings(scheme: str) -> None:
    """What operators write works for SQLAlchemy and psycopg alike."""
    made = conninfo(f"{scheme}://u:p%40ss@db.example:5433/name?sslmode=require")
    assert "host=db.example" in made
    assert "password=p@ss" in made
    assert "sslmode=require" in made
