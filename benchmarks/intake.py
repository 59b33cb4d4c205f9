"""Signed webhooks that the daemon takes in a second, each on disk before its answer, beside a bare handler.

`.venv/bin/python -m benchmarks.intake [WEBHOOKS] [CONNECTIONS]`: rounds of both by turns, each a process of its own,
for the same clients. The bare handler checks the same signature and stores nothing. Both get `wallet.created` webhooks,
which the daemon applies meanwhile. At the end each webhook is sent again: what was kept is told as a duplicate.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

import aiohttp

from benchmarks.wire import p99
from notifier.signatures import sign
from tests.nodes.anvil import ROOT, Anvil, free_port
from tests.nodes.processes import DaemonProcess, Process, new_secret, until

ROUNDS: Final = 3
BARE: Final = "bare"
PATH: Final = "/webhooks/backend/app"
CONFIG: Final = """\
data_dir = "data"
console = false
[networks.local-evm]
http = ["{rpc}"]
[policies.default]
networks = ["local-evm"]
[tenants.default.sources.app]
secret = "{secret}"
"""


@dataclass(frozen=True, slots=True)
class Round:
    """Webhooks sent one after another on each connection."""

    seconds: float
    waits: Sequence[float]
    bodies: Sequence[bytes]

    @property
    def rate(self) -> float:
        """Webhooks a second."""
        return len(self.waits) / self.seconds


@dataclass(frozen=True, slots=True)
class Webhook:
    """Ready to be sent."""

    body: bytes
    headers: dict[str, str]


def make(name: str, count: int, secret: str) -> list[Webhook]:
    """Signed now: they are good for five minutes."""
    made = []
    for number in range(count):
        address = f"0x{(0xB0 << 152) + number:040x}"
        data = {"id": f"{name}-{number}", "addresses": {"local-evm": address}}
        body = json.dumps({"type": "wallet.created", "data": data}).encode()
        headers = sign(f"msg-{name}-{number}", int(time.time()), body, [secret])
        made.append(Webhook(body, {"Content-Type": "application/json", **headers}))
    return made


async def send(url: str, webhooks: Sequence[Webhook], connections: int) -> Round:
    """All of them, `connections` at once. Raises RuntimeError for any answer but 202."""
    waits: list[float] = []
    bodies: list[bytes] = []
    waiting = iter(webhooks)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections)) as http:

        async def one_after_another() -> None:
            for webhook in waiting:
                began = time.perf_counter()
                async with http.post(url + PATH, data=webhook.body, headers=webhook.headers) as answer:
                    bodies.append(await answer.read())
                    waits.append(time.perf_counter() - began)
                    if answer.status != 202:
                        raise RuntimeError(f"{answer.status} {bodies[-1]!r}")

        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(connections):
                group.create_task(one_after_another())
        return Round(time.perf_counter() - began, waits, bodies)


async def main(count: int, connections: int) -> None:
    """Print rates, waits and the ratio."""
    secret = new_secret()
    rounds: dict[str, list[Round]] = {BARE: [], "daemon": []}
    async with Anvil() as anvil, AsyncExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory())
        folder, port = Path(name), free_port()
        bare = Process(
            [sys.executable, "-m", "benchmarks.bare_handler", str(port), secret],
            log=folder / "bare.log",
            cwd=ROOT,
        )
        daemon = DaemonProcess(folder, CONFIG.format(secret=secret, rpc=anvil.http))
        try:
            bare.start()
            daemon.start()
            async with aiohttp.ClientSession() as http:
                await daemon.ready(http)
                await until(lambda: _listens(port), seconds=20, what="the bare handler")
            urls = {BARE: f"http://127.0.0.1:{port}", "daemon": daemon.url}
            sent: list[Webhook] = []
            for number in range(ROUNDS):
                for subject, url in urls.items():
                    webhooks = make(f"{subject}-{number}", count, secret)
                    rounds[subject].append(await send(url, webhooks, connections))
                    sent += webhooks if subject != BARE else []
            again = await send(daemon.url, sent, connections)
        finally:
            bare.kill()
            await daemon.stop()
    for subject, found in rounds.items():
        waits = [wait for each in found for wait in each.waits]
        rate = median(each.rate for each in found)
        print(f"{subject}: {rate:.0f}/s, median {median(waits) * 1000:.1f} ms, p99 {p99(waits) * 1000:.1f} ms")
    ratio = median(r.rate for r in rounds["daemon"]) / median(r.rate for r in rounds[BARE])
    kept = sum(json.loads(body)["duplicate"] for body in again.bodies)
    print(f"ratio {ratio:.2f}; {ROUNDS} rounds of {count} on {connections} connections each")
    print(f"kept: {kept} of {len(sent)} are known when they are sent again ({again.rate:.0f}/s)")


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


if __name__ == "__main__":
    asyncio.run(main(*[int(text) for text in (*sys.argv[1:], *("3000", "64")[len(sys.argv) - 1 :])]))
