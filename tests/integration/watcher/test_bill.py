"""`topup-watcher bill`: what a proposed transaction needs, printed for people."""

import asyncio
import json
import subprocess
from pathlib import Path

import pytest
from eth_account import Account

from config.errors import ConfigError
from tests.nodes.anvil import COIN, Anvil
from tests.nodes.processes import COMMAND
from watcher.bill import as_base64, read_transaction

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


async def test_a_serialised_transaction_is_read_too(tmp_path: Path) -> None:
    """Signed hexadecimal gives the bill of its signer; of anybody else it is refused, and nonsense is, in one line."""
    account = Account.create()
    fees = {"maxFeePerGas": 10**9, "maxPriorityFeePerGas": 1, "gas": 21_000, "nonce": 0, "chainId": 31337, "type": 2}
    sent = {"to": SENDER, "value": 2 * COIN, "data": b"", **fees}
    raw = account.sign_transaction(sent).raw_transaction.to_0x_hex()
    async with Anvil() as anvil:
        (tmp_path / "watcher.toml").write_text(CONFIG.format(rpc=anvil.http))
        (tmp_path / "tx.hex").write_text(raw + "\n")
        (tmp_path / "tx.bin").write_bytes(b"\xff\x00\xfe")
        found = [
            await run_bill(tmp_path, "--network", "local-evm", "--from", sender, "--tx", given)
            for sender, given in (
                (account.address, raw),
                (account.address, str(tmp_path / "tx.hex")),
                (SENDER, raw),
                (SENDER, "0x" + "ab" * 500),
                (SENDER, str(tmp_path / "tx.bin")),
            )
        ]
    for ran in found[:2]:
        assert ran.returncode == 0, ran.stderr
        assert "proven exact" in ran.stdout
        assert "2.000021" in ran.stdout
    for ran, words in zip(found[2:], ("from", "--tx", "--tx"), strict=True):
        assert (ran.returncode, words in ran.stderr, "Traceback" in ran.stderr) == (2, True, False)
        assert len(ran.stderr.strip().splitlines()) <= 2, ran.stderr


def test_a_message_of_solana_may_be_hexadecimal() -> None:
    """It is turned into the base64 that the network's own tools write; what is no hexadecimal stays."""
    assert as_base64("0x01000103ff") == as_base64("01000103FF") == "AQABA/8="
    assert as_base64("AQABA/8=") == "AQABA/8="
    assert as_base64("AQAB") == "AQAB"


def test_text_longer_than_a_name_is_no_file() -> None:
    """A transaction is too long for a file's name, and taken for what it is."""
    assert read_transaction("ab" * 600) == "ab" * 600


def test_what_is_no_json_is_said_so() -> None:
    """One sentence that names the option."""
    with pytest.raises(ConfigError, match="--tx"):
        read_transaction('{"to": ')
    assert read_transaction("AQAB") == "AQAB"
