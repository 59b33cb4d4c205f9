"""One network's loop: a step of the chain, balances at that block, decisions, one transaction, the cursor last."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from chains.chain import Chain
from chains.errors import BlockGone, ChainError, Unavailable, WrongNetwork
from chains.model import Balance, Fee, Holding, Receipt, Step
from watcher.clock import Clock, Stamp
from watcher.closing import Settled, close
from watcher.decide import decide
from watcher.judge import Rules
from watcher.metrics import Metrics
from watcher.model import NewEvent, Session, TopUp
from watcher.networks import mark_fresh, mark_stale
from watcher.rotation import MOST_UNREAD, Rotation
from watcher.store.attention import FIRST, Place, list_by_fee, list_unread, list_watched_of, moves_with_fee
from watcher.store.blocks import (
    Owner,
    find_cursor,
    hold_shard,
    move_cursor,
    note_watched_since,
    save_balances,
    take_shard,
)
from watcher.store.database import Database
from watcher.store.events import record_events
from watcher.watching import load, load_wallet

log = structlog.get_logger()

RETRY_SECONDS = 1.0
"""Pause after a step that could not be read: the cursor has not moved, so nothing is lost by it."""
CHECK_EVERY = timedelta(hours=1)
"""How often each endpoint's chain id or genesis hash is asked for again."""
MOST_AT_ONCE = 2_000
"""Balances recorded in one transaction."""
FEE_PAGE = 50_000
"""Holdings whose levels are compared with a new fee in one statement."""
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
        self._rotation = Rotation()
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
        """Take up all that is watched now, and let go of what is not."""
        network = self._rules.network
        async with self._refreshing:
            count, new = await load(self._database, network, self.chain)
        if new:
            log.info("watching.changed", network=network.name, watched=count, new=new)

    async def refresh_wallet(self, tenant: str, wallet_id: str) -> None:
        """The same of one wallet."""
        async with self._refreshing:
            changed = await load_wallet(self._database, self._rules.network, self.chain, tenant, wallet_id)
        if changed:
            log.info("watching.changed", network=self._rules.network.name, watched=len(self.chain.watched))

    async def nudge(self, *wallet_of: str) -> None:
        """Read a wallet here now (tenant, id), though no block has touched it; or what needs attention."""
        network = self._rules.network.id
        async with self._database.begin() as conn:
            if wallet_of:
                due = list(await list_watched_of(conn, network, *wallet_of))
            else:
                due = await list_unread(conn, network, limit=MOST_UNREAD)
        self.chain.watch([at for at in due if at in self.chain.watched])

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
            turn = await self._rotation.next(conn, network.id, now=self._clock.now(), height=step.block.number)
            depends_on_fee = await moves_with_fee(conn, network.id)
        wanted = {at for at in (*step.dirty, *turn.attended) if at in self.chain.watched}
        async with _together() as together:
            reading = together.create_task(self._read(wanted, step))
            settling = together.create_task(self._read_settled(turn.asks, {at for _, _, at in turn.needed}))
            pricing = together.create_task(self._read_fee(wanted=depends_on_fee))
        must = {*step.dirty, *turn.judged, *(at for _, _, at in turn.needed)}
        read = reading.result()
        balances = tuple(b for b in read if b.holding in must or b.amount != turn.attended.get(b.holding))
        settled, fee = settling.result(), pricing.result()
        if fee is not None:
            moved = await self._list_by_fee(fee)
            balances = (*balances, *await self._read(moved - wanted, step))
            settled = replace(settled, transaction_cost=fee.cost(network.typical_gas))
        asks = [ask for ask, _ in turn.asks]
        beside = {(a.tenant, a.wallet) for a in asks} | {(tenant, wallet) for tenant, wallet, _ in turn.needed}
        await self._record(step, owner, balances, settled, [a.id for a in asks], beside=beside, fee=fee)
        if self._fee_moved(fee):
            self._fee = fee
        self._metrics.head.labels(network.name).set(step.block.number)
        if step.orphaned or step.gap:
            changed = len(step.dirty)
            log.info("chain.turned", network=network.name, orphaned=len(step.orphaned), gap=step.gap, changed=changed)

    async def _read(self, holdings: Collection[Holding], step: Step) -> tuple[Balance, ...]:
        return await self.chain.balances(sorted(holdings), step.block) if holdings else ()

    async def _read_fee(self, *, wanted: bool) -> Fee | None:
        return await self.chain.fee() if wanted else None

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

    async def _list_by_fee(self, fee: Fee) -> set[Holding]:
        """Watched holdings that stand otherwise since the fee has moved: found by comparing columns, page by page."""
        network, moved = self._rules.network, set[Holding]()
        behind: Place | None = FIRST if self._fee_moved(fee) else None
        while behind is not None:
            async with self._database.begin() as conn:
                cost = fee.cost(network.typical_gas)
                found, behind = await list_by_fee(conn, network.id, cost, behind=behind, limit=FEE_PAGE)
            moved.update(at for at in found if at in self.chain.watched)
        return moved

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


@asynccontextmanager
async def _together() -> AsyncIterator[asyncio.TaskGroup]:
    """Reads at the same time; the first that fails ends the others, and is raised itself."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
