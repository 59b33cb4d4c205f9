"""The daemon and its commands as an operator meets them: every answer a sentence, every end in order."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.nodes.anvil import COIN, Anvil, free_port
from tests.nodes.processes import COMMAND, Backend, DaemonProcess, until

pytestmark = [pytest.mark.acceptance, pytest.mark.evm]

CANARIES = ("sk_test_canary7", "rpc-canary-key", "whsec_canary")
CONFIG = """\
data_dir = "data"
console = false
log_level = "debug"
[stripe]
api_base = "http://127.0.0.1:9"
[networks.local-evm]
http = ["{rpc}"]
stale_seconds = 2
[policies.default]
networks = ["local-evm"]
funding = [{{ when = "low", network = "local-evm", asset = "ETH", trigger = "0.05", target = "0.2" }}]
[tenants.default]
stripe_secret_key = "sk_test_canary7"
stripe_webhook_secrets = ["whsec_canary"]
"""


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield session


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def test_a_config_error_names_file_path_and_reason(tmp_path: Path) -> None:
    """Exit 2, one readable line each, no traceback."""
    (tmp_path / "watcher.toml").write_text('nonsense = 1\n[networks.nowhere]\nhttp = ["http://x"]\n[tenants.default]\n')
    ran = run("run", cwd=tmp_path)
    assert ran.returncode == 2
    assert "watcher.toml: /nonsense" in ran.stderr
    assert "watcher.toml: /networks/nowhere" in ran.stderr
    assert "Traceback" not in ran.stderr
    missing = run("run", "--config", "none.toml", cwd=tmp_path)
    assert missing.returncode == 2
    assert "topup-watcher init" in missing.stderr


def test_init_writes_an_example_that_loads_and_overwrites_nothing(tmp_path: Path) -> None:
    """Written once; a second time it is left alone; check reads it and tells each connection's fault at once."""
    assert run("init", cwd=tmp_path).returncode == 0
    again = run("init", cwd=tmp_path)
    assert again.returncode == 2
    assert "was not touched" in again.stderr
    written = tmp_path / "watcher.toml"
    for port in ("8545", "8899", "8900", "8010"):  # somebody may be running there what the example expects
        written.write_text(written.read_text().replace(f"127.0.0.1:{port}", f"127.0.0.1:{free_port()}"))
    checked = run("check", cwd=tmp_path)
    assert checked.returncode == 1
    faults = [line for line in checked.stdout.splitlines() if line.startswith("FAULT")]
    assert {line.split()[2].rstrip(":") for line in faults if "network" in line} == {"local-evm", "local-solana"}
    assert "ok     database" in checked.stdout


async def test_a_dead_node_is_no_reason_not_to_start(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    """The network is reported stale and tried again; once it answers, it is fresh without a restart."""
    port = free_port()
    daemon = DaemonProcess(tmp_path, CONFIG.format(rpc=f"http://127.0.0.1:{port}"))
    daemon.start()
    try:
        await daemon.ready(http)
        async with http.get(f"{daemon.url}/readyz?network=local-evm") as answer:
            assert answer.status == 503
            assert (await answer.json())["networks"]["local-evm"]["status"] == "stale"
        async with Anvil(port=port):
            await daemon.ready(http, "local-evm")
    finally:
        assert await daemon.stop() == 0


async def test_a_second_daemon_on_one_directory_is_refused(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    """One sentence, exit 1, and the first goes on; keys can be made beside it."""
    async with Anvil() as anvil:
        daemon = DaemonProcess(tmp_path, CONFIG.format(rpc=anvil.http))
        daemon.start()
        try:
            await daemon.ready(http, "local-evm")
            second = await asyncio.to_thread(run, "run", cwd=tmp_path)
            assert second.returncode == 1
            assert "Traceback" not in second.stderr
            assert len(second.stderr.strip().splitlines()) == 1
            key = await asyncio.to_thread(daemon.create_key)
            assert (await Backend(http, daemon.url, key).get("/v1/wallets"))["data"] == []
        finally:
            assert await daemon.stop() == 0


async def test_it_stops_in_order_within_ten_seconds(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    """SIGTERM amid failing calls: exit 0, in time, and no PostgreSQL is left."""
    async with Anvil() as anvil:
        daemon = DaemonProcess(tmp_path, CONFIG.format(rpc=anvil.http))
        key = await asyncio.to_thread(daemon.create_key)
        daemon.start()
        await daemon.ready(http, "local-evm")
        backend = Backend(http, daemon.url, key)
        await backend.put("/v1/wallets/w-1", {"addresses": {"local-evm": "0x" + "00" * 18 + "abcd"}})

        async def asked() -> bool:
            return bool((await backend.get("/v1/top-ups"))["data"])

        await until(asked, seconds=20, what="an ask")
        began = asyncio.get_running_loop().time()
        assert await daemon.stop() == 0
        assert asyncio.get_running_loop().time() - began < 10
        assert not list((tmp_path / "data").rglob("postmaster.pid"))


async def test_watching_follows_registration(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    """A wallet is read at once, still after a restart, and no more once it is removed; no restart for either."""
    address = "0x" + "00" * 18 + "abcd"
    async with Anvil() as anvil:
        daemon = DaemonProcess(tmp_path, CONFIG.format(rpc=anvil.http))
        key = await asyncio.to_thread(daemon.create_key)
        daemon.start()
        backend = Backend(http, daemon.url, key)

        async def balance() -> str | None:
            return str((await backend.get("/v1/wallets/w-1"))["holdings"][0]["balance"])

        async def pay(ether: int) -> None:
            rich = (await anvil.rpc("eth_accounts"))[0]
            await anvil.rpc("eth_sendTransaction", {"from": rich, "to": address, "value": hex(ether * COIN)})

        async def is_now(amount: str) -> bool:
            return await balance() == amount

        try:
            await daemon.ready(http, "local-evm")
            await backend.put("/v1/wallets/w-1", {"addresses": {"local-evm": address}})
            await until(lambda: is_now("0"), seconds=5, what="the first balance")
            assert await daemon.stop() == 0
            await pay(1)
            daemon.start()
            await daemon.ready(http, "local-evm")
            await until(lambda: is_now("1"), seconds=5, what="what came while it was down")
            await pay(2)
            await until(lambda: is_now("3"), seconds=5, what="what came afterwards")
            assert (await backend.call("DELETE", "/v1/wallets/w-1"))[0] == 204
            before = len(await backend.events())
            await pay(3)
            await backend.put("/v1/wallets/w-2", {"addresses": {"local-evm": "0x" + "00" * 18 + "dcba"}})

            async def other_is_low() -> bool:
                return bool((await backend.get("/v1/wallets/w-2"))["status"] == "low")

            await until(other_is_low, seconds=5, what="a wallet registered later")
            told = (await backend.events())[before:]
            assert all(event["subject"]["id"] != "w-1" for event in told)
        finally:
            await daemon.stop()


async def test_no_secret_is_in_the_log(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    """Every upstream failing, at debug level: keys, secrets and URLs with keys appear nowhere."""
    daemon = DaemonProcess(tmp_path, CONFIG.format(rpc="http://user:rpc-canary-key@127.0.0.1:9/rpc-canary-key"))
    key = await asyncio.to_thread(daemon.create_key)
    daemon.start()
    try:
        await daemon.ready(http)
        await until(lambda: _says(daemon, "network.unreadable"), seconds=20, what="the node's failure")
    finally:
        await daemon.stop()
    for canary in (*CANARIES, key):
        assert canary not in daemon.output


async def _says(daemon: DaemonProcess, text: str) -> bool:
    return text in daemon.output
