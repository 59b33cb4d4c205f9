"""Every command in the pages about the API is run, in order, as a reader would run it."""

import asyncio
import re
import subprocess
from pathlib import Path

import aiohttp
import pytest

from tests.nodes.anvil import COIN, Anvil, free_port
from tests.nodes.processes import DaemonProcess, SandboxProcess, new_secret

pytestmark = [pytest.mark.acceptance, pytest.mark.evm]

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("recipes.md", "api.md")
WALLET = "0xB00F0759DbeeF5E543Cc3E3B07A6442F5f3928a2"
CONFIG = """\
data_dir = "data"
console = false
allow_private_receivers = true
[stripe]
api_base = "{sandbox}"
poll_seconds = 1
[networks.local-evm]
http = ["{rpc}"]
ws = ["{ws}"]
[rates.table]
"ETH/usd" = "2500.00"
[policies.default]
networks = ["local-evm"]
[tenants.default]
stripe_secret_key = "sk_test_docs"
stripe_webhook_secrets = ["whsec_sandbox"]
[tenants.default.sources.app]
secret_file = "source_secret"
"""
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def read_commands(page: str) -> str:
    """What a reader copies from a page."""
    blocks: list[str] = BLOCK.findall((ROOT / "docs" / page).read_text(encoding="utf-8"))
    assert blocks
    return "\n".join(blocks)


async def test_every_command_of_the_pages_works(tmp_path: Path) -> None:
    """Exit status 0 for each, in a shell that stops at the first that fails."""
    (tmp_path / "source_secret").write_text(new_secret())
    async with Anvil() as anvil, aiohttp.ClientSession() as http:
        await anvil.rpc("anvil_setBalance", WALLET, hex(COIN // 10))
        port = free_port()
        hook = ("--webhook-url", f"http://127.0.0.1:{port}/webhooks/stripe", "--webhook-secret", "whsec_sandbox")
        sandbox = SandboxProcess(tmp_path, "--evm-rpc", anvil.http, *hook)
        sandbox.start()
        await sandbox.ready(http)
        daemon = DaemonProcess(tmp_path, CONFIG.format(sandbox=sandbox.url, rpc=anvil.http, ws=anvil.ws), port=port)
        (tmp_path / "api_key").write_text(await asyncio.to_thread(daemon.create_key))
        daemon.start()
        try:
            await daemon.ready(http, "local-evm")
            script = "set -euo pipefail\n" + "\n".join(read_commands(page) for page in PAGES)
            script = script.replace("127.0.0.1:8080", f"127.0.0.1:{port}")
            command = ["bash", "-x", "-c", script]
            ran = await asyncio.to_thread(
                subprocess.run, command, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path
            )
        finally:
            await daemon.stop()
            await sandbox.stop()
    assert ran.returncode == 0, (ran.stderr[-3000:], ran.stdout[-1500:])
    assert '"status": "landed"' not in ran.stdout  # nobody has paid
    assert '"duplicate": true' in ran.stdout
