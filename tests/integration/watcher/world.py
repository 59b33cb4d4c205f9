"""A whole daemon's worth of parts around a real database: chain and onramp in memory, the clock by hand."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry
from sqlalchemy import select, text

from chains.model import NATIVE, Holding
from config.model import Settings, Tenant
from tests.described import validate_event
from tests.fakes.chain import FakeChain
from tests.fakes.clock import ManualClock, counting_ids
from tests.fakes.settings import EVM
from watcher.api.events import render_event
from watcher.clock import Stamp
from watcher.judge import Rules
from watcher.metrics import Metrics
from watcher.model import TopUp
from watcher.observe import Observer
from watcher.owning import Shards
from watcher.registration import Registered, register_wallet, remove_wallet
from watcher.store.database import Database
from watcher.store.declare import declare_installation, declare_tenants
from watcher.store.events import record_events
from watcher.store.tables import event, top_up
from watcher.store.top_ups import read_top_up
from watcher.wallet_plan import WalletSpec

ADDRESS = "0xB00F0759DbeeF5E543Cc3E3B07A6442F5f3928a2"
ETH_HOLDING = Holding(EVM, NATIVE, ADDRESS)


async def check_recorded(database: Database) -> None:
    """Each event in the store is as its type is described."""
    async with database.begin() as conn:
        rows = (await conn.execute(select(event))).mappings().all()
    for row in rows:
        validate_event(render_event(row))


@dataclass
class World:
    """Drives the loops one step at a time."""

    database: Database
    settings: Settings
    clock: ManualClock = field(default_factory=ManualClock)
    chain: FakeChain = field(default_factory=lambda: FakeChain(EVM))
    name: str = "test"
    """Of this replica."""

    def __post_init__(self) -> None:
        self.new_id = counting_ids()
        self.rules = Rules(self.settings.networks[EVM], self.settings.tenants, self.settings.networks)
        self.metrics = Metrics(CollectorRegistry())
        self.shards = Shards(
            self.database, "", self.settings.networks, name=self.name, clock=self.clock, metrics=self.metrics
        )
        self.observer = self.make_observer()

    def make_observer(self) -> Observer:
        """By the rules as they are now."""
        return Observer(
            self.chain,
            self.rules,
            self.database,
            clock=self.clock,
            new_id=self.new_id,
            shards=self.shards,
            metrics=self.metrics,
        )

    @property
    def tenant(self) -> Tenant:
        return self.settings.tenants["default"]

    def stamp(self) -> Stamp:
        return Stamp(self.clock.now(), self.new_id)

    async def start(self) -> "World":
        async with self.database.begin() as conn:
            await declare_installation(conn, now=self.clock.now(), new_id=self.new_id)
            await declare_tenants(conn, self.settings.tenants.values(), console=False, now=self.clock.now())
        await self.shards.join()
        await self.observer.refresh_watched()
        return self

    async def register(self, **changes: Any) -> Registered:
        body = {"id": "w-1", "addresses": {"local-evm": ADDRESS}, "policy": "default", **changes}
        spec = WalletSpec(**body, body={k: v for k, v in body.items() if k != "asks_paused_until"})
        async with self.database.begin() as conn:
            stamp = self.stamp()
            done = await register_wallet(conn, spec, self.tenant, self.settings, stamp)
            await record_events(conn, done.events, now=stamp.now, new_id=self.new_id)
        await self.observer.refresh_watched()
        return done

    async def remove(self, wallet_id: str) -> None:
        async with self.database.begin() as conn:
            stamp = self.stamp()
            events = await remove_wallet(conn, wallet_id, self.tenant, self.settings, stamp)
            await record_events(conn, events or (), now=stamp.now, new_id=self.new_id)
        await self.observer.refresh_watched()

    async def step(self, balances: Mapping[Holding, int] | None = None) -> None:
        """Mine a block with these balances, and observe it."""
        self.chain.mine(balances)
        await self.observe()

    async def observe(self) -> None:
        step = self.chain.find_step()
        await self.observer.observe(step)
        self.chain.forget(step)

    async def top_ups(self) -> list[TopUp]:
        async with self.database.begin() as conn:
            rows = (await conn.execute(select(top_up).order_by(top_up.c.created_at, top_up.c.id))).mappings()
            return [read_top_up(row) for row in rows]

    async def events(self) -> list[str]:
        async with self.database.begin() as conn:
            return list((await conn.execute(select(event.c.type).order_by(event.c.position))).scalars())

    async def jobs(self) -> list[tuple[str, dict[str, Any]]]:
        """Queued jobs, first to last, then sessions that wait for their turn; they are taken off the queue."""
        query = text("delete from procrastinate_jobs where status = 'todo' returning id, task_name, args")
        turns = text("delete from session_turn returning rank, due_at, top_up")
        async with self.database.begin() as conn:
            rows = sorted((await conn.execute(query)).all())
            waiting = sorted((await conn.execute(turns)).all())
        return [(row[1], row[2]) for row in rows] + [("create_session", {"top_up": row[2]}) for row in waiting]
