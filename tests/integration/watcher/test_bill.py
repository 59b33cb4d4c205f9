"""`topup-watcher bill`: what a proposed transaction needs, printed for people."""

import asyncio
import json
import subprocess
from pathlib import Path

import pytest

from config.errors import ConfigError
from tests.nodes.anvil import COIN, Anvil
from tests.nodes.processes import COMMAND
from watcher.bill import read_transaction

pytestmark = [pytest.mark.evm]
SENDER = "0xB00F0759DbeeF5E543Cc3E3B07A6442F5f3928a2"
CONFIG = """\
[networks.local-evm]
http = ["{rpc}"]
[tenants.default]
"""


async def run_bill(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, "bill", "--config", str(folder / "watcher.toml"), *arguments]
    return await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=False)


async def test_a_bill_says_what_is_needed_and_what_is_missing(tmp_path: Path) -> None:
    """A transfer of 2 ETH by somebody who has 1: value and gas, needed, balance, missing, and that it was proven."""
    async with Anvil() as anvil:
        await anvil.rpc("anvil_setBalance", SENDER, hex(COIN))
        (tmp_path / "watcher.toml").write_text(CONFIG.format(rpc=anvil.http))
        proposed = {"to": "0x000000000000000000000000000000000000dEaD", "value": hex(2 * COIN), "gas": "0x5208"}
        file = tmp_path / "tx.json"
        file.write_text(json.dumps({**proposed, "maxFeePerGas": hex(10**9)}))
        ran = await run_bill(tmp_path, "--network", "local-evm", "--from", SENDER, "--tx", str(file))
        wrong = await run_bill(tmp_path, "--network", "base", "--from", SENDER, "--tx", "{}")
        empty = await run_bill(tmp_path, "--network", "local-evm", "--from", SENDER, "--tx", '{"value": "2"}')
    assert ran.returncode == 0, ran.stderr
    said = ran.stdout.split()
    assert "exact," in said
    assert (said[said.index("needed") + 1], said[said.index("missing") + 1]) == ("2.000021", "1.000021")
    assert (wrong.returncode, "--network" in wrong.stderr) == (2, True)
    assert (empty.returncode, "--tx" in empty.stderr, "Traceback" in empty.stderr) == (2, True, False)


def test_what_is_no_json_is_said_so() -> None:
    """One sentence that names the option."""
    with pytest.raises(ConfigError, match="--tx"):
        read_transaction('{"to": ')
    assert read_transaction("AQAB") == "AQAB"
