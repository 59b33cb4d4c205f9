"""A moment of the store as a file, and back: whole, compared, or not at all."""

import asyncio
import json
import resource
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from tests.integration.db.conftest import ODD
from tests.integration.engine.polling import execute, fetch
from tests.integration.watcher.world import World
from watcher.db.backup import back_up, restore
from watcher.store.blocking import connect, driver
from watcher.store.content import list_tables, spell_alike, sum_rows
from watcher.store.copying import AHEAD
from watcher.store.database import conninfo
from watcher.store.errors import BackupUnusable, SchemaTooNew, StoreOccupied, StoreUnavailable

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def find_sums(url: str) -> dict[str, tuple[int, str]]:
    """Rows and checksum of every table."""
    with connect(url) as conn:
        raw = driver(conn)
        spell_alike(raw)
        sums = {table.name: sum_rows(raw, table) for table in list_tables(raw)}
    return {name: (each.rows, each.sha256) for name, each in sums.items()}


async def test_what_is_put_back_is_what_was_there(
    world: World, database_url: str, empty_database_url: str, tmp_path: Path
) -> None:
    """Every table has the rows that it had, odd words included; only versions and the epoch are of a new life."""
    made = await asyncio.to_thread(back_up, database_url, tmp_path / "b", now=NOW)
    assert (made.sums["wallet"].rows, made.sums["top_up"].rows, made.sums["inbox"].rows) == (1, 1, 1)
    assert made.sums["procrastinate_jobs"].rows > 0
    await asyncio.to_thread(restore, empty_database_url, tmp_path / "b", replace=False, epoch="epo_new")
    before, after = find_sums(database_url), find_sums(empty_database_url)
    told_anew = {"installation", "wallet", "top_up", "app_user", "ask", "network_status"}
    assert {name for name in before if before[name] != after[name]} <= told_anew
    assert {name: rows for name, (rows, _) in after.items()} == {name: rows for name, (rows, _) in before.items()}
    assert await fetch(empty_database_url, "select id, digest, payload->>'odd' from inbox") == [
        (ODD, b"\x00\xff\n", ODD)
    ]
    ((version,),) = await fetch(database_url, "select version from wallet")
    assert await fetch(empty_database_url, "select version - 1000000, label from wallet") == [(version, ODD)]
    assert AHEAD == 1_000_000
    assert await fetch(empty_database_url, "select epoch, restored_from from installation") == [("epo_new", NOW)]


async def test_counting_goes_on(world: World, database_url: str, empty_database_url: str, tmp_path: Path) -> None:
    """The next job has a number that no job had before."""
    await asyncio.to_thread(back_up, database_url, tmp_path / "b", now=NOW)
    await asyncio.to_thread(restore, empty_database_url, tmp_path / "b", replace=False, epoch="e")
    sequence = "select nextval(pg_get_serial_sequence('procrastinate_jobs', 'id'))"
    assert await fetch(empty_database_url, sequence) == await fetch(database_url, sequence)
    events = "select count(*) from procrastinate_events"
    assert await fetch(empty_database_url, events) == await fetch(database_url, events)


async def test_a_backup_is_one_moment(world: World, database_url: str, tmp_path: Path) -> None:
    """While somebody writes row after row, what is copied belongs together: no event beyond the last position."""
    stop = asyncio.Event()

    async def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            await world.register(label=f"{number}")

    writing = asyncio.create_task(write())
    for _ in range(3):
        await asyncio.to_thread(back_up, database_url, tmp_path / "b", now=NOW)
        with zipfile.ZipFile(tmp_path / "b") as archive:
            last = int(archive.read("tables/event_position.copy").split()[1])
            positions = [int(line.split()[0]) for line in archive.read("tables/event.copy").splitlines()]
        assert max(positions) == last == len(positions)
    stop.set()
    await writing


async def test_a_used_store_is_not_overwritten_unasked(world: World, database_url: str, tmp_path: Path) -> None:
    """Without --replace a store with an installation is refused by name, and left as it is."""
    await asyncio.to_thread(back_up, database_url, tmp_path / "b", now=NOW)
    before = find_sums(database_url)
    with pytest.raises(StoreOccupied, match=r"installation ins_\w+ with 1 wallets"):
        await asyncio.to_thread(restore, database_url, tmp_path / "b", replace=False, epoch="e")
    assert find_sums(database_url) == before


async def test_replacing_drops_what_came_after_the_backup(world: World, database_url: str, tmp_path: Path) -> None:
    """With --replace the store is what the backup says; what is not ours in the same database stays."""
    await asyncio.to_thread(back_up, database_url, tmp_path / "b", now=NOW)
    await world.register(id="w-2")
    await execute(database_url, "create table theirs (n int); insert into theirs values (7)")
    await asyncio.to_thread(restore, database_url, tmp_path / "b", replace=True, epoch="e")
    assert await fetch(database_url, "select id from wallet") == [("w-1",)]
    assert await fetch(database_url, "select n from theirs") == [(7,)]


async def test_replacing_cuts_running_daemons_off(world: World, database_url: str, tmp_path: Path) -> None:
    """Whatever replica a connection belongs to, it ends: at the next one its daemon meets the new epoch."""
    await asyncio.to_thread(back_up, database_url, tmp_path / "b", now=NOW)
    async with await psycopg.AsyncConnection.connect(conninfo(database_url, replica="host:1:run_1")) as daemon:
        await asyncio.to_thread(restore, database_url, tmp_path / "b", replace=True, epoch="e")
        with pytest.raises(psycopg.OperationalError):
            await daemon.execute("select 1")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[300] ^= 1
    path.write_bytes(data)


def _rewrite(path: Path, member: str, change: Callable[[bytes], bytes]) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members[member] = change(members[member])
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def _lose_a_row(path: Path) -> None:
    _rewrite(path, "tables/event.copy", lambda data: data[data.index(b"\n") + 1 :])


def _lose_a_table(path: Path) -> None:
    def change(data: bytes) -> bytes:
        manifest = json.loads(data)
        del manifest["columns"]["event"]
        del manifest["sums"]["event"]
        return json.dumps(manifest).encode()

    _rewrite(path, "manifest.json", change)


def _come_from_later(path: Path) -> None:
    _rewrite(path, "manifest.json", lambda data: data.replace(b'"schema": "0', b'"schema": "9'))


def _be_something_else(path: Path) -> None:
    path.write_text("select 1;")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_cut, "no backup"),
        (_flip, "damaged"),
        (_lose_a_row, "rows of event are not those"),
        (_lose_a_table, "does not have the tables"),
        (_come_from_later, "newer release"),
        (_be_something_else, "no backup"),
    ],
)
async def test_a_spoiled_backup_changes_nothing(
    spoil: Callable[[Path], None], said: str, world: World, database_url: str, tmp_path: Path
) -> None:
    """Cut short, altered or foreign: one sentence, before or with everything undone."""
    await asyncio.to_thread(back_up, database_url, tmp_path / "b", now=NOW)
    spoil(tmp_path / "b")
    before = find_sums(database_url)
    with pytest.raises(BackupUnusable, match=said) as caught:
        await asyncio.to_thread(restore, database_url, tmp_path / "b", replace=True, epoch="e")
    assert "\n" not in str(caught.value)
    assert find_sums(database_url) == before


async def test_a_backup_is_whole_or_not_there(world: World, database_url: str, tmp_path: Path) -> None:
    """Readable by its owner alone; where it can't be written nothing is left, and the one before stays."""
    path = tmp_path / "b"
    await asyncio.to_thread(back_up, database_url, path, now=NOW)
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(BackupUnusable, match="can't be written"):
        await asyncio.to_thread(back_up, database_url, tmp_path / "none" / "b", now=NOW)
    kept = path.read_bytes()
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(kept) // 2, resource.RLIM_INFINITY))
    try:
        with pytest.raises(BackupUnusable, match="can't be written: File too large"):
            await asyncio.to_thread(back_up, database_url, path, now=NOW)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert path.read_bytes() == kept
    assert not (tmp_path / "b.part").exists()


async def test_only_a_store_of_this_release_is_backed_up(database_url: str, tmp_path: Path) -> None:
    """An unused database and a newer release's are refused with a sentence each."""
    with pytest.raises(StoreUnavailable, match="No daemon has used"):
        await asyncio.to_thread(back_up, database_url, tmp_path / "b", now=NOW)
    await execute(database_url, "update alembic_version set version_num = '9999'")
    with pytest.raises(SchemaTooNew, match="schema 9999"):
        await asyncio.to_thread(back_up, database_url, tmp_path / "b", now=NOW)
    assert not (tmp_path / "b").exists()
