"""A step recorded: decisions, balances and events in one transaction, the cursor last; a large one in parts."""

from collections.abc import Callable, Collection, Sequence
from datetime import timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from chains.model import Balance, Fee, Step
from watcher.clock import Clock, Stamp
from watcher.closing import Settled, close
from watcher.decide import decide
from watcher.judge import Rules
from watcher.model import NewEvent
from watcher.networks import mark_fresh
from watcher.store.blocks import note_watched_since, save_balances
from watcher.store.database import Database
from watcher.store.events import record_events
from watcher.store.shards import Share, hold_shards, move_cursors

log = structlog.get_logger()

MOST_AT_ONCE = 100
"""Balances recorded in one transaction: each of them may become an ask."""
MOST_COUNTED = 5_000
"""Balances that are only looked at in one transaction, to see whether they are a storm."""
PATIENCE = timedelta(seconds=1)
"""How long a large step may keep the next head waiting."""


class Recorder:
    """Of one network."""

    def __init__(self, database: Database, rules: Rules, *, clock: Clock, new_id: Callable[[str], str]) -> None:
        """What it decides by."""
        self._database = database
        self._rules = rules
        self._clock = clock
        self._new_id = new_id

    async def record(
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
        """Last the cursor. Gives what is left, to be read again at the next step. Raises `Fenced`: then it is void."""
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
