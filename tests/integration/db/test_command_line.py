"""`topup-watcher db …`, beside an embedded server that somebody else uses."""

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.fakes.clock import ManualClock, counting_ids
from tests.integration.engine.polling import execute, fetch
from watcher.cli import app
from watcher.store.database import Database
from watcher.store.declare import declare_installation
from watcher.store.embedded import EmbeddedPostgres
from watcher.store.errors import StoreOccupied

CONFIG = """\
data_dir = "d"
[networks.ethereum]
http = ["http://127.0.0.1:1"]
[tenants.default]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The smallest configuration, with the embedded server."""
    path = tmp_path / "watcher.toml"
    path.write_text(CONFIG)
    return path


def call(*words: str, config: Path) -> tuple[int, str]:
    """Run a command as `main` does. Gives its exit status and what it printed."""
    result = CliRunner().invoke(app, ["db", *words, "--config", str(config)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


async def test_every_command_beside_a_running_server(config: Path, empty_database_url: str, tmp_path: Path) -> None:
    """Upgrade, check, backup, restore and move share the server of the one that runs, which outlives them."""
    clock = ManualClock()
    async with EmbeddedPostgres(tmp_path / "d", daemon=True) as server:

        async def db(*words: str) -> tuple[int, str]:
            return await asyncio.to_thread(call, *words, config=config)

        status, said = await db("check")
        assert (status, "FAULT  schema none: not" in said) == (1, True)
        assert "schema none -> 0" in (await db("upgrade"))[1]
        assert "nothing to do" in (await db("upgrade"))[1]
        database = Database(server.url)
        async with database.begin() as conn:
            await declare_installation(conn, now=clock.now(), new_id=counting_ids())
        await database.close()
        status, said = await db("check")
        assert (status, "ok     installation ins_000001" in said, "by socket" in said) == (0, True, True)
        assert "installation ins_000001" in (await db("backup", str(tmp_path / "b")))[1]
        with pytest.raises(StoreOccupied, match="--replace"):
            await db("restore", str(tmp_path / "b"))
        assert "restart the daemon" in (await db("restore", str(tmp_path / "b"), "--replace"))[1]
        assert "restored from a backup of" in (await db("check"))[1]
        assert "set database.url" in (await db("move", "--to", empty_database_url))[1]
        status, said = await db("check")
        assert (status, "FAULT  installation ins_000001: moved" in said) == (1, True)
        assert await fetch(empty_database_url, "select id from installation") == [("ins_000001",)]
        assert await fetch(server.url, "select 1") == [(1,)]


async def test_a_server_s_own_faults_are_told(database_url: str, tmp_path: Path) -> None:
    """What takes no writes is told, with the rest: a standby would be."""
    path = tmp_path / "watcher.toml"
    path.write_text(CONFIG.replace('data_dir = "d"', f'[database]\nurl = "{database_url}"'))
    ((name,),) = await fetch(database_url, "select current_database()")
    await execute(database_url, f"alter database {name} set default_transaction_read_only = on")
    status, said = await asyncio.to_thread(call, "check", config=path)
    assert (status, "FAULT  read only on" in said) == (1, True)


def test_a_move_to_something_else_is_refused(config: Path) -> None:
    """A URL that is no PostgreSQL is named by its option, and not repeated."""
    with pytest.raises(Exception, match="--to") as caught:
        call("move", "--to", "mysql://u:hunter2@h/x", config=config)
    assert "hunter2" not in str(caught.value)
