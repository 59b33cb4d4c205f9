"""The schema by versions is the schema of the code."""

import asyncio
import hashlib
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any, cast

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from procrastinate.schema import SchemaManager
from sqlalchemy import Connection, event, text

from watcher.store import migrate
from watcher.store.database import Database
from watcher.store.errors import SchemaTooNew, StoreUnavailable
from watcher.store.tables import metadata

PROCRASTINATE_TABLES = {
    "procrastinate_jobs",
    "procrastinate_events",
    "procrastinate_periodic_defers",
    "procrastinate_workers",
}


def _differences(conn: Connection) -> list[Any]:
    def include_name(name: str | None, kind: str, parents: object) -> bool:
        return not (kind == "table" and (name or "").startswith("procrastinate_"))

    options = {"include_name": include_name, "compare_type": True, "compare_server_default": True}
    return cast("list[Any]", compare_metadata(MigrationContext.configure(conn, opts=options), metadata))


def _checks_and_partial_indexes(conn: Connection) -> set[tuple[str, str]]:
    """What `compare_metadata` does not look at."""
    checks = (
        "select conrelid::regclass::text, conname, pg_get_constraintdef(oid) from pg_constraint where contype = 'c'"
    )
    indexes = "select tablename, indexname, indexdef from pg_indexes where schemaname = 'public'"
    rows = [*conn.execute(text(checks)), *conn.execute(text(indexes))]
    return {(name, definition) for table, name, definition in rows if table in metadata.tables}


async def test_versions_one_by_one_make_the_tables_of_the_code(empty_database_url: str) -> None:
    """Each version applies after the one before, and together they make exactly `watcher.store.tables`."""
    scripts = ScriptDirectory.from_config(migrate.make_config())
    for script in reversed(list(scripts.walk_revisions())):
        await migrate.upgrade(empty_database_url, revision=script.revision)
    migrated = Database(empty_database_url)
    async with migrated.begin() as conn:
        assert await conn.run_sync(_differences) == []
        by_versions = await conn.run_sync(_checks_and_partial_indexes)
        tables = {row[0] for row in await conn.execute(text("select tablename from pg_tables"))}
        assert tables >= PROCRASTINATE_TABLES
        await conn.execute(text("drop schema public cascade"))
        await conn.execute(text("create schema public"))
        await conn.run_sync(metadata.create_all)
        by_code = await conn.run_sync(_checks_and_partial_indexes)
    await migrated.close()
    assert by_versions == by_code
    assert "uq_top_up_open" in dict(by_code)


async def test_two_starters_at_once(empty_database_url: str) -> None:
    """Of several that upgrade at once, one does it and the others find it done."""
    await asyncio.gather(*(migrate.upgrade(empty_database_url) for _ in range(4)))
    await migrate.upgrade(empty_database_url)
    with psycopg.connect(empty_database_url) as conn:
        assert conn.execute("select last from event_position").fetchall() == [(0,)]


async def test_newer_schema_is_refused(database_url: str) -> None:
    """A database written by a newer release is refused with a sentence, and left alone."""
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute("update alembic_version set version_num = '9999'")
        with pytest.raises(SchemaTooNew, match="schema 9999"):
            await migrate.upgrade(database_url)
        assert conn.execute("select version_num from alembic_version").fetchall() == [("9999",)]


async def test_connection_lost_at_each_statement(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever statement of an upgrade the connection dies at, nothing is left half done and the next one succeeds."""
    for fatal in count(1):
        with monkeypatch.context() as patch:
            patch.setattr(migrate, "upgrade_on", partial(_upgrade_and_die, migrate.upgrade_on, fatal))
            try:
                await migrate.upgrade(empty_database_url)
            except StoreUnavailable:
                with psycopg.connect(empty_database_url) as conn:
                    left = conn.execute("select count(*) from pg_tables where schemaname = 'public'").fetchone()
                assert left == (0,), f"after statement {fatal}"
            else:
                break
    assert fatal > len(metadata.tables)


def _upgrade_and_die(original: Callable[[Connection, str], None], fatal: int, conn: Connection, revision: str) -> None:
    seen = count(1)

    def die(*_: object) -> None:
        if next(seen) == fatal:
            conn.connection.driver_connection.pgconn.finish()  # type: ignore[union-attr]

    event.listen(conn, "before_cursor_execute", die)
    original(conn, revision)


def test_procrastinate_schema_is_the_one_our_versions_apply() -> None:
    """Version 0001 takes procrastinate's schema from the library: when that changes, a version of ours must follow."""
    digest = hashlib.sha256(SchemaManager.get_schema().encode()).hexdigest()
    assert digest == "c70ec4b400a60ad9592787653aae5ae77ae41bf801d56b5bd2712751a07f2009"
