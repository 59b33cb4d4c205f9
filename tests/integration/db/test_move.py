"""The store on another server: compared, and closed behind."""

import asyncio
from datetime import UTC, datetime

import psycopg
import pytest

from tests.integration.db.test_backup import find_sums
from tests.integration.engine.polling import execute, fetch, until
from tests.integration.watcher.world import World
from watcher.db.move import move
from watcher.store.declare import declare_installation
from watcher.store.errors import StoreOccupied, StoreReplaced, StoreUnavailable

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


async def test_all_of_it_arrives_and_the_old_store_is_closed(
    world: World, database_url: str, empty_database_url: str
) -> None:
    """Every table alike but for the epoch; whoever starts on the old store is told that it moved."""
    before = find_sums(database_url)
    rows = await asyncio.to_thread(move, database_url, empty_database_url, epoch="epo_new", now=NOW)
    after = find_sums(empty_database_url)
    assert {name for name in before if before[name] != after[name]} == {"installation"}
    assert rows == sum(count for count, _ in before.values())
    assert await fetch(empty_database_url, "select epoch, moved_at from installation") == [("epo_new", None)]
    with pytest.raises(StoreReplaced, match="moved to another server on 2026-01-02"):
        async with world.database.begin() as conn:
            await declare_installation(conn, now=NOW, new_id=world.new_id)


async def test_nothing_is_written_while_it_moves(world: World, database_url: str, empty_database_url: str) -> None:
    """A writer that comes in between waits, and does not get through: it is in neither store, rather than in one."""
    async with await psycopg.AsyncConnection.connect(database_url) as holder:
        await holder.execute("insert into tenant values ('early', now())")
        moving = asyncio.create_task(
            asyncio.to_thread(move, database_url, empty_database_url, epoch="e", now=NOW),
        )
        waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like 'lock table%'"

        async def waiting() -> bool:
            return await fetch(database_url, waits) == [(1,)]

        await until(waiting, what="the move waits for a writer")
        await holder.commit()
    await moving
    tenants = "select id from tenant order by id"
    assert await fetch(empty_database_url, tenants) == [("default",), ("early",)]
    assert await fetch(database_url, tenants) == [("default",), ("early",)]


async def test_what_cannot_be_moved_is_told_and_left(world: World, database_url: str, empty_database_url: str) -> None:
    """Onto itself, onto a used database, onto a server that is away: a sentence, and the store stays open."""
    with pytest.raises(StoreOccupied):
        await asyncio.to_thread(move, database_url, database_url, epoch="e", now=NOW)
    with pytest.raises(StoreUnavailable, match="OperationalError"):
        await asyncio.to_thread(move, database_url, "postgresql://u:hunter2@127.0.0.1:1/x", epoch="e", now=NOW)
    assert await fetch(database_url, "select moved_at from installation") == [(None,)]
    await execute(database_url, "update alembic_version set version_num = '0004'")
    with pytest.raises(StoreUnavailable, match="db upgrade"):
        await asyncio.to_thread(move, database_url, empty_database_url, epoch="e", now=NOW)
    assert await fetch(empty_database_url, "select count(*) from pg_tables where schemaname = 'public'") == [(0,)]
