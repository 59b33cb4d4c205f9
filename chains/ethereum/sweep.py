"""Reads balances of many at one block, and finds which differ from those read before: nothing else is told of."""

from array import array
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import structlog

from chains.ethereum.reader import BalanceReader
from chains.ethereum.registry import Registry
from chains.ethereum.together import together
from chains.model import NATIVE
from chains.rpc import Endpoint

log = structlog.get_logger()

AT_ONCE: Final = 4_000
"""Addresses of one read: one call a watched asset, and one for codes."""
_PARALLEL: Final = 2


class Sweep:
    """A rotation over all that is watched, within a budget of calls; and all of it at once, where that is needed."""

    def __init__(
        self,
        reader: BalanceReader,
        registry: Registry,
        tokens: Sequence[str],
        *,
        size: int,
        calls_a_minute: float,
        clock: Callable[[], float],
    ) -> None:
        """`tokens` are the assets' references in their order. A turn has `size` addresses at most."""
        self._reader = reader
        self._registry = registry
        self._tokens = tokens
        self._size = min(size, AT_ONCE)
        self._rate = calls_a_minute / 60
        self._most: float = max(calls_a_minute, len(tokens)) if calls_a_minute else 0
        self._clock = clock
        self._left, self._counted_at = self._most, clock()

    def next_turn(self) -> Sequence[int]:
        """Addresses of the next turn, by index; none while the budget is used up."""
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._counted_at) * self._rate)
        self._counted_at = now
        if self._left < len(self._tokens):
            return ()
        turn = self._registry.slice(self._size)
        self._left -= len(self._tokens) if turn else 0
        return turn

    async def read(self, endpoint: Endpoint, indexes: Sequence[int], block_hash: str, into: set[int]) -> None:
        """Put keys of what differs at these addresses into `into`, where they are also when another read fails.

        Raises `BlockGone`, `Unavailable`.
        """
        reads = [
            partial(self._read_asset, endpoint, number, members, block_hash, into)
            for number in range(len(self._tokens))
            if (members := self._registry.members(number, indexes))
        ]
        await together(reads, at_once=len(reads) or 1)

    async def read_all(self, endpoint: Endpoint, block_hash: str, into: set[int]) -> None:
        """The same of whatever is watched. A million balances are compared as numbers, chunk by chunk."""
        began, top = self._clock(), self._registry.top
        reads = [
            partial(self.read, endpoint, range(start, min(start + AT_ONCE, top)), block_hash, into)
            for start in range(0, top, AT_ONCE)
        ]
        await together(reads, at_once=_PARALLEL)
        if top > AT_ONCE:
            seconds = round(self._clock() - began, 1)
            log.info("sweep.all", addresses=top, differing=len(into), seconds=seconds)

    async def _read_asset(
        self, endpoint: Endpoint, number: int, members: Sequence[int], block_hash: str, into: set[int]
    ) -> None:
        token = None if self._tokens[number] == NATIVE else self._tokens[number]
        addresses = [self._registry.address(index) for index in members]
        words = await self._reader.read_words(endpoint, token, addresses, block_hash)
        into |= self._registry.compare(number, members, array("Q", words))
