"""One network's loop: a step of the chain, balances at that block, decisions, one transaction, the cursor last."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from chains.chain import Chain
from chains.errors import BlockGone, ChainError, Unavailable, WrongNetwork
from chains.model import Balance, Fee, Holding, Receipt, Step
from watcher.clock import Clock, Stamp
from watcher.closing import Settled, close, list_followed
from watcher.decide import decide
from watcher.judge import Rules
from watcher.metrics import Metrics
from watcher.model import NewEvent, Session, TopUp
from watcher.networks import mark_fresh, mark_stale
from watcher.store.asks import list_unclosed
from watcher.store.blocks import (
    Owner,
    find_cursor,
    hold_shard,
    list_attended,
    list_by_fee,
    list_watched,
    move_cursor,
    moves_with_fee,
    note_watched_since,
    save_balances,
    take_shard,
)
from watcher.store.database import Database
from watcher.store.events import record_events

log = structlog.get_logger()

RETRY_SECONDS = 1.0
"""Pause after a step that could not be read: the cursor has not moved, so nothing is lost by it."""
CHECK_EVERY = timedelta(hours=1)
"""How often each endpoint's chain id or genesis hash is asked for again."""
MOST_AT_ONCE = 2_000
"""Balances recorded in one transaction."""
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
        name: str,
        metrics: Metrics,
    ) -> None:
        """`name` is this process's, for the fencing token. `chain` may be read by others, too."""
        self.chain = chain
        self._rules = rules
        self._database = database
        self._clock = clock
        self._new_id = new_id
        self._name = name
        self._metrics = metrics
        self._watched: set[Holding] = set()
        self.wallets = 0
        """Addresses that are watched."""
        self._refreshing = asyncio.Lock()
        self._checked_at: datetime | None = None
        self._fee: Fee | None = None

    async def run(self) -> None:
        """Follow the chain for ever. Raises `Fenced` when another process has taken the network over."""
        network = self._rules.network
        async with self._database.begin() as conn:
            owner = await take_shard(conn, network.id, 0, name=self._name, now=self._clock.now())
        await self.refresh_watched()
        while True:
            try:
                await self._check_endpoints()
                await self._follow(owner)
            except BlockGone:
                log.info("block.gone", network=network.name)
            except ChainError as error:
                await self._tell_stale(error)
            await asyncio.sleep(RETRY_SECONDS)

    async def refresh_watched(self) -> None:
        """Take up what was registered since, and let go of what was removed."""
        async with self._refreshing:
            network = self._rules.network
            async with self._database.begin() as conn:
                listed = set(await list_watched(conn, network.id))
            wanted = {holding for holding in listed if network.find_asset(holding.asset) is not None}
            if left_out := listed - wanted:
                assets = sorted({holding.asset for holding in left_out})
                log.warning("assets.not_configured", network=network.name, assets=assets, holdings=len(left_out))
            gone, new = self._watched - wanted, wanted - self._watched
            if gone:
                self.chain.unwatch(gone)
            if new:
                self.chain.watch(new)
            self._watched = wanted
            self.wallets = len({holding.address for holding in wanted})
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

    async def _follow(self, owner: Owner) -> None:
        async with self._database.begin() as conn:
            cursor = await find_cursor(conn, owner)
        async with aclosing(self.chain.follow(cursor)) as steps:
            async for step in steps:
                await self.observe(step, owner)
                await self._check_endpoints()

    async def observe(self, step: Step, owner: Owner) -> None:
        """Read, decide and record one step. Raises `ChainError` or `Fenced`, and then nothing was written."""
        network = self._rules.network
        async with self._database.begin() as conn:
            attended = await list_attended(conn, network.id)
            asks = await list_followed(conn, network.id, now=self._clock.now())
            needed = await list_unclosed(conn, network.id)
            depends_on_fee = await moves_with_fee(conn, network.id)
        fee = await self.chain.fee() if depends_on_fee else None
        moved = await self._list_by_fee() if self._fee_moved(fee) else set()
        wanted = sorted((step.dirty | attended | moved) & self._watched)
        balances = await self.chain.balances(wanted, step.block) if wanted else ()
        settled = await self._read_settled(asks, {holding for _, _, holding in needed})
        if fee is not None:
            settled = replace(settled, transaction_cost=fee.cost(network.typical_gas))
        beside = {(a.tenant, a.wallet) for a, _ in asks} | {(tenant, wallet) for tenant, wallet, _ in needed}
        await self._record(step, owner, balances, settled, [a.id for a, _ in asks], beside=beside, fee=fee)
        if self._fee_moved(fee):
            self._fee = fee
        self._metrics.head.labels(network.name).set(step.block.number)
        if step.orphaned or step.gap:
            log.info("chain.turned", network=network.name, orphaned=len(step.orphaned), gap=step.gap)

    async def _record(
        self,
        step: Step,
        owner: Owner,
        balances: Sequence[Balance],
        settled: Settled,
        asks: Sequence[str],
        *,
        beside: Collection[tuple[str, str]],
        fee: Fee | None,
    ) -> None:
        stamp = Stamp(self._clock.now(), self._new_id)
        first = max(0, len(balances) - 1) // MOST_AT_ONCE * MOST_AT_ONCE
        for i in range(0, first, MOST_AT_ONCE):
            await self._record_part(step, owner, balances[i : i + MOST_AT_ONCE], fee=fee)
        balances = balances[first:]
        async with self._database.begin() as conn:
            events = await self._decide(conn, step, balances, beside=beside, fee=fee, stamp=stamp)
            events += await close(conn, self._rules, asks, settled, height=step.block.number, stamp=stamp)
            events += await mark_fresh(conn, self._rules, stamp)
            await move_cursor(conn, owner, step.block, now=stamp.now)
            await record_events(conn, events, now=stamp.now, new_id=self._new_id)
        self._log(events)

    async def _record_part(self, step: Step, owner: Owner, balances: Sequence[Balance], *, fee: Fee | None) -> None:
        """Some of a very large step's balances: the cursor stays, so a crash only costs reading them again."""
        stamp = Stamp(self._clock.now(), self._new_id)
        async with self._database.begin() as conn:
            await hold_shard(conn, owner)
            events = await self._decide(conn, step, balances, beside=(), fee=fee, stamp=stamp)
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
    ) -> list[NewEvent]:
        events = await decide(
            conn, self._rules, balances, beside=beside, fee=fee, stamp=stamp, looked_at=step.looked_at
        )
        await save_balances(conn, balances, now=stamp.now)
        addresses = {b.holding.address for b in balances}
        await note_watched_since(conn, self._rules.network.id, addresses, step.block)
        return events

    def _log(self, events: Sequence[NewEvent]) -> None:
        for event in events:
            log.info(
                event.type, subject=event.subject_id, tenant=event.tenant, version=event.version, event_id=event.id
            )

    async def _read_settled(
        self, asks: Sequence[tuple[TopUp, Sequence[Session]]], needed: Collection[Holding]
    ) -> Settled:
        """Balances and Stripe's transactions at the closing depth; what can't be read closes nothing this time."""
        mine = {d.holding for ask, _ in asks for d in ask.destinations if d.holding.network == self.chain.network}
        mine |= set(needed)
        if not mine:
            return Settled()
        try:
            balances = await self.chain.settled_balances(sorted(mine))
        except Unavailable as error:
            log.info("settled.unknown", network=self._rules.network.name, reason=str(error))
            return Settled()
        receipts = [r for ask, sessions in asks for s in sessions if (r := await self._find_receipt(ask, s))]
        return Settled({b.holding: b for b in balances}, {r.transaction: r for r in receipts})

    async def _find_receipt(self, ask: TopUp, session: Session) -> Receipt | None:
        if session.transaction is None:
            return None
        for destination in ask.destinations:
            if destination.holding.network == self.chain.network:
                try:
                    receipt = await self.chain.find_receipt(session.transaction, destination.holding)
                except Unavailable as error:
                    log.info("receipt.unknown", top_up=ask.id, reason=str(error))
                    continue
                if receipt is not None and receipt.amount > 0:
                    return receipt
        return None

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
        stamp = Stamp(self._clock.now(), self._new_id)
        async with self._database.begin() as conn:
            events = await mark_stale(conn, self._rules, stamp, reason=reason)
            await record_events(conn, events, now=stamp.now, new_id=self._new_id)
