"""A chain in memory that keeps the promises of `chains.chain.Chain`: scripted blocks, exact balances, honest errors."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Self

from chains.errors import BlockGone, ChainError
from chains.model import Balance, BlockRef, Fee, Holding, NetworkId, Receipt, Step
from chains.needs import BadTransaction, Limits, TransactionNeeds, Verdict

NOT_SAID = TransactionNeeds(BlockRef(0, None), (), Verdict.UNKNOWN, "", False, "decode", frozenset(), (), 0)


class FakeChain:
    """Blocks are added by `mine`; a balance is what the last `mine` that named the holding said, zero before."""

    def __init__(self, network: NetworkId, *, price: int = 1, depth: int = 1) -> None:
        self.network = network
        self.price = price
        self.depth = depth
        self.error: ChainError | None = None
        self.needs: TransactionNeeds | BadTransaction = NOT_SAID
        self.analysed = 0
        self.pays_gas: bool | None = None
        self.looked_at: datetime | None = None
        self.receipts: dict[tuple[str, Holding], int] = {}
        self.blocks: list[tuple[BlockRef, dict[Holding, int]]] = [(BlockRef(0, "0x00"), {})]
        self._watched: set[Holding] = set()
        self._dirty: set[Holding] = set()
        self._again: set[Holding] = set()
        self._orphaned: list[BlockRef] = []
        self._given: BlockRef | None = None
        self._moved = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None

    async def check(self) -> None:
        self._raise()

    @property
    def watched(self) -> Collection[Holding]:
        return self._watched

    def watch(self, holdings: Collection[Holding]) -> None:
        self._watched |= set(holdings)
        self._dirty |= set(holdings)
        self._again |= set(holdings)
        self._moved.set()

    def recall(self, balances: Iterable[Balance]) -> None:
        for known in balances:
            self._watched.add(known.holding)
            if self.blocks[-1][1].get(known.holding, 0) != known.amount:
                self._dirty.add(known.holding)
        self._moved.set()

    def unwatch(self, holdings: Collection[Holding]) -> None:
        self._watched -= set(holdings)

    def mine(self, balances: Mapping[Holding, int] | None = None, *, fork: str = "") -> BlockRef:
        """One block, with these holdings changed."""
        parent, before = self.blocks[-1]
        block = BlockRef(parent.number + 1, f"0x{parent.number + 1:02x}{fork}")
        self.blocks.append((block, {**before, **(balances or {})}))
        self._dirty |= set(balances or {}) & self._watched
        self._moved.set()
        return block

    def reorg(self, depth: int) -> None:
        """Take the last blocks away; what they changed is dirty again."""
        for _ in range(depth):
            block, after = self.blocks.pop()
            before = self.blocks[-1][1]
            self._orphaned.append(block)
            changed = {h for h in after if after[h] != before.get(h, 0)}
            self._dirty |= changed & self._watched
        self._moved.set()

    def fail(self, error: ChainError | None) -> None:
        """Answer everything with this error from now on; None heals."""
        self.error = error
        self._moved.set()

    def find_step(self) -> Step:
        """The step that is due now."""
        self._again.clear()
        return Step(self.blocks[-1][0], frozenset(self._dirty), tuple(self._orphaned), looked_at=self.looked_at)

    async def follow(self, after: BlockRef | None) -> AsyncGenerator[Step, None]:
        first = True
        while True:
            self._raise()
            while after is not None and self.blocks[-1][0].number < after.number:  # a node that is behind
                self._moved.clear()
                await self._moved.wait()
            if not first:
                await self._moved.wait()
                self._raise()
            self._moved.clear()
            first = False
            step = self.find_step()
            yield step
            self.forget(step)

    def forget(self, step: Step) -> None:
        """The step was recorded."""
        self._dirty = (self._dirty - step.dirty) | self._again
        self._orphaned.clear()

    async def balances(self, holdings: Collection[Holding], at: BlockRef) -> tuple[Balance, ...]:
        self._raise()
        for block, amounts in self.blocks:
            if block == at:
                return tuple(Balance(h, amounts.get(h, 0), block) for h in holdings)
        raise BlockGone(f"block {at.number} was orphaned")

    async def settled_balances(self, holdings: Collection[Holding]) -> tuple[Balance, ...]:
        self._raise()
        block, amounts = self.blocks[max(0, len(self.blocks) - self.depth)]
        return tuple(Balance(h, amounts.get(h, 0), block) for h in holdings)

    async def find_receipt(self, transaction: str, holding: Holding) -> Receipt | None:
        self._raise()
        amount = self.receipts.get((transaction, holding))
        return None if amount is None else Receipt(transaction, holding, amount, self.blocks[-1][0])

    async def find_needs(
        self, sender: str, transaction: Mapping[str, Any] | str, limits: Limits, *, pays_gas: bool = True
    ) -> TransactionNeeds:
        """What the test said, at the head, whatever is asked about."""
        del sender, transaction, limits
        self.pays_gas = pays_gas
        self._raise()
        self.analysed += 1
        if isinstance(self.needs, BadTransaction):
            raise self.needs
        return replace(self.needs, at=self.blocks[-1][0])

    async def fee(self) -> Fee:
        self._raise()
        return Fee(self.price)

    def _raise(self) -> None:
        if self.error is not None:
            raise self.error
