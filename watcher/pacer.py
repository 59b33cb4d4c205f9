"""Gives out turns at the onramp, at the configured rate and fairly between tenants. Each turn becomes a job."""

import asyncio
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Final

import psycopg

from watcher.apply import CREATE_SESSION_TASK
from watcher.clock import Clock
from watcher.jobs.defer import defer
from watcher.pacing import count_free, find_next, spend, take_turns
from watcher.store.database import Database
from watcher.store.holds import find_holds
from watcher.store.turns import (
    TURN_CHANNEL,
    Turn,
    count_under_way,
    drop_turns,
    find_next_due,
    list_due,
    lock_pace,
    save_pace,
)

PLACES: Final = 10
"""Most turns under way at once, of the 16 jobs that one engine runs: a slow onramp leaves room for all else."""
QUIET: Final = timedelta(seconds=2)
"""Longest pause between two looks: somebody who begins to wait is announced, and an announcement may be lost."""
NO_ROOM: Final = timedelta(milliseconds=100)
AT_ONCE: Final = timedelta(0)
LOOKED_AT: Final = 50
"""Turns of one tenant that one look sees: among them may be some that have become needless."""


class Pacer:
    """`run` is a loop for the supervisor, on every replica; `grant` is one look."""

    def __init__(
        self, database: Database, conninfo: str, tenants: Collection[str], *, per_second: int, clock: Clock
    ) -> None:
        """`tenants` are those that may be asked for; `per_second` is for all of them and all replicas together."""
        self._database = database
        self._conninfo = conninfo
        self._tenants = frozenset(tenants)
        self._per_second = per_second
        self._clock = clock

    async def run(self) -> None:
        """Give out turns until cancelled. Raises psycopg's errors and `StoreUnavailable`: for the supervisor."""
        async with await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True) as conn:
            await conn.execute(f"listen {TURN_CHANNEL}")
            while True:
                pause = await self.grant()
                if pause <= NO_ROOM:
                    await asyncio.sleep(pause.total_seconds())
                    continue
                async for _ in conn.notifies(timeout=pause.total_seconds(), stop_after=1):
                    pass

    async def grant(self) -> timedelta:
        """Give out the turns that may be given out now. Gives how long the next look can wait, at most `QUIET`."""
        now = self._clock.now()
        async with self._database.begin() as conn:
            pace = await lock_pace(conn)
            room = PLACES - await count_under_way(conn)
            if room <= 0:
                return NO_ROOM
            free = count_free(pace, now, self._per_second)
            if free == 0:
                return find_next(pace, now, self._per_second) - now
            holds = await find_holds(conn)
            tenants = set() if holds.everything else self._tenants - holds.tenants
            due = await list_due(conn, tenants, holds.networks, now=now, most=LOOKED_AT)
            needless = [turn.top_up for turn in due if not turn.alive]
            chosen, order = _choose([turn for turn in due if turn.alive], pace.served, min(free, room))
            await drop_turns(conn, [*needless, *chosen])
            for top_up in chosen:
                await defer(conn, CREATE_SESSION_TASK, top_up=top_up)
            if chosen:
                pace = spend(pace, now, self._per_second, order)
                await save_pace(conn, pace)
            if needless or len(due) > len(chosen):
                return AT_ONCE if needless else find_next(pace, now, self._per_second) - now
            next_due = await find_next_due(conn, now=now)
        return QUIET if next_due is None else min(QUIET, next_due - now)


def _choose(due: Sequence[Turn], served: Sequence[str], most: int) -> tuple[list[str], list[str]]:
    """The top-ups whose turn it is, and their tenants in the same order."""
    waiting: dict[str, list[str]] = {}
    for turn in due:
        waiting.setdefault(turn.tenant, []).append(turn.top_up)
    order = take_turns({tenant: len(turns) for tenant, turns in waiting.items()}, served, most)
    return [waiting[tenant].pop(0) for tenant in order], order
