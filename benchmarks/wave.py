"""Many wallets short in one block: how long the block takes, how heads are followed meanwhile, and the sessions' rate.

`.venv/bin/python -m benchmarks.wave [WALLETS] [RATE]`: the daemon's loops (network, jobs, turns) on a PostgreSQL of
their own; the chain is in memory, the onramp answers after 300 ms. A block a second; in one of them every wallet falls.
"""

import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any, Final

from prometheus_client import CollectorRegistry
from sqlalchemy import func, select, text

from benchmarks.wire import p99
from chains.model import NATIVE, Holding
from config.model import Brake
from notifier.model import OnrampSession
from tests.fakes.onramp import FakeOnramp
from tests.fakes.settings import ETH, EVM, make_network, make_settings
from tests.integration.watcher.world import ADDRESS, World
from watcher.clock import SystemClock
from watcher.dispatch import Dispatcher
from watcher.jobs.engine import JobEngine
from watcher.metrics import Metrics
from watcher.pacer import Pacer
from watcher.session_request import Onramps
from watcher.store.database import Database, conninfo
from watcher.store.embedded import EmbeddedPostgres
from watcher.store.migrate import upgrade
from watcher.store.tables import session_turn, top_up
from watcher.supervise import Supervisor

BLOCK_SECONDS: Final = 1.0
CALM_BLOCKS: Final = 10
ANSWER_SECONDS: Final = 0.3
TABLES: Final = ("wallet", "wallet_address", "holding", "requirement")


class SlowOnramp(FakeOnramp):
    """Takes as long as Stripe, and notes when it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked_at: list[float] = []
        self.under_way = 0
        self.most = 0

    async def create_session(self, body: Mapping[str, Any], *, idempotency_key: str) -> OnrampSession:
        self.asked_at.append(time.perf_counter())
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(ANSWER_SECONDS)
        self.under_way -= 1
        return await super().create_session(body, idempotency_key=idempotency_key)


@dataclass
class Wave(World):
    """The world on the real clock."""

    clock: Any = field(default_factory=SystemClock)

    async def copy_wallets(self, count: int) -> list[Holding]:
        """As many as that, each with the rows of one that was registered."""
        await self.register()
        addresses = [f"0x10{i:038}" for i in range(count)]
        async with self.database.begin() as conn:
            for table in TABLES:
                query = text(f"select column_name from information_schema.columns where table_name = '{table}'")  # noqa: S608 - our own words
                columns = list((await conn.execute(query)).scalars())
                key = "id" if table == "wallet" else "wallet"
                new = {key: "'w-' || n.i", "address": "'0x10' || lpad((n.i)::text, 38, '0')"}
                values = ", ".join(new.get(c, f'"{c}"') for c in columns)
                names = ", ".join(f'"{c}"' for c in columns)
                numbers = f"generate_series(0, {count - 1}) n(i)"
                insert = f"insert into {table} ({names}) select {values} from {table}, {numbers}"  # noqa: S608 - our own words
                where = f"where {table}.address = '{ADDRESS}'" if table != "wallet" else "where id = 'w-1' and n.i <> 1"
                where = f"{where} and n.i <> 1" if table != "wallet" else where
                await conn.execute(text(f"{insert} {where}"))
        await self.observer.refresh_watched()
        return [Holding(EVM, NATIVE, address) for i, address in enumerate(addresses) if i != 1]

    async def block(self, balances: Mapping[Holding, int] | None = None) -> float:
        """Seconds from the block to its record."""
        began = time.perf_counter()
        await self.step(balances)
        return time.perf_counter() - began


async def follow(wave: Wave, done: Callable[[], Any]) -> list[float]:
    """A block a second until it is done; how long each took."""
    took = []
    while not await done():
        took.append(await wave.block())
        await asyncio.sleep(max(0.0, BLOCK_SECONDS - took[-1]))
    return took


async def main(count: int, rate: int) -> None:
    """Print what the wave took."""
    with tempfile.TemporaryDirectory() as folder:
        async with EmbeddedPostgres(Path(folder)) as server:
            await upgrade(server.url)
            database = Database(server.url)
            network = make_network(brake=Brake(share_percent=100))
            wave = Wave(database, replace(make_settings(Path(folder), network=network), sessions_per_second=rate))
            await wave.start()
            holdings = await wave.copy_wallets(count)
            try:
                await run(wave, holdings, conninfo(server.url))
            finally:
                await database.close()


async def run(wave: Wave, holdings: list[Holding], where: str) -> None:
    """The wave itself."""
    onramp, metrics = SlowOnramp(), Metrics(CollectorRegistry())
    onramps = Onramps({"default": onramp}, "ins_1", wave.settings)
    dispatcher = Dispatcher(wave.database, onramps, clock=wave.clock, new_id=wave.new_id)
    jobs = JobEngine(where, {"create_session": dispatcher.create_session}, name="wave", metrics=metrics)
    rate = wave.settings.sessions_per_second
    pacer = Pacer(wave.database, where, ["default"], per_second=rate, clock=wave.clock)
    first = await wave.block(dict.fromkeys(holdings, 2 * ETH))
    calm = iter(range(CALM_BLOCKS))

    async def rested() -> bool:
        return next(calm, None) is None

    async def asked() -> bool:
        async with wave.database.begin() as conn:
            waiting = (await conn.execute(select(session_turn).limit(1))).first()
            opened = (await conn.execute(select(func.count()).select_from(top_up))).scalar_one()
        return waiting is None and opened > len(holdings)

    async with Supervisor(metrics, random.random) as tasks:
        tasks.start("jobs", jobs.run)
        tasks.start("sessions", pacer.run)
        before = await follow(wave, rested)
        spike = await wave.block(dict.fromkeys(holdings, ETH // 2))
        during = await follow(wave, asked)
        await asyncio.sleep(5)
    seconds = Counter(int(at - onramp.asked_at[0]) for at in onramp.asked_at)
    async with wave.database.begin() as conn:
        asks = len((await conn.execute(select(top_up.c.id))).all())
    print(f"{len(holdings)} wallets; first read of all {first:.1f} s; the block in which all fell {spike:.1f} s")
    print(f"blocks before: median {median(before) * 1000:.0f} ms, p99 {p99(before) * 1000:.0f} ms")
    if during:
        print(
            f"blocks during: median {median(during) * 1000:.0f} ms, p99 {p99(during) * 1000:.0f} ms, of {len(during)}"
        )
    wall = onramp.asked_at[-1] - onramp.asked_at[0]
    print(f"asks {asks}, sessions {len(onramp.sessions)}, calls {len(onramp.asked_at)} in {wall:.0f} s")
    print(f"rate {len(onramp.asked_at) / wall:.1f}/s of {rate}/s, at most {max(seconds.values())} in a second")
    print(f"at most {onramp.most} under way at once")


if __name__ == "__main__":
    asyncio.run(main(*[int(text) for text in (*sys.argv[1:], *("10000", "20")[len(sys.argv) - 1 :])]))
