"""What every test may ask for: a database of its own, and the rule that none leaves a task behind."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest

from watcher.store.database import Database
from watcher.store.embedded import EmbeddedPostgres
from watcher.store.migrate import upgrade

TEMPLATE = "template_migrated"
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"}


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """An embedded PostgreSQL of this test run, with a migrated database to copy from. Not durable, but quick."""
    folder = Path(tempfile.mkdtemp(prefix="topup-pg-"))
    server = EmbeddedPostgres(folder, settings=FAST)

    with asyncio.Runner() as runner:
        runner.run(server.__aenter__())
        try:
            pid = server.find_pid()
            assert pid is not None
            os.setpriority(os.PRIO_PROCESS, pid, 10)
            _run(server.url, f"create database {TEMPLATE}")
            runner.run(upgrade(_sibling(server, TEMPLATE)))
            yield server
        finally:
            runner.run(server.__aexit__(None, None, None))
            shutil.rmtree(folder)


@pytest.fixture
def database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A new, migrated, empty database. Gone after the test, whoever is still connected."""
    name = f"t_{os.urandom(8).hex()}"
    _run(postgres.url, f"create database {name} template {TEMPLATE}")
    yield _sibling(postgres, name)
    _run(postgres.url, f"drop database {name} with (force)")


@pytest.fixture
def empty_database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A new database without a schema."""
    name = f"t_{os.urandom(8).hex()}"
    _run(postgres.url, f"create database {name}")
    yield _sibling(postgres, name)
    _run(postgres.url, f"drop database {name} with (force)")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Our pool on a database of this test's own."""
    store = Database(database_url)
    yield store
    await store.close()


@pytest.fixture(autouse=True)
async def no_task_left() -> AsyncIterator[None]:
    """Fail a test that leaves an asyncio task running: each has an owner who awaits it."""
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0)  # a cancelled task ends in the next round
    left = {task for task in asyncio.all_tasks() - before if not task.done()} - {asyncio.current_task()}
    assert not left, f"left running: {sorted(task.get_coro().__qualname__ for task in left)}"  # type: ignore[union-attr]


def _sibling(server: EmbeddedPostgres, name: str) -> str:
    return server.url.replace("/topup_watcher?", f"/{name}?")


def _run(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(statement.encode())
