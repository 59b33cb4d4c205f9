"""From hint to step: which holdings may have changed, the slot from which a read shows it, forgotten once delivered."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import structlog

from chains.errors import Unavailable
from chains.model import BlockRef, Holding, Step
from chains.rpc import RpcClient
from chains.solana.ledger import Ledger
from chains.solana.pubsub import AccountFeed
from chains.solana.reader import AccountReader
from chains.solana.registry import Registry

log = structlog.get_logger()

_CHECK_SECONDS: Final = 3600.0
"""Between two questions for the genesis hash."""
_BREATH_SECONDS: Final = 0.1
"""Between two looks: hints that come together make one step."""
_HINT_PATIENCE: Final = 5.0
"""Seconds until a hint from a slot that no endpoint reaches is read anyway; once more when the slot is reached."""
_UNHEARD_AT_ONCE: Final = 1000
"""Holdings that nobody tells us of, read at each poll in their stead."""


class _Standing(Unavailable):
    """Every endpoint asked says the same slot for too long: what they say of balances is old."""


class Follower:
    """Turns hints and slots into steps. One `follow` at a time."""

    def __init__(
        self,
        rpc: RpcClient,
        reader: AccountReader,
        registry: Registry,
        feed: AccountFeed,
        wake: asyncio.Event,
        *,
        ledger: Ledger,
        poll_seconds: float,
        stale_seconds: float,
        tick_seconds: float,
        slice_size: int,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """See `SolanaChain`; `wake` is set by the feed and by `watch`."""
        self._rpc = rpc
        self._reader = reader
        self._registry = registry
        self._feed = feed
        self._ledger = ledger
        self._wake = wake
        self._poll = poll_seconds
        self._stale = stale_seconds
        self._tick = tick_seconds
        self._slice_size = slice_size
        self._clock = clock
        self._wall_clock = wall_clock
        self._pending: set[Holding] = set()
        self._given: set[Holding] = set()
        self._late: dict[str, float] = {}
        """When each hint that waits for its slot came, or was last read early."""
        self._overdue: set[str] = set()
        """Those of them that have waited too long for the short pause."""
        self._unheard_turn: list[str] = []
        self._gap = False
        self._anew = False
        """The ledger was wiped since the last look."""
        self._last: int | None = None
        """The slot of the last step that was taken."""
        self._told: int | None = None
        """The slot of the last step that was given, taken or not."""
        self._last_tick = self._last_check = clock()
        self._last_unheard = 0.0

    def watch(self, holdings: Collection[Holding]) -> None:
        """Add holdings; they are dirty in a step that comes at once."""
        self._registry.add(holdings)
        self._pending.update(holdings)
        self._wake.set()

    def unwatch(self, holdings: Collection[Holding]) -> None:
        """Remove holdings."""
        self._feed.drop(self._registry.remove(holdings))
        self._pending.difference_update(holdings)
        self._given.difference_update(holdings)

    def begin_anew(self) -> None:
        """The ledger was wiped: the next step is a gap, with every holding."""
        self._feed.drop(self._registry.displace())
        self._anew = True
        self._wake.set()

    async def follow(self, after: BlockRef | None) -> AsyncGenerator[Step, None]:
        """Each move after `after`."""
        self._resume(after)
        first, last_look = True, self._clock()
        self._reader.slots.forgive()
        while True:
            self._wake.clear()
            try:
                step = await self._look(first=first)
                last_look = self._clock()
            except Unavailable as error:
                if isinstance(error, _Standing) or self._clock() - last_look > self._stale:
                    raise Unavailable(f"no usable slot for {self._stale:g} s: {error}") from error
                log.warning("look.failed", reason=str(error))
                await asyncio.sleep(min(self._poll, 1.0))
                continue
            if step is None:
                await self._rest()
                continue
            first, self._told = False, step.block.number
            yield step
            self._given, self._gap, self._last = set(), False, step.block.number
            await asyncio.sleep(_BREATH_SECONDS)
            last_look = self._clock()

    def _resume(self, after: BlockRef | None) -> None:
        """Slots are not replayed: what an earlier run may have missed is read in full."""
        self._pending |= self._given
        self._given = set()
        if after is None:
            self._pending |= self._registry.all()
        elif not self._ledger.recall(after.hash):
            self._gap = True
        elif after.number not in (self._last, self._told):
            self._reader.slots.expect(after.number)
            self._pending |= self._registry.all()
            self._gap = True

    async def _rest(self) -> None:
        pause = min(self._poll, _BREATH_SECONDS) if self._late.keys() - self._overdue else self._poll
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), pause)

    async def _look(self, *, first: bool) -> Step | None:
        """One look; None when nothing is to be told. State changes only at its end."""
        now, looked_at = self._clock(), datetime.fromtimestamp(self._wall_clock(), UTC)
        if now - self._last_check > _CHECK_SECONDS:
            await self._rpc.check()
            self._last_check = now
        self._feed.add(await self._registry.place())
        slot = await self._reader.head("confirmed", patience=self._stale / 2)
        if self._reader.slots.stood_for > self._stale:
            raise _Standing(f"slot {slot} has not moved for {self._reader.slots.stood_for:.0f} s")
        self._take_hints(slot, now)
        if self._feed.gap or self._anew:
            self._feed.gap = self._anew = False
            self._gap = True
            self._pending |= self._registry.all()
        ticked = now - self._last_tick >= self._tick and slot != self._last
        turn = self._unheard(now)
        if not (first or ticked or self._pending or turn):
            return None
        if ticked:
            self._last_tick = now
            turn |= self._registry.slice(self._slice_size)
        return self._step(slot, turn, looked_at)

    def _take_hints(self, slot: int, now: float) -> None:
        """Take over the hints that a read at `slot` answers; the others stay, and are read early now and then."""
        hints = self._feed.hints
        reached = [account for account, hinted in hints.items() if hinted <= slot]
        for account in reached:
            del hints[account]
        self._late = {account: self._late.get(account, now) for account in hints}
        early = [account for account, since in self._late.items() if now - since > _HINT_PATIENCE]
        self._late.update(dict.fromkeys(early, now))
        self._overdue = (self._overdue | {*early}) & hints.keys()
        self._pending |= self._registry.at([*reached, *early])

    def _unheard(self, now: float) -> set[Holding]:
        """At each poll, some of the holdings that have to be read because nobody tells us of them."""
        if now - self._last_unheard < self._poll:
            return set()
        self._last_unheard = now
        if not self._unheard_turn:
            self._unheard_turn = list(self._feed.unheard())
        taken = self._unheard_turn[-_UNHEARD_AT_ONCE:]
        del self._unheard_turn[-_UNHEARD_AT_ONCE:]
        return self._registry.at(taken)

    def _step(self, slot: int, turn: set[Holding], looked_at: datetime) -> Step:
        dirty = self._pending | self._given | turn
        if self._gap:
            dirty |= self._registry.all()
        self._pending, self._given = set(), dirty
        at = BlockRef(slot, self._ledger.local)
        return Step(at, frozenset(dirty), gap=self._gap, looked_at=looked_at)
