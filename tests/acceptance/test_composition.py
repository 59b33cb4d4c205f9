"""The `dev` profile of docker-compose.yml without an engine: its commands, files and health checks, as processes."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.composition import ROOT, Service, read_services
from tests.nodes.anvil import free_port
from tests.nodes.processes import until

pytestmark = [pytest.mark.acceptance, pytest.mark.evm, pytest.mark.solana, pytest.mark.timeout(240)]

PORTS = ("8545", "8899", "8900", "8010", "8080", "8090")
IMAGE = {"TOPUP_LISTEN": "0.0.0.0:8080", "TOPUP_DATA_DIR": "/data"}
ENTRYPOINT = [sys.executable, "-m", "watcher.cli"]
START = ["run", "--config", "/etc/topup-watcher/watcher.toml"]


class Composition:
    """Services as processes of this machine: what a container has by name, address or path is put in its place."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._services = read_services()
        self._ports = {port: str(free_port()) for port in PORTS}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        for name in ("data", "watcher-data", "tmp"):
            (folder / name).mkdir()
        config = ROOT / self._services["watcher"].mounts[0][0]
        (folder / "watcher.toml").write_text(self.put(config.read_text(encoding="utf-8")))

    def put(self, text: str) -> str:
        """A text of the composition as it reads on this machine."""
        text = re.sub(rf"\b({'|'.join(PORTS)})\b", lambda found: self._ports[found.group()], text)
        text = re.sub(r"\b(?:anvil|solana|sandbox|watcher|example):(?=\d)", "127.0.0.1:", text)
        places = {"/etc/topup-watcher": self._folder, "/app": ROOT, "/tmp/": f"{self._folder}/tmp/"}  # noqa: S108
        return re.sub("|".join(places), lambda found: str(places[found.group()]), text)

    def url(self, port: int) -> str:
        return f"http://127.0.0.1:{self._ports[str(port)]}"

    def log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text(errors="replace")

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """One service. The daemon is on its embedded PostgreSQL: a database is no part of what is tried here."""
        service = self._services[name]
        words = [self.put(word) for word in service.words or START]
        if service.image == "topup-watcher" and "entrypoint" not in service.raw:
            words = [*ENTRYPOINT, *words]
        given = {k: v for k, v in (IMAGE | service.environment).items() if "DATABASE" not in k}
        env = {k: self.put(v) for k, v in given.items()} | {"TOPUP_DATA_DIR": str(self._folder / "watcher-data")}
        if service.image == "topup-watcher-chains" or name == "sandbox":
            env.pop("TOPUP_DATA_DIR")
        programs = f"{Path(sys.executable).parent}:{ROOT / 'node_modules/.bin'}:{os.environ['PATH']}"
        path = [str(ROOT), self.put(service.environment.get("PYTHONPATH", ""))]
        env |= {"PATH": programs, "PYTHONPATH": ":".join(filter(None, path)), "HOME": str(self._folder / "tmp")}
        with (self._folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                words,
                cwd=ROOT / "tests/nodes" if name == "solana" else self._folder / "data",
                env={**os.environ, **env},
                stdin=subprocess.PIPE if service.raw.get("stdin_open") else subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._running[name] = process
        return process

    async def healthy(self, name: str) -> None:
        """By the service's own health check, run as the engine runs it."""
        service: Service = self._services[name]
        words = [self.put(word) for word in service.health[1:]]
        words[0] = sys.executable if words[0] == "python" else words[0]

        async def passes() -> bool:
            if self._running[name].poll() is not None:
                raise RuntimeError(f"{name} ended: {self.log(name)[-2000:]}")
            check = await asyncio.create_subprocess_exec(*words, stderr=asyncio.subprocess.DEVNULL)
            return await check.wait() == 0

        await until(passes, seconds=60, what=f"{name} healthy", every=0.2)

    def end(self) -> None:
        for process in reversed(self._running.values()):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for process in self._running.values():
            if process.stdin is not None:
                process.stdin.close()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@pytest.fixture
def composition(tmp_path: Path) -> Iterator[Composition]:
    made = Composition(tmp_path)
    try:
        yield made
    finally:
        made.end()


async def test_the_dev_profile_is_the_demo(composition: Composition) -> None:
    """Two empty wallets are low at once; their links lead to the sandbox's page; paid, both have landed."""
    for name in ("anvil", "solana", "watcher"):
        composition.start(name)
    for name in ("anvil", "solana", "watcher"):
        await composition.healthy(name)
    composition.start("sandbox")
    await composition.healthy("sandbox")
    for _ in range(2):  # a second start of everything makes no second key
        assert await asyncio.to_thread(composition.start("key").wait, 60) == 0, composition.log("key")
    composition.start("example")
    await composition.healthy("example")
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http:
        links = await until(lambda: find_pay_links(http, composition), seconds=60, what="two links on the page")
        for link in links:
            async with http.get(composition.url(8090) + link, allow_redirects=False) as answer:
                page = answer.headers["Location"]
            assert page.startswith(composition.url(8010) + "/pay/")
            async with http.get(page) as answer:
                assert answer.status == 200
        async with http.get(f"{composition.url(8010)}/_sandbox/ledger") as answer:
            ledger = (await answer.json())["data"]
        sessions = {entry["session"] for entry in ledger if entry.get("session")}
        assert len(sessions) == 2
        for session in sessions:
            pay = f"{composition.url(8010)}/_sandbox/sessions/{session}/pay"
            async with http.post(pay, json={"then": "complete"}) as answer:
                assert answer.status == 200, await answer.text()
        await until(lambda: both_landed(http, composition), seconds=60, what="both landed")


async def read_page(http: aiohttp.ClientSession, composition: Composition) -> str:
    async with http.get(composition.url(8090)) as answer:
        return await answer.text()


async def find_pay_links(http: aiohttp.ClientSession, composition: Composition) -> list[str] | None:
    found = sorted(set(re.findall(r"/pay/[\w-]+", await read_page(http, composition))))
    return found if len(found) == 2 else None


async def both_landed(http: aiohttp.ClientSession, composition: Composition) -> bool:
    return (await read_page(http, composition)).count(": landed.") == 2
