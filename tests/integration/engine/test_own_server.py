"""The operator's own PostgreSQL, by the URL alone: TLS as it says, and refusals in plain words."""

import asyncio
from collections.abc import Iterator

import psycopg
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import text

from tests.integration.engine.polling import execute, fetch, until
from tests.nodes.own_postgres import OwnPostgres, find_own_programs, run_postgres
from watcher.db.report import check_store, upgrade_store
from watcher.jobs.defer import defer
from watcher.jobs.engine import JobEngine
from watcher.metrics import Metrics
from watcher.store.database import Database, conninfo
from watcher.store.errors import StoreUnavailable

PROGRAMS = find_own_programs()
pytestmark = pytest.mark.skipif(
    PROGRAMS is None, reason="no PostgreSQL of this machine's own: apt-get install postgresql"
)


@pytest.fixture(scope="module")
def own() -> Iterator[OwnPostgres]:
    assert PROGRAMS is not None
    with run_postgres(PROGRAMS) as server:
        yield server


async def test_transactions_and_jobs_go_over_tls(own: OwnPostgres) -> None:
    """With sslmode=verify-full in the URL every connection of ours is encrypted: the pool's and the worker's."""
    await execute(own.url(), "create database tls")
    url = own.url("tls", tls=f"sslmode=verify-full&sslrootcert={own.root}")
    await asyncio.to_thread(upgrade_store, url)
    seen: list[int] = []

    async def note(number: int) -> None:
        seen.append(number)

    database = Database(url)
    engine = JobEngine(conninfo(url), {"note": note}, name="own", metrics=Metrics(CollectorRegistry()))
    async with database.begin() as conn:
        await defer(conn, "note", number=1)
    working = asyncio.create_task(engine.run())

    async def done() -> bool:
        return seen == [1]

    await until(done, what="a job")
    clear = "select count(*) from pg_stat_ssl join pg_stat_activity using (pid) where datname = 'tls' and not ssl"
    async with database.begin() as conn:
        assert (await conn.execute(text(clear))).scalar_one() == 0
        encrypted = text(clear.replace("not ssl", "ssl"))
        assert (await conn.execute(encrypted)).scalar_one() >= 3
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    await database.close()
    said = await asyncio.to_thread(check_store, url)
    assert ("connection with TLS", None) in said


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ({"password": "hunter2"}, "it refuses the user's password"),
        ({"database": "nothing"}, "there is no such database"),
        ({"tls": "sslmode=verify-full&sslrootcert=/etc/ssl/certs/ca-certificates.crt"}, "not signed by a root"),
    ],
    ids=["password", "database", "root"],
)
async def test_a_refusal_is_one_plain_line(own: OwnPostgres, spoil: dict[str, str], said: str) -> None:
    """What is wrong is said, and neither password nor host."""
    url = own.url(**spoil)
    database = Database(url)
    with pytest.raises(StoreUnavailable, match=said) as caught:
        await database.ping()
    with pytest.raises(StoreUnavailable, match=said) as told:
        await asyncio.to_thread(check_store, url)
    await database.close()
    for words in (str(caught.value), str(told.value)):
        assert "\n" not in words
        assert not {"hunter2", "127.0.0.1"} & set(words.replace(":", " ").split())


async def test_a_server_without_connections_to_spare(own: OwnPostgres) -> None:
    """A role's connections are all taken: `StoreUnavailable` that says so, and soon."""
    await execute(own.url(), "create role few login password 'few' connection limit 1")
    url = own.url(password="few").replace("//postgres:", "//few:")
    async with await psycopg.AsyncConnection.connect(url):
        database = Database(url)
        with pytest.raises(StoreUnavailable, match="no connection left"):
            await database.ping()
        await database.close()


async def test_options_of_the_url_stay(own: OwnPostgres) -> None:
    """What an operator sets in the URL is kept beside our time-outs."""
    url = own.url(tls="sslmode=disable&options=-c%20search_path%3Dtheirs")
    database = Database(url)
    async with database.begin() as conn:
        assert (await conn.execute(text("show search_path"))).scalar_one() == "theirs"
        assert (await conn.execute(text("show statement_timeout"))).scalar_one() == "5s"
    await database.close()
    assert await fetch(conninfo(url), "show search_path") == [("theirs",)]
    assert await fetch(conninfo(url), "show idle_in_transaction_session_timeout") == [("30s",)]
