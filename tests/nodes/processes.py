"""The daemon and the sandbox as processes of their own, and a backend that talks to the daemon."""

import asyncio
import base64
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

import aiohttp

from tests.nodes.anvil import free_port

COMMAND: Final = (sys.executable, "-m", "watcher.cli")
START_SECONDS: Final = 60
STOP_SECONDS: Final = 15


def new_secret() -> str:
    """A signing secret of Standard Webhooks' form."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


class Process:
    """One process, its output in a file; it dies with us at the latest."""

    def __init__(self, command: Sequence[str], *, log: Path, cwd: Path, env: Mapping[str, str] | None = None) -> None:
        self._command = list(command)
        self._log = log
        self._cwd = cwd
        self._env = {**os.environ, **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self._cwd, env=self._env, stdout=log, stderr=log, start_new_session=True
            )

    def ended(self) -> int | None:
        return None if self._process is None else self._process.poll()

    def kill(self) -> None:
        """At once, as the machine would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """In order. Gives the exit status; kills what does not end within 15 s."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(number)
        try:
            return await asyncio.to_thread(self._process.wait, STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            return -signal.SIGKILL


async def until(holds: Callable[[], Awaitable[Any]], *, seconds: float, what: str, every: float = 0.05) -> Any:
    """Poll until something truthy comes. Raises TimeoutError that says what never came."""
    deadline = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < deadline:
        if found := await holds():
            return found
        await asyncio.sleep(every)
    raise TimeoutError(f"not within {seconds} s: {what}")


class SandboxProcess(Process):
    """`topup-watcher sandbox`."""

    def __init__(self, folder: Path, *options: str, port: int | None = None) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = (*COMMAND, "sandbox", "--listen", f"127.0.0.1:{self.port}", *options)
        super().__init__(command, log=folder / "sandbox.log", cwd=folder)

    async def ready(self, http: aiohttp.ClientSession) -> Self:
        await until(lambda: _answers(http, f"{self.url}/_sandbox/ledger", self), seconds=START_SECONDS, what="sandbox")
        return self

    async def ledger(self, http: aiohttp.ClientSession) -> list[dict[str, Any]]:
        async with http.get(f"{self.url}/_sandbox/ledger") as answer:
            body = await answer.json()
        return list(body["data"])

    async def pay(self, http: aiohttp.ClientSession, session: str, **how: str) -> dict[str, Any]:
        async with http.post(f"{self.url}/_sandbox/sessions/{session}/pay", json={"then": "complete", **how}) as answer:
            body = await answer.json()
            if answer.status != 200:
                raise RuntimeError(f"the sandbox refused the payment: {body}")
        return dict(body)


class DaemonProcess(Process):
    """`topup-watcher run`."""

    def __init__(self, folder: Path, config: str, *, port: int | None = None) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.config = folder / "watcher.toml"
        self.config.write_text(f'listen = "127.0.0.1:{self.port}"\n' + config)
        super().__init__((*COMMAND, "run", "--config", str(self.config)), log=folder / "daemon.log", cwd=folder)

    def create_key(self) -> str:
        """By the command, as an operator would."""
        command = [*COMMAND, "keys", "create", "--config", str(self.config)]
        made = subprocess.run(command, check=False, capture_output=True, text=True)
        if made.returncode != 0:
            raise RuntimeError(f"keys create ended with {made.returncode}:\n{made.stderr}")
        return made.stdout.strip()

    async def ready(self, http: aiohttp.ClientSession, *networks: str) -> Self:
        """Until it answers, and has read these networks."""
        paths = [f"{self.url}/readyz?network={n}" for n in networks] or [f"{self.url}/readyz"]
        for path in paths:
            await until(partial(_answers, http, path, self), seconds=START_SECONDS, what=path)
        return self


async def _answers(http: aiohttp.ClientSession, url: str, process: Process) -> bool:
    if process.ended() is not None:
        raise RuntimeError(f"ended with {process.ended()} at its start:\n{process.output[-2000:]}")
    try:
        async with http.get(url) as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


class Backend:
    """A wallet backend's side of the HTTP API."""

    def __init__(self, http: aiohttp.ClientSession, url: str, key: str) -> None:
        self._http = http
        self._url = url
        self._headers = {"Authorization": f"Bearer {key}"}

    async def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        async with self._http.request(method, self._url + path, json=body, headers=self._headers) as answer:
            text = await answer.read()
            return answer.status, (await answer.json(content_type=None)) if text else None

    async def get(self, path: str) -> Any:
        status, body = await self.call("GET", path)
        if status != 200:
            raise RuntimeError(f"GET {path}: {status} {body}")
        return body

    async def put(self, path: str, body: Any) -> Any:
        status, answer = await self.call("PUT", path, body)
        if status not in (200, 201):
            raise RuntimeError(f"PUT {path}: {status} {answer}")
        return answer

    async def events(self) -> list[dict[str, Any]]:
        """All of them, page by page."""
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            page = await self.get(f"/v1/events?limit=100{after}")
            found += page["data"]
            if page["next"] is None:
                return found
            after = f"&after={page['next']}"
