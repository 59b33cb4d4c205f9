"""`topup-watcher sandbox` as a process: it says what it is, ends in order, and explains why it can't start."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process

import pytest

from tests.nodes.anvil import free_port


async def start(*options: str) -> Process:
    command = (sys.executable, "-m", "watcher.cli", "sandbox", *options)
    return await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)


async def test_says_where_and_ends_in_order() -> None:
    """The first line names the address and that it is a sandbox; SIGTERM ends it with 0."""
    port = free_port()
    process = await start("--listen", f"127.0.0.1:{port}")
    assert process.stdout is not None
    async with asyncio.timeout(30):
        line = (await process.stdout.readline()).decode()
        process.terminate()
        await process.communicate()
    assert "SANDBOX" in line
    assert f"http://127.0.0.1:{port}" in line
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--webhook-url", "http://127.0.0.1:1"), "secret"),
        (("--solana-rpc", "http://127.0.0.1:1", "--solana-token", "usdc=mint:/nowhere"), "start"),
        (("--listen", "127.0.0.1:1x"), "HOST:PORT"),
    ],
)
async def test_cannot_start(options: tuple[str, ...], word: str) -> None:
    """Exit 2 and a sentence, no traceback."""
    listen = () if "--listen" in options else ("--listen", f"127.0.0.1:{free_port()}")
    process = await start(*options, *listen)
    async with asyncio.timeout(30):
        _, said = await process.communicate()
    assert process.returncode == 2
    assert word in said.decode()
    assert "Traceback" not in said.decode()
