"""One network's loop: a step of the chain, balances at that block, decisions, one transaction, the cursor last."""

import asyncio
from collections.abc import Callable, Collection
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from chains.chain import Chain
from chains.errors import BlockGone, ChainError, WrongNetwork
from chains.model import Balance, BlockRef, Fee, Holding, Step
from watcher.clock import Clock, Stamp
from watcher.followed import find_astir
from watcher.judge import Rules
from watcher.metrics import Metrics
from watcher.networks import mark_stale
from watcher.owning import Shards
from watcher.recording import Recorder
from watcher.rotation import MOST_UNREAD, Rotation, list_moved
from watcher.settling import read_settled, reading_together
from watcher.store.attention import FIRST, Wallet, list_unread, list_watched_of, moves_with_fee
from watcher.store.database import Database
from watcher.store.events import record_events
from watcher.store.shards import Fenced, Share, find_cursors, hold_shards
from watcher.watching import load, load_wallets

log = structlog.get_logger()

RETRY_SECONDS = 1.0
"""Pause after a step that could not be read: the cursor has not moved, so nothing is lost by it."""
STAND_BY_SECONDS = 5.0
"""Pause between looks whether a share is to be had, or the network can be read again."""
CHECK_EVERY = timedelta(hours=1)
"""How often each endpoint's chain id or genesis hash is asked for again."""
FEE_MOVED_PERCENT = 10
"""A fee that moved by more than this re-opens the question for holdings whose levels are counted in transactions."""


class Observer:
    """Watches one network. `run` is a loop for the supervisor; `observe` is one step of it."""

    def __init__(
        self,
        chain: Chain,
        rules: Rules,
        database: Database,
        *,
        clock: Clock,
        new_id: Callable[[str], str],
        shards: Shards,
        metrics: Metrics,
    ) -> None:
        """`shards` says what is this process's to watch. `chain` may be read by others, too."""
        self.chain = chain
        self._rules = rules
        self._database = database
        self._clock = clock
        self._new_id = new_id
        self._shards = shards
        self._share = Share(rules.network.id, rules.network.shards, {})
        self._metrics = metrics
        self._rotation = Rotation()
        self._recorder = Recorder(database, rules, clock=clock, new_id=new_id)
        self.wallets = 0
        """Addresses that are watched."""
        self._refreshing = asyncio.Lock()
        self._checked_at: datetime | None = None
        self._fee: Fee | None = None

    async def run(self) -> None:
        """Follow the chain for ever, for as long as some of its shards are ours."""
        network = self._rules.network
        while True:
            try:
                if await self._shards.wait(network.id, STAND_BY_SECONDS) is None:
                    await self._look_whether_readable()
                    continue
                if not self._mine().tokens:
                    await self.refresh_watched()
                await self._check_endpoints()
                await self._follow()
            except BlockGone:
                log.info("block.gone", network=network.name)
            except Fenced as error:
                log.info("shard.lost", network=network.name, detail=str(error))
            except ChainError as error:
                await self._tell_stale(error)
            await asyncio.sleep(RETRY_SECONDS)

    async def refresh_watched(self) -> None:
        """Take up all that is watched now, and let go of what is not."""
        network = self._rules.network
        async with self._refreshing:
            share = self._shards.find(network.id) or self._share.only(())
            found = await load(self._database, network, self.chain, share, taken=share.without(self._share))
            self._share, self.wallets = share, found.addresses
        if found.new or found.gone:
            log.info("watching.changed", network=network.name, watched=found.holdings, new=found.new)

    async def refresh_wallets(self, wallets: Collection[Wallet]) -> None:
        """The same of some wallets."""
        async with self._refreshing:
            grown = await load_wallets(self._database, self._rules.network, self.chain, self._share, wallets)
            self.wallets += grown or 0
        if grown is not None:
            log.info("watching.changed", network=self._rules.network.name, watched=len(self.chain.watched))

    async def nudge(self, wallets: Collection[Wallet] = ()) -> None:
        """Read some wallets here now, though no block has touched them; without any, what was never judged."""
        network = self._rules.network.id
        async with self._database.begin() as conn:
            if wallets:
                due = list(await list_watched_of(conn, network, wallets))
            else:
                due = await list_unread(conn, network, behind=FIRST, limit=MOST_UNREAD)
        self.chain.watch([at for at in due if at in self.chain.watched])

    async def _check_endpoints(self) -> None:
        now = self._clock.now()
        if self._checked_at is None or now - self._checked_at > CHECK_EVERY:
            await self.chain.check()
            self._checked_at = now

    async def _look_whether_readable(self) -> None:
        """A replica that gave its share away, as it could not read the network: can it by now?"""
        network = self._rules.network.id
        if not self._shards.reads(network):
            async with aclosing(self.chain.follow(None)) as steps:
                await anext(steps)
            self._shards.note_read(network)

    def _mine(self) -> Share:
        """The shards that were taken up here, and that are still ours."""
        return self._share.keep(self._shards.find(self._rules.network.id))

    async def _follow(self) -> None:
        """One head for all our shards. Ends when there are none, or when one was taken over that had come further."""
        share = self._mine()
        async with aclosing(self.chain.follow(await self._find_start(share))) as steps:
            async for step in steps:
                share, before = self._mine(), share
                if not share.tokens or await self._is_ahead(share.without(before), step.block):
                    return
                await self.observe(step)
                await self._check_endpoints()

    async def _find_start(self, share: Share) -> BlockRef | None:
        """The newest of our cursors: a node may be behind it, and is not believed. What lags is read whole."""
        async with self._database.begin() as conn:
            cursors = await find_cursors(conn, share)
        start = max((c for c in cursors.values() if c is not None), key=lambda c: c.number, default=None)
        lagging = share.without(share.only(n for n, cursor in cursors.items() if cursor == start))
        if lagging.tokens:
            self.chain.watch([holding for holding in self.chain.watched if lagging.has(holding.address)])
        return start

    async def _is_ahead(self, new: Share, block: BlockRef) -> bool:
        """Whether one of these shards was seen at a later block: what is there now must not be judged by this one."""
        if not new.tokens:
            return False
        async with self._database.begin() as conn:
            cursors = await find_cursors(conn, new)
        return any(cursor is not None and cursor.number > block.number for cursor in cursors.values())

    async def observe(self, step: Step) -> None:
        """Read, decide and record one step. Raises `ChainError` or `Fenced`, and then nothing was written."""
        network, share = self._rules.network, self._mine()
        async with self._database.begin() as conn:
            turn = await self._rotation.next(conn, share, now=self._clock.now(), height=step.block.number)
            depends_on_fee = await moves_with_fee(conn, network.id)
        wanted = self._keep_mine({*step.dirty, *turn.attended}, share)
        async with reading_together() as together:
            reading = together.create_task(self._read(wanted, step))
            needed = {at for _, _, at in turn.needed}
            settling = together.create_task(read_settled(self.chain, turn.asks, needed))
            pricing = together.create_task(self._read_fee(wanted=depends_on_fee))
        must = {*step.dirty, *turn.judged, *needed}
        read = reading.result()
        balances = tuple(b for b in read if b.holding in must or b.amount != turn.attended.get(b.holding))
        settled, fee = settling.result(), pricing.result()
        if fee is not None:
            moved = await list_moved(self._database, network, fee) if self._fee_moved(fee) else set()
            moved = self._keep_mine(moved, share)
            balances = (*balances, *await self._read(moved - wanted, step))
            settled = replace(settled, transaction_cost=fee.cost(network.typical_gas))
        async with self._database.begin() as conn:
            astir = await find_astir(
                conn,
                self._rules,
                [ask for ask, _ in turn.asks],
                settled.balances,
                transaction_cost=settled.transaction_cost,
                height=step.block.number,
            )
        beside = {(a.tenant, a.wallet) for a in astir} | {(tenant, wallet) for tenant, wallet, _ in turn.needed}
        balances = tuple(sorted(balances, key=lambda b: b.holding in turn.attended))  # those come again in any case
        left = await self._recorder.record(
            step, share, balances, settled, [a.id for a in astir], beside=beside, fee=fee
        )
        self.chain.watch([b.holding for b in left])
        if self._fee_moved(fee):
            self._fee = fee
        self._shards.note_read(network.id)
        self._metrics.head.labels(network.name).set(step.block.number)
        if step.orphaned or step.gap:
            changed = len(step.dirty)
            log.info("chain.turned", network=network.name, orphaned=len(step.orphaned), gap=step.gap, changed=changed)

    def _keep_mine(self, holdings: Collection[Holding], share: Share) -> set[Holding]:
        return {at for at in holdings if share.has(at.address) and at in self.chain.watched}

    async def _read(self, holdings: Collection[Holding], step: Step) -> tuple[Balance, ...]:
        return await self.chain.balances(sorted(holdings), step.block) if holdings else ()

    async def _read_fee(self, *, wanted: bool) -> Fee | None:
        return await self.chain.fee() if wanted else None

    def _fee_moved(self, fee: Fee | None) -> bool:
        if fee is None:
            return False
        size = self._rules.network.typical_gas
        before = None if self._fee is None else self._fee.cost(size)
        return before is None or abs(fee.cost(size) - before) * 100 > before * FEE_MOVED_PERCENT

    async def _tell_stale(self, error: ChainError) -> None:
        reason = "wrong_network" if isinstance(error, WrongNetwork) else "unreachable"
        log.warning("network.unreadable", network=self._rules.network.name, reason=reason, detail=str(error))
        self._shards.note_unread(self._rules.network.id)
        share = self._mine()
        if not share.speaks:
            return
        stamp = Stamp(self._clock.now(), self._new_id)
        with suppress(Fenced):
            async with self._database.begin() as conn:
                events = await mark_stale(conn, self._rules, stamp, reason=reason)
                await hold_shards(conn, share)
                await record_events(conn, events, now=stamp.now, new_id=self._new_id)
