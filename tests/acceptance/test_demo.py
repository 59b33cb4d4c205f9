"""`make demo`, as a stranger runs it: both wallets land, and nothing is left behind."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.nodes.solana_process import Kind, find_validator

pytestmark = [pytest.mark.acceptance, pytest.mark.evm, pytest.mark.solana]
ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "scripts.demo")


def environment(kind: Kind) -> dict[str, str]:
    """With the validator, or as on a machine that has none."""
    env = dict(os.environ)
    if kind is Kind.SURFPOOL:
        env.pop("SOLANA_TEST_VALIDATOR", None)
        env["PATH"] = os.pathsep.join(
            p for p in env["PATH"].split(os.pathsep) if not (Path(p) / "solana-test-validator").exists()
        )
    return env


def leftovers(marker: str) -> list[str]:
    """Processes anywhere that carry the demo's mark in their environment."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if f"DEMO_TEST_MARK={marker}".encode() in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


@pytest.mark.parametrize("kind", list(Kind), ids=lambda k: k.value)
def test_two_wallets_are_made_whole(kind: Kind) -> None:
    """Exit 0, each step told, both landed; no process is left."""
    if kind is Kind.VALIDATOR and not find_validator():
        pytest.skip("no solana-test-validator: name it by SOLANA_TEST_VALIDATOR or put it on PATH")
    marker = f"run-{os.getpid()}-{kind.value}"
    env = environment(kind) | {"DEMO_TEST_MARK": marker}
    ran = subprocess.run(COMMAND, cwd=ROOT, env=env, capture_output=True, text=True, timeout=180, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for wallet in ("evm", "solana"):
        for told in ("balance seen", "bill", "session", "link http", "received", "landed"):
            assert any(wallet in line and told in line for line in ran.stdout.splitlines()), (wallet, told, ran.stdout)
    assert leftovers(marker) == []


async def test_ctrl_c_leaves_nothing_behind() -> None:
    """SIGINT in the middle: the demo ends, and so does everything that it started."""
    marker = f"stop-{os.getpid()}"
    env = environment(Kind.SURFPOOL) | {"DEMO_TEST_MARK": marker}
    demo = await asyncio.create_subprocess_exec(
        *COMMAND, cwd=ROOT, env=env, stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    assert demo.stdout is not None
    async with asyncio.timeout(60):
        while b"the daemon at" not in (line := await demo.stdout.readline()):
            assert line, "the demo ended before its daemon was up"
        demo.send_signal(signal.SIGINT)
        await demo.stdout.read()
        assert await demo.wait() == 130
    assert leftovers(marker) == []
