"""`topup-watcher wallets import` and `export`: files into the store and out of it, beside whoever else uses it."""

import asyncio
import json
import stat
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from config.errors import ConfigError
from config.model import Settings
from tests.fakes.settings import make_settings
from tests.integration.watcher.world import ADDRESS, World
from tests.nodes.processes import COMMAND
from watcher import bulk_files
from watcher.bulk_files import export_file, import_file
from watcher.store.database import Database
from watcher.store.tables import wallet, wallet_address

CONFIG = """\
database.url = {url}
console = false
[networks.local-evm]
http = ["http://127.0.0.1:1"]
[policies.default]
networks = ["local-evm"]
[tenants.default]
"""


def line(wallet_id: str, **changes: Any) -> str:
    return json.dumps({"id": wallet_id, "addresses": {"local-evm": ADDRESS}, **changes}) + "\n"


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return replace(make_settings(tmp_path), database_url=database_url)


async def take(settings: Settings, content: str) -> int:
    """Import a file of this content."""
    path = settings.data_dir / "in.ndjson"
    path.write_text(content)
    return await asyncio.to_thread(import_file, settings, path, tenant="default")


async def count(database: Database) -> int:
    async with database.begin() as conn:
        return int((await conn.execute(select(func.count()).select_from(wallet))).scalar_one())


async def test_a_file_is_taken_in_and_repeated_without_harm(
    database: Database, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """A store that no daemon ever used will do; the second time nothing changes, and both say what they did."""
    content = "".join(line(f"w-{i}") for i in range(250))
    assert await take(settings, content) == 0
    assert await take(settings, content + line("w-x", initial="ask")) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "250 lines: 250 created, 0 updated, 0 unchanged, 0 refused",
        "251 lines: 1 created, 0 updated, 250 unchanged, 0 refused",
    ]
    assert await count(database) == 251


async def test_wallets_from_a_file_are_watched_by_a_running_daemon(database: Database, settings: Settings) -> None:
    """It takes them up as those of the API."""
    world = await World(database, settings).start()
    await take(settings, line("w-1"))
    await world.observer.refresh_watched()
    await world.step()
    async with database.begin() as conn:
        since = (await conn.execute(select(wallet_address.c.watched_since))).scalar_one()
    assert since == {"height": 1}


async def test_refused_lines_are_printed_with_number_and_reason(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line each fault; what a terminal would obey is not printed as it is."""
    content = line("w-1") + "{\n" + line("w-2", user="nobody", policy="nope") + line("w-3", **{"\x1b[2J": 1})
    assert await take(settings, content) == 3
    printed = capsys.readouterr().out.splitlines()
    assert [text.partition(": ")[0] for text in printed] == ["line 2", "line 3", "line 3", "line 4"]
    assert "line 3: w-2: /user: no such user; PUT /v1/users/{id} first" in printed
    assert printed[3] == "line 4: w-3: /?[2J: is not a known field"


async def test_how_far_it_is_is_said_in_plain_lines_without_a_terminal(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Now and then, not for each batch."""
    monkeypatch.setattr(bulk_files, "SAID_EVERY", 200)
    await take(settings, "{\n" * 650)
    assert [text.partition(" ")[0] for text in capsys.readouterr().err.splitlines()] == ["200", "400", "600", "650"]


async def test_a_file_comes_out_as_it_went_in(settings: Settings, tmp_path: Path) -> None:
    """Readable by its owner alone, in place of an older one, and nothing half-written beside it."""
    await take(settings, "".join(line(f"w-{i}", label=f"{i}") for i in range(3)))
    path = tmp_path / "out.ndjson"
    path.write_text("older")
    assert await asyncio.to_thread(export_file, settings, path, tenant="default") == 3
    bodies = [json.loads(text) for text in path.read_text().splitlines()]
    assert [(b["id"], b["label"], b["initial"]) for b in bodies] == [
        (f"w-{i}", f"{i}", "wait_for_drop") for i in range(3)
    ]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.with_name("out.ndjson.part").exists()


async def test_an_unknown_tenant_and_a_place_that_is_none_are_told(settings: Settings, tmp_path: Path) -> None:
    """Before anything is opened or written."""
    for act in (import_file, export_file):
        with pytest.raises(ConfigError, match="--tenant"):
            await asyncio.to_thread(act, settings, tmp_path / "x", tenant="nobody")
        with pytest.raises(ConfigError, match="can't be read or written"):
            await asyncio.to_thread(act, settings, tmp_path / "none" / "x", tenant="default")


async def test_the_commands_say_by_their_exit_how_it_went(database_url: str, tmp_path: Path) -> None:
    """0 all taken, 1 some refused, 2 a mistake on the command line; never a traceback."""
    (tmp_path / "watcher.toml").write_text(CONFIG.format(url=json.dumps(database_url)))
    (tmp_path / "good.ndjson").write_text(line("w-1"))
    (tmp_path / "bad.ndjson").write_text(line("w-2", user="nobody"))
    runs = {
        ("import", "good.ndjson"): (0, "1 lines: 1 created"),
        ("import", "bad.ndjson"): (1, "1 refused"),
        ("import", "none.ndjson"): (2, "Usage"),
        ("export", "out.ndjson"): (0, "1 wallets"),
        ("export", "out.ndjson", "--tenant", "nobody"): (2, "--tenant"),
    }
    for (verb, name, *options), (status, word) in runs.items():
        where = (str(tmp_path / name), "--config", str(tmp_path / "watcher.toml"))
        ran = await asyncio.to_thread(run, verb, *where, *options)
        assert (ran.returncode, word in ran.stderr, "Traceback" in ran.stderr) == (status, True, False), ran
    assert json.loads((tmp_path / "out.ndjson").read_text())["id"] == "w-1"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, "wallets", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
