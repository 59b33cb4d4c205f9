"""A backup of a running daemon, put back: whoever has a link keeps it, and nobody gets another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import select

from chains.model import NATIVE, Holding
from notifier.sandbox.server import SandboxOptions, open_sandbox
from notifier.stripe_onramp import StripeOnramp
from tests.fakes.clock import ManualClock
from tests.fakes.settings import ETH, EVM, make_settings
from tests.integration.watcher.world import World
from tests.nodes.anvil import Anvil
from watcher.adopting import LOOK_FIRST_FOR, LostSessions
from watcher.apply import CREATE_SESSION_TASK
from watcher.clock import SystemClock
from watcher.closing import LOOK_TASK
from watcher.db.backup import back_up, restore
from watcher.dispatch import Dispatcher
from watcher.look import Follower
from watcher.model import TopUpStatus
from watcher.session_request import Onramps
from watcher.store.database import Database
from watcher.store.declare import find_restored
from watcher.store.tables import session

ADDRESSES = {f"w-{n}": f"0x{10**39 + n}" for n in range(1, 6)}


def holding(wallet: str) -> Holding:
    return Holding(EVM, NATIVE, ADDRESSES[wallet])


@dataclass
class Stripe:
    """The sandbox, and what it saw."""

    url: str
    http: aiohttp.ClientSession

    async def created(self) -> list[str]:
        """Top-ups that a session was made for, one entry each."""
        async with self.http.get(f"{self.url}/_sandbox/ledger") as answer:
            entries = (await answer.json())["data"]
        made = {e["session"]: e["params"]["metadata"]["top_up"] for e in entries if e["operation"] == "create"}
        return sorted(made.values())

    async def pay(self, session_id: str, **order: str) -> None:
        async with self.http.post(f"{self.url}/_sandbox/sessions/{session_id}/pay", json=order) as answer:
            assert answer.status == 200, await answer.text()


@pytest.fixture
async def stripe(request: pytest.FixtureRequest) -> AsyncIterator[Stripe]:
    """With a local chain only where somebody pays."""
    async with AsyncExitStack() as stack:
        pays = request.node.get_closest_marker("evm") is not None
        rpc = (await stack.enter_async_context(Anvil())).http if pays else None
        url = await stack.enter_async_context(open_sandbox(SandboxOptions("127.0.0.1", 0, evm_rpc=rpc)))
        yield Stripe(url, await stack.enter_async_context(aiohttp.ClientSession()))


class Life:
    """One run of a daemon's parts on a store, from its start on."""

    def __init__(self, world: World, stripe: Stripe, stack: AsyncExitStack) -> None:
        self.world = world
        self._stripe = stripe
        self._stack = stack

    async def start(self, *, lost_clock: Any = None) -> "Life":
        world = self.world
        await world.start()
        await world.observer.refresh_watched()
        async with world.database.begin() as conn:
            ((installation,),) = await conn.exec_driver_sql("select id from installation")
            restored = await find_restored(conn)
        onramp = await self._stack.enter_async_context(
            StripeOnramp("sk_test_1", installation=installation, api_base=self._stripe.url)
        )
        clock = lost_clock or SystemClock()
        lost = None if restored is None else LostSessions(world.database, restored, clock=clock)
        onramps = Onramps({"default": onramp}, installation, world.settings)
        self.dispatcher = Dispatcher(world.database, onramps, clock=world.clock, new_id=world.new_id, lost=lost)
        self.follower = Follower(world.database, onramps, clock=world.clock, new_id=world.new_id)
        return self

    async def run_low(self, *wallets: str) -> None:
        await self.world.step({holding(wallet): ETH - 1 for wallet in wallets})

    async def work(self) -> None:
        """Make what sessions are due, and look at them."""
        for name, args in await self.world.jobs():
            if name == CREATE_SESSION_TASK:
                await self.dispatcher.create_session(**args)
        for top_up in await self.world.top_ups():
            await self.follower.look_at_session(top_up.id)
        for name, args in await self.world.jobs():
            assert name != CREATE_SESSION_TASK
            if name == LOOK_TASK:
                await self.follower.look_at_session(**args)

    async def sessions(self) -> dict[str, str]:
        """Stripe's id by wallet."""
        by_id = {top_up.id: top_up.wallet for top_up in await self.world.top_ups()}
        async with self.world.database.begin() as conn:
            rows = (await conn.execute(select(session.c.top_up, session.c.stripe_id))).all()
        assert len({stripe_id for _, stripe_id in rows}) == len(rows)
        return {by_id[top_up]: stripe_id for top_up, stripe_id in rows}


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as entered:
        yield entered


@pytest.fixture
async def first(database: Database, tmp_path: Path, stripe: Stripe, stack: AsyncExitStack) -> Life:
    """The life before the restore: five wallets, of which two are low and one has its link."""
    life = await Life(World(database, make_settings(tmp_path)), stripe, stack).start()
    for wallet, address in ADDRESSES.items():
        await life.world.register(id=wallet, addresses={"local-evm": address})
    await life.world.step({holding(wallet): 5 * ETH for wallet in ADDRESSES})
    await life.run_low("w-1")
    await life.work()
    await life.run_low("w-2")
    return life


async def put_back(
    first: Life, database_url: str, path: Path, stripe: Stripe, stack: AsyncExitStack, **how: Any
) -> Life:
    """Restore, and the life after it: the chain goes on, the clock too."""
    await first.world.database.close()
    await asyncio.to_thread(restore, database_url, path, replace=True, epoch="epo_after")
    database = Database(database_url)
    stack.push_async_callback(database.close)
    world = World(database, first.world.settings, first.world.clock, first.world.chain)
    for _ in range(1000):
        world.new_id("unlike-the-first")
    return await Life(world, stripe, stack).start(**how)


async def test_nobody_is_asked_twice(
    first: Life, database_url: str, tmp_path: Path, stripe: Stripe, stack: AsyncExitStack
) -> None:
    """Sessions made after the backup are adopted, for a top-up that it has and for one that it knows nothing of."""
    path = tmp_path / "b"
    await asyncio.to_thread(back_up, database_url, path, now=datetime.now(UTC))
    await first.work()
    await first.run_low("w-3")
    await first.work()
    before = await first.sessions()
    assert set(before) == {"w-1", "w-2", "w-3"}
    made = await stripe.created()
    second = await put_back(first, database_url, path, stripe, stack)
    assert {t.wallet for t in await second.world.top_ups()} == {"w-1", "w-2"}
    await second.run_low()
    await second.work()
    assert await second.sessions() == before
    assert await stripe.created() == made
    links = await second.world.events()
    assert links.count("top_up.link_ready") == 3


@pytest.mark.evm
async def test_who_has_paid_meanwhile_is_not_asked(
    first: Life, database_url: str, tmp_path: Path, stripe: Stripe, stack: AsyncExitStack
) -> None:
    """A session that was paid after the backup moves its top-up to settling, known to the backup or not."""
    path = tmp_path / "b"
    await asyncio.to_thread(back_up, database_url, path, now=datetime.now(UTC))
    await first.run_low("w-3")
    await first.work()
    before = await first.sessions()
    await stripe.pay(before["w-2"], then="processing")
    await stripe.pay(before["w-3"], then="processing")
    second = await put_back(first, database_url, path, stripe, stack)
    await second.run_low()
    await second.work()
    assert await second.sessions() == before
    status = {t.wallet: t.status for t in await second.world.top_ups()}
    assert status == {"w-1": TopUpStatus.OPEN, "w-2": TopUpStatus.SETTLING, "w-3": TopUpStatus.SETTLING}


async def test_who_was_never_asked_is_asked(
    first: Life, database_url: str, tmp_path: Path, stripe: Stripe, stack: AsyncExitStack
) -> None:
    """A new need after the restore gets a session of its own, and a session that has ended is no reason not to."""
    path = tmp_path / "b"
    await asyncio.to_thread(back_up, database_url, path, now=datetime.now(UTC))
    await first.run_low("w-3")
    await first.work()
    before = await first.sessions()
    await stripe.pay(before["w-3"], then="reject")
    second = await put_back(first, database_url, path, stripe, stack)
    await second.run_low("w-4")
    await second.work()
    after = await second.sessions()
    assert after["w-2"] == before["w-2"]
    assert {after["w-3"], after["w-4"]}.isdisjoint(before.values())
    assert len(await stripe.created()) == 5


async def test_long_after_a_restore_nothing_is_looked_for(
    first: Life, database_url: str, tmp_path: Path, stripe: Stripe, stack: AsyncExitStack
) -> None:
    """A link that was lost a day ago is not given for a need of today."""
    path = tmp_path / "b"
    await asyncio.to_thread(back_up, database_url, path, now=datetime.now(UTC))
    await first.run_low("w-3")
    await first.work()
    before = await first.sessions()
    later = ManualClock(datetime.now(UTC) + LOOK_FIRST_FOR + timedelta(minutes=1))
    second = await put_back(first, database_url, path, stripe, stack, lost_clock=later)
    await second.run_low()
    await second.work()
    assert (await second.sessions())["w-3"] != before["w-3"]
