"""What is read beside a block's balances: the closing depth, and all of it at the same time."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager

import structlog

from chains.chain import Chain
from chains.errors import Unavailable
from chains.model import Holding, Receipt
from watcher.closing import Settled
from watcher.model import Session, TopUp

log = structlog.get_logger()


@asynccontextmanager
async def reading_together() -> AsyncIterator[asyncio.TaskGroup]:
    """Reads at the same time; the first that fails ends the others, and is raised itself."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None


async def read_settled(
    chain: Chain, asks: Sequence[tuple[TopUp, Sequence[Session]]], needed: Collection[Holding]
) -> Settled:
    """Balances and Stripe's transactions at the closing depth; what can't be read closes nothing this time."""
    mine = {d.holding for ask, _ in asks for d in ask.destinations if d.holding.network == chain.network}
    mine |= set(needed)
    if not mine:
        return Settled()
    try:
        balances = await chain.settled_balances(sorted(mine))
    except Unavailable as error:
        log.info("settled.unknown", network=chain.network, reason=str(error))
        return Settled()
    receipts = [r for ask, sessions in asks for s in sessions if (r := await _find_receipt(chain, ask, s))]
    return Settled({b.holding: b for b in balances}, {r.transaction: r for r in receipts})


async def _find_receipt(chain: Chain, ask: TopUp, session: Session) -> Receipt | None:
    if session.transaction is None:
        return None
    for destination in ask.destinations:
        if destination.holding.network == chain.network:
            try:
                receipt = await chain.find_receipt(session.transaction, destination.holding)
            except Unavailable as error:
                log.info("receipt.unknown", top_up=ask.id, reason=str(error))
                continue
            if receipt is not None and receipt.amount > 0:
                return receipt
    return None
