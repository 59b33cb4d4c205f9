"""The embedded PostgreSQL: one server a directory, found alive, dead or left behind."""

import asyncio
import os
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from tests.integration.engine.polling import execute, fetch, until
from tests.integration.engine.worker import TABLES, make_engine
from watcher.jobs.defer import defer
from watcher.metrics import Metrics
from watcher.store.database import Database
from watcher.store.embedded import EmbeddedPostgres
from watcher.store.errors import StoreInUse, StoreUnavailable
from watcher.store.migrate import upgrade
from watcher.supervise import Supervisor


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder with a short path, for a socket. Nothing may run on it afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="topup-pg-"))
    yield folder
    left = _processes_on(folder)
    for pid in left:
        os.kill(pid, signal.SIGQUIT)
    shutil.rmtree(folder)
    assert not left


def _processes_on(folder: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.fsencode(folder) in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def _mode(path: Path | str) -> int:
    return Path(path).stat().st_mode & 0o777


def _owner(pid: int | None) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


def _exists(path: str) -> bool:
    return Path(path).exists()


def _environment(pid: int | None) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


async def _answers(url: str) -> bool:
    return await fetch(url, "select 1") == [(1,)]


async def test_rows_outlive_a_stop_and_nothing_else_does(data_dir: Path) -> None:
    """What was committed is there at the next start; after a stop no process and no socket are left."""
    async with EmbeddedPostgres(data_dir, daemon=True) as server:
        await execute(server.url, "create table kept (n int); insert into kept values (7)")
    assert not _processes_on(data_dir)
    async with EmbeddedPostgres(data_dir, daemon=True) as server:
        assert await fetch(server.url, "select n from kept") == [(7,)]


async def test_a_second_daemon_is_refused_and_a_command_is_not(data_dir: Path) -> None:
    """Beside a daemon another one is refused with a sentence; a command shares the server, and does not stop it."""
    async with EmbeddedPostgres(data_dir, daemon=True) as daemon:
        with pytest.raises(StoreInUse, match=r"already running.*database\.url names"):
            await EmbeddedPostgres(data_dir, daemon=True).__aenter__()
        async with EmbeddedPostgres(data_dir) as command:
            assert command.find_pid() == daemon.find_pid()
        assert await _answers(daemon.url)


async def test_the_last_one_out_stops_the_server(data_dir: Path) -> None:
    """A daemon that ends while a command is at work leaves it the server; the command stops it then."""
    daemon = EmbeddedPostgres(data_dir, daemon=True)
    await daemon.__aenter__()
    async with EmbeddedPostgres(data_dir) as command:
        await daemon.__aexit__(None, None, None)
        assert await _answers(command.url)
        assert _processes_on(data_dir)
    assert not _processes_on(data_dir)


async def test_several_that_start_at_once_share_one_server(data_dir: Path) -> None:
    """Starts are one after another: of five at once on a new directory, one makes the server and all use it."""
    servers = [EmbeddedPostgres(data_dir) for _ in range(5)]
    await asyncio.gather(*(server.__aenter__() for server in servers))
    assert len({server.find_pid() for server in servers}) == 1
    await asyncio.gather(*(server.__aexit__(None, None, None) for server in servers))


async def test_the_server_of_a_killed_daemon_is_taken_over(data_dir: Path) -> None:
    """After kill -9 of the daemon its server lives on; the next daemon is not refused, and goes on with that server."""
    command = [sys.executable, "-m", "tests.integration.engine.daemon", str(data_dir)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    pid = int(await process.stdout.readline())
    process.kill()
    await process.wait()
    async with EmbeddedPostgres(data_dir, daemon=True) as server:
        assert server.find_pid() == pid
        assert await _answers(server.url)


async def test_half_made_directories_are_made_anew(data_dir: Path) -> None:
    """A start that was killed while making the data directory leaves nothing that the next start stumbles over."""
    half = data_dir / "postgres.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    async with EmbeddedPostgres(data_dir) as server:
        assert await _answers(server.url)
    assert not half.exists()


async def test_a_process_id_that_belongs_to_somebody_else_is_not_believed(data_dir: Path) -> None:
    """After a crash of the machine the id in the pid file may be anybody's: the server starts all the same."""
    path = data_dir / "postgres" / "postmaster.pid"
    async with EmbeddedPostgres(data_dir) as server:
        lines = path.read_text().splitlines(keepends=True)
        owner = _owner(server.find_pid())
    stranger = await asyncio.create_subprocess_exec("sleep", "60", user=owner)
    path.write_text("".join([f"{stranger.pid}\n", *lines[1:]]))
    try:
        async with EmbeddedPostgres(data_dir) as server:
            assert await _answers(server.url)
        assert stranger.returncode is None
    finally:
        stranger.kill()
        await stranger.wait()


async def test_a_long_path_gets_a_short_socket(data_dir: Path) -> None:
    """A data directory whose path is too long for a socket works, and its socket's folder goes with the server."""
    deep = data_dir / ("d" * 60) / ("e" * 60)
    async with EmbeddedPostgres(deep) as server:
        assert await _answers(server.url)
        socket_folder = server.url.rpartition("host=")[2]
        assert _mode(socket_folder) == 0o700
    assert not _exists(socket_folder)


async def test_another_release_s_directory_is_refused(data_dir: Path) -> None:
    """A directory of another PostgreSQL release is refused with a sentence that names both."""
    (data_dir / "postgres").mkdir()
    (data_dir / "postgres" / "PG_VERSION").write_text("16\n")
    with pytest.raises(StoreUnavailable, match=r"16.*18"):
        await EmbeddedPostgres(data_dir).__aenter__()


async def test_only_its_owner_reaches_the_server(data_dir: Path) -> None:
    """The server listens on a socket in a folder that is closed to others, and on no network address."""
    async with EmbeddedPostgres(data_dir) as server:
        assert _mode(data_dir / "postgres") == 0o700
        assert await fetch(server.url, "show listen_addresses") == [("",)]
        pid = server.find_pid()
        assert b"HOME=" not in _environment(pid)


async def test_a_killed_server_is_started_again_and_jobs_go_on(data_dir: Path) -> None:
    """kill -9 of the server under load, three times: it is started again, and every job has its effect once."""
    jobs = 90
    async with EmbeddedPostgres(data_dir, daemon=True) as server:
        await upgrade(server.url)
        await execute(server.url, TABLES)
        database = Database(server.url)
        async with database.begin() as conn:
            for number in range(jobs):
                await defer(conn, "write", number=number)

        async def done(share: int) -> bool:
            return (await fetch(server.url, f"select count(*) >= {share} from effect"))[0][0] is True  # noqa: S608

        async def settled() -> bool:
            return await fetch(server.url, "select count(*) from procrastinate_jobs") == [(0,)]

        async with Supervisor(Metrics(CollectorRegistry()), random.random) as tasks:
            tasks.start("postgres", server.watch)
            tasks.start("jobs", make_engine(server.url, database, "here", concurrency=2).run)
            for share in (5, 20, 40):
                await until(lambda share=share: done(share), what=f"{share} effects")  # type: ignore[misc]
                pid = server.find_pid()
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
            await until(lambda: done(jobs), seconds=60, what="all effects")
            await until(settled, what="no job left")
            assert server.restarts >= 3
        await database.close()


async def test_a_vanished_directory_is_not_made_anew_under_a_running_daemon(data_dir: Path) -> None:
    """When the data directory is gone, watching fails with a sentence: an empty database would be a lie."""
    async with EmbeddedPostgres(data_dir, daemon=True) as server:
        pid = server.find_pid()
        assert pid is not None
        (data_dir / "postgres").rename(data_dir / "elsewhere")
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(StoreUnavailable, match="vanished"):
            await server.watch()
