"""`topup-watcher pause`, `resume` and `release` as processes, beside whoever else uses the store."""

import asyncio
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from tests.fakes.settings import EVM
from tests.nodes.anvil import ROOT
from tests.nodes.processes import COMMAND
from watcher.store.database import Database
from watcher.store.holds import STORM, Scope, find_holds, put_hold

CONFIG = """\
database.url = {url}
console = false
[networks.local-evm]
http = ["http://127.0.0.1:1"]
[tenants.default]
"""


async def run(folder: Path, *words: str) -> tuple[int, str]:
    def start() -> subprocess.CompletedProcess[str]:
        command = [*COMMAND, *words, "--config", str(folder / "watcher.toml")]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    done = await asyncio.to_thread(start)
    return done.returncode, (done.stdout + done.stderr).strip()


async def test_the_commands_say_what_they_did(database: Database, database_url: str, tmp_path: Path) -> None:
    """Each works beside a running daemon, is harmless when it is repeated, and refuses what isn't configured."""
    await asyncio.to_thread((tmp_path / "watcher.toml").write_text, CONFIG.format(url=json.dumps(database_url)))
    assert await run(tmp_path, "pause", "--tenant", "default") == (0, "tenant default: paused")
    assert await run(tmp_path, "pause", "--tenant", "default") == (0, "tenant default: paused already")
    assert await run(tmp_path, "pause", "--network", EVM) == (0, "network local-evm: paused")
    assert await run(tmp_path, "pause", "--all") == (0, "everything: paused")
    async with database.begin() as conn:
        holds = await find_holds(conn)
        assert (holds.everything, holds.tenants, holds.paused) == (True, frozenset({"default"}), frozenset({EVM}))
        await put_hold(conn, Scope("network", EVM), STORM, now=datetime.now(UTC))
    for words in (("--all",), ("--tenant", "default"), ("--network", "local-evm")):
        status, said = await run(tmp_path, "resume", *words)
        assert (status, said.endswith(": resumed")) == (0, True)
    assert await run(tmp_path, "resume", "--all") == (0, "everything: was not paused")
    async with database.begin() as conn:
        assert set((await find_holds(conn)).storms) == {EVM}
    assert await run(tmp_path, "release", "local-evm") == (0, "local-evm: released")
    assert await run(tmp_path, "release", "local-evm") == (0, "local-evm: was not held")
    status, said = await run(tmp_path, "release", "nowhere")
    assert (status, "NETWORK" in said) == (2, True)
    status, said = await run(tmp_path, "pause")
    assert (status, "exactly one" in said) == (2, True)
