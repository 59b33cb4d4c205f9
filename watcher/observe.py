"""One network's loop: a step of the chain, balances at that block, decisions, one transaction, the cursor last."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from chains.chain import Chain
from chains.errors import BlockGone, ChainError, WrongNetwork
from chains.model import Balance, BlockRef, Fee, Holding, Step
from watcher.clock import Clock, Stamp
from watcher.closing import Settled, close, list_followed
from watcher.decide import decide
from watcher.followed import find_astir
from watcher.judge import Rules
from watcher.metrics import Metrics
from watcher.model import NewEvent
from watcher.networks import mark_fresh, mark_stale
from watcher.owning import Shards
from watcher.settling import read_settled
from watcher.store.asks import list_unclosed
from watcher.store.blocks import (
    list_attended,
    list_by_fee,
    list_watched,
    moves_with_fee,
    note_watched_since,
    save_balances,
)
from watcher.store.database import Database
from watcher.store.events import record_events
from watcher.store.shards import Fenced, Share, find_cursors, hold_shards, move_cursors

log = structlog.get_logger()

RETRY_SECONDS = 1.0
"""Pause after a step that could not be read: the cursor has not moved, so nothing is lost by it."""
STAND_BY_SECONDS = 5.0
"""Pause between looks whether a share is to be had, or the network can be read again."""
CHECK_EVERY = timedelta(hours=1)
"""How often each endpoint's chain id or genesis hash is asked for again."""
MOST_AT_ONCE = 100
"""Balances recorded in one transaction: each of them may become an ask."""
MOST_COUNTED = 5_000
"""Balances that are only looked at in one transaction, to see whether they are a storm."""
PATIENCE = timedelta(seconds=1)
"""How long a large step may keep the next head waiting."""
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
        self._watched: set[Holding] = set()
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
        """Take up what was registered since, and let go of what was removed."""
        async with self._refreshing:
            network = self._rules.network
            async with self._database.begin() as conn:
                listed = set(await list_watched(conn, network.id))
            share = self._shards.find(network.id) or self._share.only(())
            wanted = {h for h in listed if network.find_asset(h.asset) is not None and share.has(h.address)}
            if left_out := {h for h in listed if network.find_asset(h.asset) is None}:
                assets = sorted({holding.asset for holding in left_out})
                log.warning("assets.not_configured", network=network.name, assets=assets, holdings=len(left_out))
            taken = share.without(self._share)
            gone, new = self._watched - wanted, {h for h in wanted if h not in self._watched or taken.has(h.address)}
            if gone:
                self.chain.unwatch(gone)
            if new:
                self.chain.watch(new)
            self._watched, self._share = wanted, share
        if gone or new:
            log.info("watching.changed", network=network.name, watched=len(wanted), new=len(new))

    async def nudge(self) -> None:
        """Read what needs attention here now, though no block has touched it."""
        async with self._database.begin() as conn:
            attended = await list_attended(conn, self._rules.network.id)
        self.chain.watch(attended & self._watched)

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
            self.chain.watch({holding for holding in self._watched if lagging.has(holding.address)})
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
        network, share, watched = self._rules.network, self._mine(), self._watched
        async with self._database.begin() as conn:
            attended = await list_attended(conn, network.id)
            asks = [
                (ask, sessions)
                for ask, sessions in await list_followed(conn, network.id, now=self._clock.now())
                if share.has(next(d.holding.address for d in ask.destinations if d.holding.network == network.id))
            ]
            needed = [each for each in await list_unclosed(conn, network.id) if share.has(each[2].address)]
            depends_on_fee = await moves_with_fee(conn, network.id)
        fee = await self.chain.fee() if depends_on_fee else None
        moved = await self._list_by_fee() if self._fee_moved(fee) else set()
        wanted = sorted(h for h in (step.dirty | attended | moved) & watched if share.has(h.address))
        balances = await self.chain.balances(wanted, step.block) if wanted else ()
        settled = await read_settled(self.chain, asks, {holding for _, _, holding in needed})
        if fee is not None:
            settled = replace(settled, transaction_cost=fee.cost(network.typical_gas))
        async with self._database.begin() as conn:
            astir = await find_astir(
                conn,
                self._rules,
                [ask for ask, _ in asks],
                settled.balances,
                transaction_cost=settled.transaction_cost,
                height=step.block.number,
            )
        beside = {(a.tenant, a.wallet) for a in astir} | {(tenant, wallet) for tenant, wallet, _ in needed}
        balances = tuple(sorted(balances, key=lambda b: b.holding in attended))  # those come again in any case
        left = await self._record(step, share, balances, settled, [a.id for a in astir], beside=beside, fee=fee)
        self.chain.watch([b.holding for b in left if b.holding not in attended])
        if self._fee_moved(fee):
            self._fee = fee
        self._shards.note_read(network.id)
        self._metrics.head.labels(network.name).set(step.block.number)
        if step.orphaned or step.gap:
            log.info("chain.turned", network=network.name, orphaned=len(step.orphaned), gap=step.gap)

    async def _record(
        self,
        step: Step,
        share: Share,
        balances: Sequence[Balance],
        settled: Settled,
        asks: Sequence[str],
        *,
        beside: Collection[tuple[str, str]],
        fee: Fee | None,
    ) -> Sequence[Balance]:
        """Gives what is left, to be read again at the next step."""
        balances, left = await self._record_parts(step, share, balances, fee=fee)
        stamp = Stamp(self._clock.now(), self._new_id)
        async with self._database.begin() as conn:
            events = await self._decide(conn, step, balances, beside=beside, fee=fee, stamp=stamp)
            events += await close(conn, self._rules, asks, settled, height=step.block.number, stamp=stamp)
            if share.speaks:
                events += await mark_fresh(conn, self._rules, stamp)
            await move_cursors(conn, share, step.block, now=stamp.now)
            await record_events(conn, events, now=stamp.now, new_id=self._new_id)
        self._log(events)
        return left

    async def _record_parts(
        self, step: Step, share: Share, balances: Sequence[Balance], *, fee: Fee | None
    ) -> tuple[Sequence[Balance], Sequence[Balance]]:
        """All but the last part of a very large step, while there is time. Gives the last part, and what is left.

        So a wave of thousands is opened over several heads, and none of them is late.
        """
        for i in range(0, len(balances) if len(balances) > MOST_AT_ONCE else 0, MOST_COUNTED):
            await self._record_part(step, share, balances[i : i + MOST_COUNTED], fee=fee, count_only=True)
        began = self._clock.now()
        while len(balances) > MOST_AT_ONCE and self._clock.now() - began < PATIENCE:
            await self._record_part(step, share, balances[:MOST_AT_ONCE], fee=fee)
            balances = balances[MOST_AT_ONCE:]
        return balances[:MOST_AT_ONCE], balances[MOST_AT_ONCE:]

    async def _record_part(
        self, step: Step, share: Share, balances: Sequence[Balance], *, fee: Fee | None, count_only: bool = False
    ) -> None:
        """Some of a very large step's balances: the cursor stays, so a crash only costs reading them again."""
        stamp = Stamp(self._clock.now(), self._new_id)
        async with self._database.begin() as conn:
            await hold_shards(conn, share)
            events = await self._decide(conn, step, balances, beside=(), fee=fee, stamp=stamp, count_only=count_only)
            await record_events(conn, events, now=stamp.now, new_id=self._new_id)
        self._log(events)

    async def _decide(
        self,
        conn: AsyncConnection,
        step: Step,
        balances: Sequence[Balance],
        *,
        beside: Collection[tuple[str, str]],
        fee: Fee | None,
        stamp: Stamp,
        count_only: bool = False,
    ) -> list[NewEvent]:
        at, rules = step.looked_at, self._rules
        events = await decide(
            conn, rules, balances, beside=beside, fee=fee, stamp=stamp, looked_at=at, count_only=count_only
        )
        if count_only:
            return events
        await save_balances(conn, balances, now=stamp.now)
        addresses = {b.holding.address for b in balances}
        await note_watched_since(conn, self._rules.network.id, addresses, step.block)
        return events

    def _log(self, events: Sequence[NewEvent]) -> None:
        for event in events:
            log.info(
                event.type, subject=event.subject_id, tenant=event.tenant, version=event.version, event_id=event.id
            )

    async def _list_by_fee(self) -> set[Holding]:
        async with self._database.begin() as conn:
            return await list_by_fee(conn, self._rules.network.id)

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
