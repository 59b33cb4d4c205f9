"""What every test may ask for: a database of its own, and the rule that none leaves a task behind."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from watcher.store.database import Database
from watcher.store.embedded import EmbeddedPostgres
from watcher.store.migrate import upgrade

FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"}


@dataclass(frozen=True)
class Server:
    """A server to make databases on, and a migrated one to copy from."""

    url: str
    template: str


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """The server that TEST_DATABASE_URL names, or an embedded one of this test run: not durable, but quick."""
    with asyncio.Runner() as runner:
        named = os.environ.get("TEST_DATABASE_URL")
        folder = Path(tempfile.mkdtemp(prefix="topup-pg-"))
        server = None if named else EmbeddedPostgres(folder, settings=FAST)
        if server is not None:
            runner.run(server.__aenter__())
            pid = server.find_pid()
            assert pid is not None
            os.setpriority(os.PRIO_PROCESS, pid, 10)
        found = Server(named or (server.url if server else ""), f"template_{os.urandom(8).hex()}")
        try:
            _run(found.url, f"create database {found.template}")
            runner.run(upgrade(sibling(found.url, found.template)))
            yield found
            _run(found.url, f"drop database {found.template} with (force)")
        finally:
            if server is not None:
                runner.run(server.__aexit__(None, None, None))
            shutil.rmtree(folder)


@pytest.fixture
def database_url(postgres: Server) -> Iterator[str]:
    """A new, migrated, empty database. Gone after the test, whoever is still connected."""
    name = f"t_{os.urandom(8).hex()}"
    _run(postgres.url, f"create database {name} template {postgres.template}")
    yield sibling(postgres.url, name)
    _run(postgres.url, f"drop database {name} with (force)")


@pytest.fixture
def empty_database_url(postgres: Server) -> Iterator[str]:
    """A new database without a schema."""
    name = f"t_{os.urandom(8).hex()}"
    _run(postgres.url, f"create database {name}")
    yield sibling(postgres.url, name)
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


def sibling(url: str, name: str) -> str:
    """Another database of the same server."""
    return make_url(url).set(database=name).render_as_string(hide_password=False).replace(" ", "%20")


def _run(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(statement.encode())
