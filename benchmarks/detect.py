"""From a block to what was decided on it: a whole daemon on a real anvil, by the number of wallets.

`.venv/bin/python -m benchmarks.detect [WALLETS] [BLOCKS] [SPENDS]`: blocks of a second; in each, so many wallets spend
most of what they have. The wallets are written into the store as if they had been read before; their coins are in the
chain's first block. Timed is from when a websocket tells the head to when the decision is committed. A proxy between
daemon and node counts calls, and round trips that waited for one another.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from statistics import median
from typing import Any, Final

import aiohttp
import psycopg
from aiohttp import web
from eth_utils.address import to_checksum_address

from benchmarks.wire import Look, Trip, p99
from config.load import load_settings
from tests.nodes.anvil import COIN, ROOT, Anvil, free_port
from tests.nodes.processes import DaemonProcess, until
from watcher.store.database import conninfo
from watcher.store.embedded import EmbeddedPostgres

NETWORK: Final = "eip155:31337"
STATES: Final = 8
"""Blocks whose balances anvil can still read."""
CONFIG: Final = """\
console = false
[database]
url = "{database}"
[networks.local-evm]
http = ["{rpc}"]
ws = ["{ws}"]
[policies.default]
networks = ["local-evm"]
funding = [{{ when = "low", network = "local-evm", asset = "ETH", trigger = "0.5", target = "1" }}]
[tenants.default]
"""
FILL: Final = """\
insert into wallet
 (tenant, id, policy, link_mode, notify, initial, metadata, body, version, created_at, updated_at)
 select 'default', 'w-' || n, 'default', 'eager', true, 'none', '{}', '{}', 1, now(), now()
 from generate_series(0, %(last)s) n;
create temp table place (n int, address text);
insert into wallet_address (tenant, wallet, network, address, watched, watched_since, created_at)
 select 'default', 'w-' || n, %(network)s, address, true, '{"height": 0}', now() from place;
insert into holding (network, asset, address, balance, height, hash, read_at)
 select %(network)s, 'native', address, %(coin)s, 0, null, now() from place;
insert into requirement (tenant, wallet, network, asset, address, level, by_fee, ask, watch_only, status, waiting,
 policy, policy_version) select 'default', 'w-' || n, %(network)s, 'native', address, %(level)s::jsonb, false,
 true, false, 'ok', false, 'default', %(version)s from place
"""


def address(number: int) -> str:
    """Of one wallet (EIP-55)."""
    return str(to_checksum_address(f"0x{(0xD0 << 152) + number * 7919:040x}"))


class Proxy:
    """Passes requests on to the node, and notes each."""

    def __init__(self, target: str) -> None:
        self._target = target
        self.trips: list[Trip] = []

    async def start(self, stack: AsyncExitStack) -> str:
        """Its URL."""
        self._http = await stack.enter_async_context(aiohttp.ClientSession(trust_env=False))
        app = web.Application(client_max_size=2**28)
        app.router.add_post("/", self._pass)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        return f"http://127.0.0.1:{port}"

    async def _pass(self, request: web.Request) -> web.Response:
        body, began = await request.read(), time.time()
        async with self._http.post(self._target, data=body, headers={"Content-Type": "application/json"}) as answer:
            text = await answer.read()
        read = json.loads(body)
        calls = read if isinstance(read, list) else [read]
        self.trips.append(Trip(tuple(call["method"] for call in calls), began, time.time()))
        return web.Response(body=text, content_type="application/json")


async def watch_heads(url: str, heads: dict[int, float]) -> None:
    """When each block was told, by number."""
    async with aiohttp.ClientSession(trust_env=False) as http, http.ws_connect(url) as socket:
        await socket.send_json({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]})
        async for message in socket:
            told = json.loads(message.data)
            if "params" in told:
                heads[int(told["params"]["result"]["number"], 16)] = time.time()


async def watch_decisions(url: str, decided: dict[str, tuple[int, float]]) -> None:
    """When each wallet's decision was committed: the store tells it then, and not before."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        await conn.execute(
            "create function tell_bench() returns trigger language plpgsql as $$ begin"
            " perform pg_notify('bench', new.wallet || ' ' || new.height); return new; end $$"
        )
        await conn.execute("create trigger bench after insert on decision for each row execute function tell_bench()")
        await conn.execute("listen bench")
        async for notice in conn.notifies():
            wallet, height = notice.payload.split()
            decided[wallet] = (int(height), time.time())


def memory(pid: int) -> int:
    """MB of a process and those it started, each shared page counted by halves."""
    total = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _descends(int(entry.name), pid):
            with suppress(OSError):
                lines = (entry / "smaps_rollup").read_text().splitlines()
                total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total // 1024


def resident(pid: int) -> int:
    """MB of one process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 2**20


def cpu(pid: int) -> float:
    """Seconds of one process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _descends(pid: int, from_: int) -> bool:
    while pid > 1:
        if pid == from_:
            return True
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            return False
    return False


async def fill(url: str, wallets: int, version: str) -> None:
    """Wallets that were read before, straight into the store."""
    level = json.dumps({"trigger": {"amount": str(COIN // 2)}, "target": {"amount": str(COIN)}, "critical": None})
    values: dict[str, Any] = {"last": wallets - 1, "network": NETWORK, "coin": COIN, "level": level, "version": version}
    async with await psycopg.AsyncConnection.connect(url) as conn:
        for number, statement in enumerate(FILL.split(";\n")):
            await conn.execute(statement, values)
            if number == 1:
                async with conn.cursor() as cursor, cursor.copy("copy place from stdin") as copy:
                    for n in range(wallets):
                        await copy.write_row((n, address(n)))
        await conn.commit()
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        await conn.execute("vacuum analyze")


def write_genesis(path: Path, wallets: int) -> None:
    """The first block, with everybody's coins in it."""
    alloc = ",".join(f'"{address(n)}":{{"balance":"{hex(COIN)}"}}' for n in range(wallets))
    head = '{"config":{"chainId":31337},"difficulty":"0x0","gasLimit":"0x3938700","alloc":{'
    path.write_text(head + alloc + "}}")


async def prepare(stack: AsyncExitStack, folder: Path, wallets: int) -> tuple[EmbeddedPostgres, Anvil]:
    """Store and chain, filled."""
    postgres = await stack.enter_async_context(EmbeddedPostgres(folder / "data"))
    genesis = folder / "genesis.json"
    write_genesis(genesis, wallets)
    few = ("--no-mining", "--prune-history", str(STATES))  # each state of a million accounts is 400 MB there
    arguments = ("--init", str(genesis), *few, "--gas-limit", "60000000", "--no-request-size-limit")
    return postgres, await stack.enter_async_context(Anvil(*arguments))


async def main(wallets: int, blocks: int, spends: int) -> None:
    """Prints one row of the table in docs/performance.md, and what it cost."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres, anvil = await prepare(stack, folder, wallets)
        proxy = Proxy(anvil.http)
        rpc = await proxy.start(stack)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        daemon = DaemonProcess(folder, CONFIG.format(database=postgres.url, rpc=rpc, ws=anvil.ws))
        stack.push_async_callback(daemon.stop)
        daemon.start()
        await daemon.ready(http)  # it has made the tables
        await daemon.stop()
        url = conninfo(postgres.url, statement_seconds=600)
        began = time.time()
        policy = load_settings(daemon.config).tenants["default"].policies["default"]
        await fill(url, wallets, policy.version)
        print(f"{wallets:,} wallets written in {time.time() - began:.0f} s")
        began = time.time()
        daemon.start()
        readiness = f"{daemon.url}/readyz?network=local-evm"

        async def is_ready() -> bool:
            with suppress(aiohttp.ClientError):
                async with http.get(readiness) as answer:
                    return answer.status == 200
            return False

        await until(is_ready, seconds=600, what="a full read")
        await anvil.rpc("evm_setIntervalMining", 1)
        print(f"ready after {time.time() - began:.1f} s, {resident(daemon.pid or 0)} MB")
        await measure(anvil, proxy, daemon, postgres, url, wallets=wallets, blocks=blocks, spends=spends)


async def measure(
    anvil: Anvil,
    proxy: Proxy,
    daemon: DaemonProcess,
    postgres: EmbeddedPostgres,
    url: str,
    *,
    wallets: int,
    blocks: int,
    spends: int,
) -> None:
    """Spends in each block, then the figures."""
    heads: dict[int, float] = {}
    decided: dict[str, tuple[int, float]] = {}
    tasks = [asyncio.create_task(watch_heads(anvil.ws, heads)), asyncio.create_task(watch_decisions(url, decided))]
    await asyncio.sleep(2)
    pid, proxy.trips[:] = daemon.pid or 0, []
    before, began, first = cpu(pid), time.time(), max(heads, default=0)
    to = (await anvil.accounts())[0]
    for block in range(blocks):
        told = len(heads)
        chosen = [(block * spends + n) * max(1, wallets // (blocks * spends)) % wallets for n in range(spends)]
        sent = (anvil.submit(address(n), to, value=COIN * 6 // 10, gas="0x5208") for n in chosen)
        await asyncio.gather(*sent)

        async def next_block(seen: int = told) -> bool:
            return len(heads) > seen

        await until(next_block, seconds=30, what="a block", every=0.01)

    async def all_decided() -> bool:
        return len(decided) >= blocks * spends

    with suppress(TimeoutError):
        await until(all_decided, seconds=60, what="decisions")
    seconds, used = time.time() - began, cpu(pid) - before
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    report(heads, decided, proxy.trips, first=first, expected=blocks * spends)
    print(f"CPU {used / seconds:.0%} of a core; {resident(pid)} MB resident; PostgreSQL", end=" ")
    print(f"{memory(postgres.find_pid() or 0)} MB")


def report(
    heads: dict[int, float],
    decided: dict[str, tuple[int, float]],
    trips: list[Trip],
    *,
    first: int,
    expected: int,
) -> None:
    """Times and calls."""
    waits = [(at - heads[height]) * 1000 for height, at in decided.values() if height in heads]
    print(f"{len(decided)} of {expected} decided; head told to decision committed:", end=" ")
    print(f"p50 {median(waits):.0f} ms, p99 {p99(waits):.0f} ms")
    by_block: dict[int, list[Trip]] = defaultdict(list)
    for trip in trips:
        number = max((n for n, at in heads.items() if at - 0.02 <= trip.began), default=0)
        by_block[number].append(trip)
    whole = [by_block[n] for n in range(first + 2, max(heads)) if n in by_block]
    looks = [Look(trips=each) for each in whole]
    calls = median(look.calls for look in looks)
    print(
        f"{median(look.sequential for look in looks):.0f} sequential round trips a block, {calls:.0f} calls;", end=" "
    )
    told = {n: at for n, at in heads.items() if n in by_block}
    last = max(n for n in told if n < max(heads))
    print("one block:", end=" ")
    for trip in sorted(by_block[last], key=lambda t: t.began):
        print(
            f"{'+'.join(trip.methods)} {(trip.began - told[last]) * 1000:.0f}-{(trip.ended - told[last]) * 1000:.0f}",
            end="; ",
        )
    print()


if __name__ == "__main__":
    os.environ["PYTHONPATH"] = str(ROOT)  # the daemon is the one beside this program
    given = [int(each) for each in sys.argv[1:4]]
    asyncio.run(main(*(given + [1_000, 30, 10][len(given) :])))
