"""From alarm to step: looks at the head, walks to it, gathers what was touched, and forgets it only once delivered."""

import asyncio
import time
from array import array
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Final

import structlog

from chains.errors import BlockGone, Unavailable
from chains.ethereum.answers import Header, header
from chains.ethereum.detect import Detector
from chains.ethereum.dirty import Touched
from chains.ethereum.marks import Marks
from chains.ethereum.registry import Registry
from chains.ethereum.sweep import Sweep
from chains.ethereum.together import together
from chains.ethereum.walker import Ring, Seen, Walk
from chains.ethereum.way import walk_on
from chains.model import Balance, BlockRef, Holding, Step
from chains.rpc import Endpoint, RpcClient
from chains.rpc_answer import Null

log = structlog.get_logger()

_CHECK_SECONDS: Final = 3600.0
"""Between two questions for the chain id."""

_MOST_DIRTY: Final = 20_000
"""Holdings of one step."""

_MOST_PASSED_OVER: Final = 8
"""Turns of the rotation in a row that newer blocks may take the time of."""

_BLOCKS_AT_ONCE: Final = 8
"""Blocks looked into at once, so that networks of four blocks a second are kept up with."""

_LOWER_LOOKS: Final = 3
"""Looks that must agree before a head that only went back is believed: behind a load balancer one node lags."""


class Follower:
    """Turns moves of the head into steps. One `follow` at a time."""

    def __init__(
        self,
        rpc: RpcClient,
        registry: Registry,
        detector: Detector,
        wake: asyncio.Event,
        *,
        poll_seconds: float,
        stale_seconds: float,
        max_head_age_seconds: float | None,
        sweep: Sweep,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """See `EthereumChain`; `wake` is set by the head feed and by `watch`."""
        self._rpc = rpc
        self._registry = registry
        self._detector = detector
        self._wake = wake
        self._poll = poll_seconds
        self._stale = stale_seconds
        self._max_head_age = max_head_age_seconds
        self._sweep = sweep
        self._clock = clock
        self._wall_clock = wall_clock
        self._ring = Ring()
        self._pending = Marks(everything=True)
        self._given = Marks()
        self._given_at = ""
        self._swept: set[int] = set()
        self._passed_over = 0
        self._orphaned: list[BlockRef] = []
        self._unknown_code = array("I")
        self._lower_looks = 0
        self._gap = False
        self._first = True

    def watch(self, holdings: Collection[Holding]) -> None:
        """Add holdings; they are dirty in a step that comes at once."""
        keys, fresh = self._registry.add(holdings)
        self._pending.add(Marks(keys))
        self._unknown_code.extend(fresh)
        self._wake.set()

    def recall(self, balances: Iterable[Balance]) -> None:
        """Add holdings that were read before: they are dirty where they differ, in the next step that sees all."""
        for balance in balances:
            _, fresh = self._registry.add((balance.holding,))
            self._unknown_code.extend(fresh)
            self._registry.recall(balance.holding, balance.amount)
        self._pending.everything = True
        self._wake.set()

    def note(self, balances: Iterable[Balance], block_hash: str) -> None:
        """Read for the step that was given. Should it be abandoned, they come again."""
        if block_hash == self._given_at:
            self._registry.note(balances, self._given.keys)

    def find_deep(self, confirmations: int) -> BlockRef | None:
        """The block with that many confirmations at the head that was seen last; None where it isn't remembered."""
        tip = self._ring.tip
        return None if tip is None else self._ring.find(tip.ref.number - max(confirmations, 1) + 1)

    def unwatch(self, holdings: Collection[Holding]) -> None:
        """Remove holdings."""
        self._registry.remove(holdings)

    async def follow(self, after: BlockRef | None) -> AsyncGenerator[Step, None]:
        """Each move of the head after `after`."""
        self._resume(after)
        last_look = last_check = self._clock()
        while True:
            self._wake.clear()
            try:
                if self._clock() - last_check > _CHECK_SECONDS:
                    await self._rpc.check()
                    last_check = self._clock()
                step = await self._rpc.on_one(self._look)
                last_look = self._clock()
            except (Unavailable, BlockGone) as error:
                if self._clock() - last_look > self._stale:
                    raise Unavailable(f"no usable head for {self._stale:g} s: {error}") from error
                log.warning("look.failed", reason=str(error))
                await asyncio.sleep(min(self._poll, 1.0))
                continue
            if step is not None:
                yield step
                self._given = Marks()
                self._orphaned = []
                self._gap = self._first = False
                await self._take_turn()
            if not (self._pending or self._swept):
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), self._poll)

    async def _take_turn(self) -> None:
        """While there is nothing else to do: those whose turn it is are compared, at the block of the last step."""
        tip = self._ring.tip
        if tip is None or self._pending or (self._wake.is_set() and self._passed_over < _MOST_PASSED_OVER):
            self._passed_over += 1
            return
        self._passed_over = 0
        turn, at = self._sweep.next_turn(), str(tip.ref.hash)

        async def read(endpoint: Endpoint) -> None:
            codes = partial(self._detector.learn_codes, endpoint, turn, at)
            await together((partial(self._sweep.read, endpoint, turn, at, self._swept), codes), at_once=2)

        try:
            await self._rpc.on_one(read)
        except (Unavailable, BlockGone) as error:
            log.info("sweep.failed", reason=str(error))

    def _resume(self, after: BlockRef | None) -> None:
        """Start from the stored cursor. What an abandoned step gave is dirty again."""
        self._first = True
        self._pending.add(self._given)
        self._given = Marks()
        if after is not None and after.hash is not None and after.hash in self._ring:
            for seen in self._ring.cut(after.hash):
                self._pending.add(seen.touched)
            return
        self._ring = Ring()
        if after is None or after.hash is None:
            self._pending.add(Marks(everything=True))
        else:
            self._ring.put(Seen(after, given=True))

    async def _look(self, endpoint: Endpoint) -> Step | None:
        """One look through one endpoint; None when nothing moved. State changes only at its end."""
        looked_at = datetime.fromtimestamp(self._wall_clock(), UTC)
        head = header(
            await self._rpc.call("eth_getBlockByNumber", ["latest", False], null=Null.BEHIND, endpoint=endpoint)
        )
        self._check_age(endpoint, head)
        tip = self._ring.tip
        if tip is not None and head.number < tip.ref.number:
            if not await self._believe_lower(endpoint, head, tip.ref):
                return None
        else:
            self._lower_looks = 0
        way = await walk_on(self._rpc, endpoint, self._ring, head)
        self._pending.keys |= self._swept  # found by a look that failed: they are known as of another block
        self._swept = set()
        unknown = self._unknown_code[:]
        if not (way.new or way.orphaned or self._pending or self._first):
            return None
        touched = await self._gather(endpoint, way, head, unknown)
        del self._unknown_code[: len(unknown)]
        for block in touched:
            self._unknown_code.extend(block.doubtful)
        self._move(way, touched)
        if self._pending.everything or self._given.everything:
            await self._sweep.read_all(endpoint, head.hash, self._swept)
            self._pending.everything = self._given.everything = False
        return self._step(head, looked_at)

    async def _gather(self, endpoint: Endpoint, way: Walk, head: Header, in_doubt: Sequence[int]) -> list[Touched]:
        """What each new block touched; codes are learnt meanwhile.

        Nothing is looked up of the first step and of gaps, which touch everything. Codes are read at the head: whose
        code may have changed in these blocks is dirty for that alone, and looked at with the next one.
        """
        found: list[Touched] = []

        async def detect() -> None:
            if not self._touches_everything(way):
                found.extend(await self._detect(endpoint, way))

        reads = (detect, partial(self._detector.learn_codes, endpoint, in_doubt, head.hash))
        await together(reads, at_once=len(reads))
        return found

    def _touches_everything(self, way: Walk) -> bool:
        return way.gap or self._ring.tip is None

    async def _detect(self, endpoint: Endpoint, way: Walk) -> list[Touched]:
        reads = [partial(self._detector.touched, endpoint, block.hash) for block in way.new]
        return await together(reads, at_once=_BLOCKS_AT_ONCE)

    def _move(self, way: Walk, touched: Sequence[Touched]) -> None:
        """Take the walk over into the ring, and everything it touched into what is pending."""
        if self._touches_everything(way):
            marks = [Marks(everything=True)]
        else:
            marks = [Marks(block.keys | self._detector.suspects(block)) for block in touched]
        for seen in way.orphaned:
            self._pending.add(seen.touched)
            if seen.given and seen.ref not in self._orphaned:
                self._orphaned.append(seen.ref)
        if way.gap:
            log.info("head.gap", blocks=way.new[-1].number - tip.ref.number if (tip := self._ring.tip) else None)
            self._gap = True
            self._ring = Ring()
        elif way.orphaned:
            log.info("head.reorg", depth=len(way.orphaned))
            self._ring.discard(way.orphaned)
        for block, each in zip(way.new, marks, strict=True):
            self._pending.add(each)
            self._ring.put(Seen(block.ref, each))

    def _step(self, head: Header, looked_at: datetime) -> Step:
        """The next step, of a bounded size: what is left over comes with the next one, at once."""
        self._pending.add(self._given)
        keys, self._swept = self._swept, set()
        if len(keys) > _MOST_DIRTY:
            self._pending.keys |= keys
            keys = set()
        marked = self._pending.take(_MOST_DIRTY)
        self._registry.forget(marked - keys)
        self._given = Marks(marked | keys)
        self._given_at = head.hash
        tip = self._ring.tip
        if tip is not None:
            tip.given = True
            tip.touched.add(self._given)
        dirty = self._registry.holdings(self._given.keys)
        return Step(head.ref, dirty, tuple(self._orphaned), gap=self._gap, looked_at=looked_at)

    def _check_age(self, endpoint: Endpoint, head: Header) -> None:
        age = self._wall_clock() - head.timestamp
        if self._max_head_age is not None and age > self._max_head_age:
            self._rpc.doubt(endpoint)
            raise Unavailable(f"{endpoint.host} has a head {age:.0f} s old")

    async def _believe_lower(self, endpoint: Endpoint, head: Header, tip: BlockRef) -> bool:
        """Whether a head below ours is a reorg or rollback, and not a node that lags."""
        for asked in (endpoint, *(other for other in self._rpc.usable() if other is not endpoint)):
            try:
                block = await self._rpc.call(
                    "eth_getBlockByNumber", [hex(tip.number), False], null=Null.NOTHING, endpoint=asked
                )
            except (Unavailable, BlockGone):
                continue
            if isinstance(block, dict) and block.get("hash") == tip.hash:
                self._rpc.doubt(endpoint)
                log.info("head.stale", host=endpoint.host, behind=tip.number - head.number)
                return False
        self._lower_looks += 1
        other_branch = head.hash not in self._ring and head.number >= next(iter(self._ring)).ref.number
        if self._lower_looks < _LOWER_LOOKS and not other_branch:
            return False
        self._lower_looks = 0
        return True
