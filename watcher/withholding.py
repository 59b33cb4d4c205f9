"""`link_status: withheld` on the asks that wait while they are held back, and not on those that may go again."""

from typing import Final

from sqlalchemy import select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from watcher.clock import Clock
from watcher.jobs.defer import defer
from watcher.store.database import Database
from watcher.store.holds import find_holds
from watcher.store.tables import top_up, wallet
from watcher.store.turns import list_misread, tell_turns

WITHHOLD_TASK: Final = "withhold"
BATCH: Final = 500


async def defer_withhold(conn: AsyncConnection) -> None:
    """Once committed, have the waiting asks say what is held back now. Whoever changes that calls it."""
    await defer(conn, WITHHOLD_TASK, lock=WITHHOLD_TASK)


class Withholder:
    """`withhold` is a job; running it twice does nothing twice."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        """Everything else is in the store."""
        self._database = database
        self._clock = clock

    async def withhold(self) -> None:
        """Batch by batch, so that no wallet is locked for long; then turns are given out again."""
        while await self._mark_some():
            pass
        async with self._database.begin() as conn:
            await tell_turns(conn)

    async def _mark_some(self) -> int:
        async with self._database.begin() as conn:
            holds = await find_holds(conn)
            ids = await list_misread(conn, holds, now=self._clock.now(), most=BATCH)
            if not ids:
                return 0
            mine = select(top_up.c.tenant, top_up.c.wallet).where(top_up.c.id.in_(ids))
            locked = select(wallet.c.id).where(tuple_(wallet.c.tenant, wallet.c.id).in_(mine))
            await conn.execute(locked.order_by(wallet.c.tenant, wallet.c.id).with_for_update())
            await conn.execute(update(top_up).where(top_up.c.id.in_(ids)).values(withheld=~top_up.c.withheld))
        return len(ids)
