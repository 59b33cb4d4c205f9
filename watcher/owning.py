"""A replica's share of the wallets: it says that it lives, takes what is its own, and gives back what is not.

One replica takes the same path, and owns everything.
"""

import asyncio
from collections.abc import Awaitable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Final, Protocol

import psycopg
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from chains.model import NetworkId
from config.model import Network
from watcher.clock import Clock
from watcher.metrics import Metrics
from watcher.shards import assign
from watcher.store.database import Database
from watcher.store.errors import ShardsDiffer, StoreUnavailable
from watcher.store.replicas import beat, end_sessions_of_dead, forget_replicas, hold_name, leave, list_members
from watcher.store.shards import (
    Shard,
    Share,
    claim_sharding,
    divide,
    find_sharding,
    list_shards,
    release_shards,
    take_shards,
)

log = structlog.get_logger()

BEAT_SECONDS: Final = 1.0
ANSWER_SECONDS: Final = 5.0
PATIENCE: Final = timedelta(seconds=10)
"""A network that can't be read for so long is left to replicas that can: to move for every hiccup would cost more."""
LEAVE_SECONDS: Final = 2.0
"""Handing back is a courtesy: without it, the others notice by themselves."""


class Holder(Protocol):
    """One network's loop, as far as its share concerns it."""

    def refresh_watched(self) -> Awaitable[None]:
        """Take up what is in the share now, and let go of the rest."""


class Shards:
    """What this replica owns of each network. `join`, then `run` and `tell` for the supervisor, `leave` at the end."""

    def __init__(
        self,
        database: Database,
        conninfo: str,
        networks: Mapping[NetworkId, Network],
        *,
        name: str,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        """`name` is this process's alone."""
        self._database = database
        self._conninfo = conninfo
        self._networks = networks
        self._totals = {network.id: network.shards for network in networks.values()}
        self._name = name
        self._clock = clock
        self._metrics = metrics
        self._unread_since: dict[NetworkId, datetime] = {}
        self._shares: dict[NetworkId, Share] = {}
        self._owning = {network: asyncio.Event() for network in networks}
        self._changed = asyncio.Event()
        self._looking = asyncio.Lock()

    def find(self, network: NetworkId) -> Share | None:
        """What is ours now, as far as we know; None when that is nothing."""
        return self._shares.get(network)

    async def wait(self, network: NetworkId, seconds: float) -> Share | None:
        """The same, but wait so long for a share where there is none."""
        try:
            async with asyncio.timeout(seconds):
                await self._owning[network].wait()
        except TimeoutError:
            pass
        return self.find(network)

    def reads(self, network: NetworkId) -> bool:
        """Whether this replica can read the network: one that can't gives its share to those that can."""
        since = self._unread_since.get(network)
        return since is None or self._clock.now() - since < PATIENCE

    def note_read(self, network: NetworkId) -> None:
        """It was read just now."""
        self._unread_since.pop(network, None)

    def note_unread(self, network: NetworkId) -> None:
        """It could not be read just now."""
        self._unread_since.setdefault(network, self._clock.now())

    async def join(self) -> None:
        """Become one of the replicas, and take what nobody has.

        Raises `ShardsDiffer` when others are running that count a network's shards differently.
        """
        now = self._clock.now()
        async with self._database.begin() as conn:
            await forget_replicas(conn)
            for network, wanted in sorted(self._totals.items()):
                stored = await claim_sharding(conn, network, wanted, now=now)
                if stored != wanted:
                    others = (await list_members(conn, [network]))[network].keys() - {self._name}
                    if others:
                        raise ShardsDiffer(
                            f"networks.{self._networks[network].name}.shards is {wanted} here and {stored} in replicas "
                            "that are running: stop them all before the number changes."
                        )
                    await divide(conn, network, wanted, now=now)
                    log.info("shards.divided", network=self._networks[network].name, before=stored, now=wanted)
            await beat(conn, self._name, {network: self.reads(network) for network in self._totals})
        await self.look()

    async def run(self) -> None:
        """Live, until cancelled. While PostgreSQL is away, try again: nothing can be written without it, either."""
        while True:
            try:
                async with await hold_name(self._conninfo, self._name) as session:
                    while True:
                        await self.look()
                        await asyncio.sleep(BEAT_SECONDS)
                        async with asyncio.timeout(ANSWER_SECONDS):
                            await session.execute("select 1")
            except (StoreUnavailable, psycopg.OperationalError, TimeoutError) as error:
                log.warning("replica.unheard", kind=type(error).__name__)
            await asyncio.sleep(BEAT_SECONDS)

    async def tell(self, holders: Mapping[NetworkId, Holder]) -> None:
        """Have each network's loop take up its share whenever that has changed; until cancelled."""
        told: dict[NetworkId, Share | None] = {}
        while True:
            self._changed.clear()
            for network, holder in holders.items():
                share = self.find(network)
                if told.get(network) is not share:
                    await holder.refresh_watched()
                    told[network] = share
            await self._changed.wait()

    async def leave(self) -> None:
        """Hand everything back, so that the others take it at once. Nothing may write after this."""
        try:
            async with asyncio.timeout(LEAVE_SECONDS), self._database.begin() as conn:
                await leave(conn, self._name)
        except (StoreUnavailable, TimeoutError) as error:
            log.warning("replica.not_left", kind=type(error).__name__)
        self._shares.clear()

    async def look(self) -> None:
        """Say that we live, see who else does, and bring our share in line.

        Raises `StoreUnavailable`, `ShardsDiffer`.
        """
        async with self._looking:
            async with self._database.begin() as conn:
                await beat(conn, self._name, {network: self.reads(network) for network in self._totals})
                ended = await end_sessions_of_dead(conn, self._name)
                stored = await find_sharding(conn, self._totals)
                if stored != self._totals:
                    self._adopt({})
                    raise ShardsDiffer("The number of shards was changed by another replica: start this one again.")
                members = await list_members(conn, self._totals)
                shards = await list_shards(conn, stored)
                shares = {n: await self._settle(conn, n, shards[n], members[n]) for n in sorted(self._totals)}
            self._adopt(shares)
        for name in ended:
            log.warning("replica.frozen", name=name)

    async def _settle(
        self, conn: AsyncConnection, network: NetworkId, shards: Mapping[int, Shard], members: Mapping[str, bool]
    ) -> Share:
        """What is ours from now on: without what another one should have, with what is free and should be ours."""
        share = self.find(network) or Share(network, self._totals[network], {})
        mine = {n: token for n, token in share.tokens.items() if shards[n] == Shard(token, self._name)}
        others = members.keys() - {self._name}
        wanted = assign({n: shard.owner for n, shard in shards.items()}, self._find_takers(network, members))
        surplus = {n: token for n, token in mine.items() if wanted[n] != self._name}
        if surplus:
            await release_shards(conn, Share(network, share.total, surplus), now=self._clock.now())
        free = {
            n: shard.token
            for n, shard in shards.items()
            if wanted[n] == self._name and n not in mine and shard.owner not in others
        }
        taken = await take_shards(conn, network, free, name=self._name, now=self._clock.now())
        kept = {n: token for n, token in mine.items() if n not in surplus}
        return Share(network, share.total, kept | taken)

    def _find_takers(self, network: NetworkId, members: Mapping[str, bool]) -> Collection[str]:
        """Those who can read the network; all of them, where nobody can."""
        known = {**members, self._name: self.reads(network)}
        return [name for name, reads in known.items() if reads] or list(known)

    def _adopt(self, shares: Mapping[NetworkId, Share]) -> None:
        for network, total in self._totals.items():
            before = self.find(network) or Share(network, total, {})
            now = shares.get(network) or Share(network, total, {})
            if now.tokens == before.tokens:
                continue
            if now.tokens:
                self._shares[network] = now
                self._owning[network].set()
            else:
                del self._shares[network]
                self._owning[network].clear()
            self._changed.set()
            name = self._networks[network].name
            self._metrics.shards.labels(name).set(len(now.tokens))
            self._metrics.shards_taken.labels(name).inc(len(now.tokens.items() - before.tokens.items()))
            log.info("shards.changed", network=name, owned=sorted(now.tokens), of=total)
