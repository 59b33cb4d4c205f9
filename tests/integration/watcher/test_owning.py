"""Replicas on one database: who owns what when one comes, goes, dies, or freezes; and what that means for wallets."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from eth_utils.address import to_checksum_address
from prometheus_client import CollectorRegistry
from sqlalchemy import insert, select, text, update

from chains.errors import Unavailable
from chains.model import Holding
from tests.fakes.clock import ManualClock
from tests.fakes.settings import ETH, EVM, make_network, make_settings
from tests.integration.engine.polling import until
from tests.integration.watcher.world import ETH_HOLDING, World
from watcher.metrics import Metrics
from watcher.owning import Shards
from watcher.store.database import Database, conninfo
from watcher.store.errors import ShardsDiffer, StoreUnavailable
from watcher.store.replicas import hold_name
from watcher.store.shards import Fenced, Share, hold_shards
from watcher.store.tables import cursor, replica

Make = Callable[..., Shards]


@pytest.fixture
def make(database: Database, database_url: str) -> Make:
    """A replica by its name."""

    def make_shards(name: str, *, clock: ManualClock | None = None, shards: int = 8) -> Shards:
        return Shards(
            database,
            conninfo(database_url),
            {EVM: make_network(shards=shards)},
            name=name,
            clock=clock or ManualClock(),
            metrics=Metrics(CollectorRegistry()),
        )

    return make_shards


def owned(shards: Shards) -> list[int]:
    share = shards.find(EVM)
    return [] if share is None else sorted(share.tokens)


async def silence(database: Database, name: str, seconds: float) -> None:
    """As if it had last been heard so long ago."""
    async with database.begin() as conn:
        ago = text("clock_timestamp() - make_interval(secs => :ago)").bindparams(ago=seconds)
        await conn.execute(update(replica).where(replica.c.name == name).values(seen_at=ago))


@asynccontextmanager
async def living(database_url: str, name: str) -> AsyncIterator[None]:
    """Its process is there, whatever it does."""
    async with await hold_name(conninfo(database_url), name):
        yield


async def test_one_alone_owns_everything_at_once(make: Make) -> None:
    """Nothing is waited for: joining is enough."""
    alone = make("a")
    await alone.join()
    assert owned(alone) == list(range(8))


async def test_a_second_one_gets_half_and_hands_it_back(make: Make) -> None:
    """Each shard has one owner at any time: it is free for a moment, never owned twice."""
    first, second = make("a"), make("b")
    await first.join()
    await second.join()
    assert owned(second) == []
    await first.look()
    assert owned(first) == [0, 1, 2, 3]
    await second.look()
    assert owned(second) == [4, 5, 6, 7]
    await second.leave()
    assert owned(second) == []
    await first.look()
    assert owned(first) == list(range(8))


async def test_one_whose_process_ended_is_replaced_within_two_seconds(make: Make, database: Database) -> None:
    """PostgreSQL has dropped its lock with its process; only one that is just connecting again looks the same."""
    dead, other = make("dead"), make("other")
    await dead.join()
    await silence(database, "dead", 1)
    await other.join()
    assert owned(other) == []
    await silence(database, "dead", 2)
    await other.look()
    assert owned(other) == list(range(8))


async def test_a_frozen_one_is_replaced_when_its_lease_ends(make: Make, database: Database, database_url: str) -> None:
    """Its process is there, so it may just be slow; after eight seconds of silence it is not waited for."""
    frozen, other = make("frozen"), make("other")
    async with living(database_url, "frozen"):
        await frozen.join()
        await silence(database, "frozen", 7)
        await other.join()
        assert owned(other) == []
        await silence(database, "frozen", 9)
        await other.look()
        assert owned(other) == list(range(8))
        share = frozen.find(EVM)
        assert share is not None
        with pytest.raises(Fenced):
            async with database.begin() as conn:
                await hold_shards(conn, share)
        await frozen.look()
        assert owned(frozen) == []  # the other one has them, and hands half of them back
        await other.look()
        await frozen.look()
        assert len(owned(frozen)) == len(owned(other)) == 4


async def test_what_a_frozen_one_holds_is_freed(make: Make, database: Database, database_url: str) -> None:
    """In the midst of a pipeline PostgreSQL keeps its locks for ever: its sessions are ended, and nobody else's."""
    for replicas in (make("frozen"), make("living"), other := make("other")):
        await replicas.join()
    names = ("frozen", "living", "")
    frozen, *bystanders = [
        await psycopg.AsyncConnection.connect(conninfo(database_url, replica=name)) for name in names
    ]
    try:
        await frozen.execute("select * from sharding for update")
        await silence(database, "frozen", 7)
        await other.look()
        with pytest.raises(StoreUnavailable):
            await lock_sharding(database)
        await silence(database, "frozen", 9)
        await other.look()
        await lock_sharding(database)
        for session in bystanders:
            await session.execute("select 1")
        with pytest.raises(psycopg.OperationalError):
            await frozen.execute("select 1")
    finally:
        for session in (frozen, *bystanders):
            await session.close()


async def lock_sharding(database: Database) -> None:
    async with database.begin() as conn:
        await conn.execute(text("set local lock_timeout = '300ms'"))
        await conn.execute(text("select * from sharding for update"))


async def test_a_replica_lives_by_its_own_doing(make: Make, database: Database) -> None:
    """Running, it is heard of and holds its lock: nobody takes anything from it; cancelled, it is gone soon."""
    running, other = make("running"), make("other")
    await running.join()
    task = asyncio.create_task(running.run())
    try:
        await other.join()
        for _ in range(6):
            await other.look()
            await asyncio.sleep(0.5)
        assert len(owned(other)) == len(owned(running)) == 4
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def has_all() -> bool:
        await other.look()
        return len(owned(other)) == 8

    await until(has_all, seconds=8)


async def test_one_that_can_t_read_the_network_leaves_it_to_others(make: Make) -> None:
    """After ten seconds without an answer; where nobody can read it, all keep trying."""
    clock = ManualClock()
    blind, other = make("blind", clock=clock), make("other")
    await blind.join()
    await other.join()
    blind.note_unread(EVM)
    clock.advance(seconds=9)
    blind.note_unread(EVM)
    await blind.look()
    assert owned(blind) == [0, 1, 2, 3]
    clock.advance(seconds=2)
    await blind.look()
    await other.look()
    assert (owned(blind), owned(other)) == ([], list(range(8)))
    blind.note_read(EVM)
    await blind.look()
    await other.look()
    await blind.look()
    assert len(owned(blind)) == len(owned(other)) == 4


async def test_a_lone_one_that_can_t_read_keeps_what_it_has(make: Make) -> None:
    """Nobody else would do better."""
    clock = ManualClock()
    alone = make("a", clock=clock)
    await alone.join()
    alone.note_unread(EVM)
    clock.advance(minutes=5)
    await alone.look()
    assert owned(alone) == list(range(8))


async def test_another_number_of_shards_is_refused_beside_others(make: Make, database: Database) -> None:
    """Two that count differently would leave wallets to nobody: the one that comes is told which setting differs."""
    running = make("running")
    await running.join()
    with pytest.raises(ShardsDiffer, match=r"networks\.local-evm\.shards is 4 here and 8 in replicas"):
        await make("other", shards=4).join()
    await running.look()
    assert owned(running) == list(range(8))


async def test_another_number_of_shards_is_taken_up_when_nobody_else_runs(make: Make, database: Database) -> None:
    """Everything is divided anew, from the newest block on, and who woke up late writes nothing, nor goes on."""
    late = make("late")
    await late.join()
    share = late.find(EVM)
    assert share is not None
    async with database.begin() as conn:
        await conn.execute(update(cursor).where(cursor.c.shard == 3).values(height=100, hash="0x64"))
    await silence(database, "late", 20)
    for total in (4, 16, 1):
        now = make(f"now-{total}", shards=total)
        await now.join()
        assert owned(now) == list(range(total))
        async with database.begin() as conn:
            heights = select(cursor.c.height).where(cursor.c.shard < total)
            assert set((await conn.execute(heights)).scalars()) == {100}
            for shard in range(8):  # those that are no more, too
                with pytest.raises(Fenced):
                    await hold_shards(conn, share.only([shard]))
        await silence(database, f"now-{total}", 20)
    with pytest.raises(ShardsDiffer):
        await late.look()
    assert owned(late) == []


async def test_the_one_cursor_of_earlier_releases_becomes_shards(make: Make, database: Database) -> None:
    """They go on where it stood, and the earlier release, should it still run, writes nothing more."""
    async with database.begin() as conn:
        row = {"network": EVM, "shard": 0, "token": 7, "owner": "old", "height": 50, "hash": "0x32"}
        await conn.execute(insert(cursor).values(**row, updated_at=ManualClock().now()))
    new = make("new")
    await new.join()
    assert owned(new) == list(range(8))
    async with database.begin() as conn:
        assert set((await conn.execute(select(cursor.c.height))).scalars()) == {50}
        with pytest.raises(Fenced):
            await hold_shards(conn, Share(EVM, 1, {0: 7}))


# What it means for wallets


class Pair:
    """Two replicas with a node each, whose blocks the test mines on both."""

    def __init__(self, database: Database, folder: Path) -> None:
        settings = make_settings(folder)
        self.a = World(database, settings, name="a")
        self.b = World(database, settings, clock=self.a.clock, name="b")
        self.b.new_id = self.b.observer._new_id = self.a.new_id  # ids are unique

    async def start(self) -> "Pair":
        await self.a.start()
        await self.b.start()
        await self.share()
        return self

    async def share(self) -> None:
        """Both look around, and take up what they have."""
        for world in (self.a, self.b, self.a, self.b):
            await world.shards.look()
            await world.observer.refresh_watched()

    def mine(self, balances: dict[Holding, int]) -> None:
        for world in (self.a, self.b):
            world.chain.mine(balances)

    async def observe(self) -> None:
        await self.a.observe()
        await self.b.observe()


def holdings(number: int) -> list[Holding]:
    return [replace(ETH_HOLDING, address=to_checksum_address(f"0x{i:040x}")) for i in range(0x1001, 0x1001 + number)]


@pytest.fixture
async def pair(database: Database, tmp_path: Path) -> Pair:
    return await Pair(database, tmp_path).start()


async def test_each_wallet_is_decided_on_once(pair: Pair) -> None:
    """Both replicas see every block; each shortfall is asked for once, and each landing closes once."""
    many = holdings(12)
    for i, each in enumerate(many):
        await pair.a.register(id=f"w-{i}", addresses={"local-evm": each.address})
    await pair.b.observer.refresh_watched()
    pair.mine(dict.fromkeys(many, 1))
    await pair.a.observe()
    first = {t.wallet for t in await pair.a.top_ups()}
    assert 0 < len(first) < 12
    await pair.b.observe()
    assert sorted(t.wallet for t in await pair.a.top_ups()) == sorted(f"w-{i}" for i in range(12))
    await pair.observe()
    told = await pair.a.events()
    assert (told.count("wallet.low"), told.count("top_up.opened")) == (12, 12)
    pair.mine(dict.fromkeys(many, 3 * ETH))
    await pair.observe()
    await pair.observe()
    assert (await pair.a.events()).count("wallet.recovered") == 12


async def test_what_changed_while_a_shard_changed_hands_is_seen(pair: Pair) -> None:
    """Whoever takes a shard reads all of it, whatever blocks have touched since; also one that it had before."""
    (low,) = holdings(1)
    await pair.a.register(addresses={"local-evm": low.address})
    await pair.b.observer.refresh_watched()
    pair.mine({low: 2 * ETH})
    await pair.observe()
    owner, other = (pair.a, pair.b) if owns(pair.a, low) else (pair.b, pair.a)
    await owner.shards.leave()
    await owner.observer.refresh_watched()
    pair.mine({low: 5})
    other.chain.forget(other.chain.find_step())  # a block that it did not have to care about
    owner.chain.forget(owner.chain.find_step())
    await other.shards.look()
    await other.observer.refresh_watched()
    await other.observe()
    assert [t.asked for t in await pair.a.top_ups()] == [3 * ETH - 5]


async def test_a_shard_lost_and_had_again_is_read_again(pair: Pair, database: Database) -> None:
    """Between the two somebody else may have been told of a change: the newer token means to look anew."""
    (low,) = holdings(1)
    await pair.a.register(addresses={"local-evm": low.address})
    await pair.b.observer.refresh_watched()
    pair.mine({low: 2 * ETH})
    await pair.observe()
    owner, other = (pair.a, pair.b) if owns(pair.a, low) else (pair.b, pair.a)
    await silence(database, owner.name, 20)
    await other.shards.look()  # takes it; the owner does not notice
    pair.mine({low: 5})
    owner.chain.forget(owner.chain.find_step())
    await other.shards.leave()
    await owner.shards.look()
    await owner.observer.refresh_watched()
    await owner.observe()
    assert len(await pair.a.top_ups()) == 1


async def test_a_shard_handed_back_is_let_go_at_once(database: Database, tmp_path: Path) -> None:
    """Before what is watched was brought in line, a block may touch it: that is the next owner's to decide on."""
    pair = Pair(database, tmp_path)
    await pair.a.start()
    many = holdings(12)
    for i, each in enumerate(many):
        await pair.a.register(id=f"w-{i}", addresses={"local-evm": each.address})
    await pair.b.shards.join()
    await pair.a.shards.look()
    pair.mine(dict.fromkeys(many, 1))
    await pair.a.observe()
    mine = {f"w-{i}" for i, each in enumerate(many) if owns(pair.a, each)}
    assert 0 < len(mine) < 12
    assert {t.wallet for t in await pair.a.top_ups()} == mine


async def test_one_speaks_for_the_network(pair: Pair, database: Database) -> None:
    """Of two that can't read it, one says so; of a replaced one nothing is heard."""
    await pair.a.register()
    pair.mine({ETH_HOLDING: 2 * ETH})
    await pair.observe()
    await pair.b.observer._tell_stale(Unavailable("no answer"))
    assert await pair.a.events() == []
    await pair.a.observer._tell_stale(Unavailable("no answer"))
    await pair.b.observe()  # it reads what it has, and leaves the rest to the other
    assert await pair.a.events() == ["network.stale"]
    await silence(database, "a", 20)
    await pair.b.shards.look()
    await pair.b.observer.refresh_watched()
    await pair.b.observe()
    await pair.a.observer._tell_stale(Unavailable("woke up late"))
    assert await pair.a.events() == ["network.stale", "network.recovered"]


async def test_a_lagging_node_does_not_undo_what_another_has_seen(pair: Pair) -> None:
    """A shard that was seen at block 3 is not judged by a node at block 1, where its money was not there yet."""
    (funded,) = holdings(1)
    await pair.a.register(addresses={"local-evm": funded.address})
    await pair.b.observer.refresh_watched()
    owner, other = (pair.a, pair.b) if owns(pair.a, funded) else (pair.b, pair.a)
    for balances in ({}, {}, {funded: 2 * ETH}):
        owner.chain.mine(balances)
    other.chain.mine({})
    await owner.observe()
    running = asyncio.create_task(other.observer.run())
    telling = asyncio.create_task(other.shards.tell({EVM: other.observer}))
    try:
        await wait_for_height(other, 1)
        await owner.shards.leave()
        await other.shards.look()
        await asyncio.sleep(2)  # more than a pause of its loop: it would have judged by now
        assert await other.top_ups() == []
        other.chain.mine({})
        other.chain.mine({funded: 2 * ETH})
        await wait_for_height(other, 3)
        assert await other.top_ups() == []
        other.chain.mine({funded: 1})
        await wait_for_height(other, 4)
        assert len(await other.top_ups()) == 1
    finally:
        for task in (running, telling):
            task.cancel()
        await asyncio.gather(running, telling, return_exceptions=True)


def owns(world: World, holding: Holding) -> bool:
    share = world.shards.find(EVM)
    return share is not None and share.has(holding.address)


async def wait_for_height(world: World, height: int) -> None:
    """Until all that is its own was recorded there."""

    async def there() -> bool:
        share = world.shards.find(EVM)
        assert share is not None
        async with world.database.begin() as conn:
            heights = select(cursor.c.height).where(cursor.c.shard.in_(sorted(share.tokens)))
            return set((await conn.execute(heights)).scalars()) == {height}

    await until(there, seconds=15)
