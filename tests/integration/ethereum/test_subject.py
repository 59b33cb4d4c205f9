"""The detector as a neutral harness's subject: a process that prints JSON lines."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.nodes.anvil import ROOT, Anvil

WALLETS = [f"0x{number:040x}" for number in range(0xA000, 0xA004)]
THRESHOLD = 100


@asynccontextmanager
async def subject(anvil: Anvil, folder: Path) -> AsyncIterator[asyncio.StreamReader]:
    """Its output."""
    addresses = folder / "addresses"
    addresses.write_text("\n".join(WALLETS) + "\n")
    env = {"RPC_URL": anvil.http, "ADDRESSES": str(addresses), "THRESHOLD": str(THRESHOLD), "POLL_MS": "50"}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.subject",
        cwd=ROOT,
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        yield process.stdout
    finally:
        process.kill()
        await process.wait()


async def line(output: asyncio.StreamReader) -> dict[str, Any]:
    """The next one."""
    async with asyncio.timeout(30):
        return dict(json.loads(await output.readline()))


async def test_low_recovered_and_retracted_are_told_in_lines(anvil: Anvil, tmp_path: Path) -> None:
    """Falls and rises are told once each with address and block; a fall in a block that was orphaned is retracted."""
    one, two = WALLETS[:2]
    rich = (await anvil.accounts())[0]
    for wallet in WALLETS:
        await anvil.rpc("anvil_setBalance", wallet, hex(10**18))
    await anvil.mine()
    async with subject(anvil, tmp_path) as output:
        assert await line(output) == {"ev": "ready"}
        receipt = await anvil.send(one, rich, value=10**18 - 3 * 10**15, gasPrice=hex(10**9), gas=hex(3_000_000))
        await anvil.rpc("anvil_setBalance", one, hex(5))
        await anvil.send(rich, one, value=1)
        low = await line(output)
        assert (low["ev"], low["address"]) == ("low", one)
        assert low["block"] >= int(receipt["blockNumber"], 16)
        assert isinstance(low["t"], int)
        await anvil.send(rich, one, value=10**6)
        assert (await line(output))["ev"] == "recovered"
        snapshot = await anvil.rpc("eth_blockNumber")
        await anvil.rpc("anvil_setBalance", two, hex(50))
        await anvil.send(rich, two, value=1)
        assert (await line(output))["ev"] == "low"
        await anvil.rpc("anvil_rollback", int(await anvil.rpc("eth_blockNumber"), 16) - int(snapshot, 16))
        await anvil.rpc("anvil_setBalance", two, hex(10**18))
        await anvil.mine()
        await anvil.mine()
        told = await line(output)
        assert (told["ev"], told["address"]) == ("retracted", two)
