"""Top-ups that wait for their turn at the onramp: rows in and out. A turn that is given out becomes a job."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import bindparam, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from watcher.model import TopUp
from watcher.pacing import Pace
from watcher.store.holds import Holds
from watcher.store.tables import session_pace, session_turn

TURN_CHANNEL: Final = "session_turn"
"""PostgreSQL channel that means: somebody waits."""
PRESSED: Final = 0
"""Somebody waits for the link at a screen."""
DECIDED: Final = 1


@dataclass(frozen=True, slots=True)
class Turn:
    """One that is due."""

    top_up: str
    tenant: str
    alive: bool
    """Whether there is anything to do: it is open, or the outcome of a call is unknown."""


async def wait_turn(conn: AsyncConnection, top_up: TopUp, *, at: datetime, pressed: bool = False) -> None:
    """Have a session asked for at `at` or later. One that waits already keeps the better of its two places."""
    networks = sorted({d.holding.network for d in top_up.destinations})
    new = upsert(session_turn).values(
        top_up=top_up.id,
        tenant=top_up.tenant,
        networks=networks,
        rank=PRESSED if pressed else DECIDED,
        due_at=at,
        created_at=at,
    )
    better = {name: func.least(session_turn.c[name], new.excluded[name]) for name in ("rank", "due_at")}
    told = func.pg_notify(TURN_CHANNEL, "")
    await conn.execute(new.on_conflict_do_update(index_elements=["top_up"], set_=better).returning(told))


async def hurry_turn(conn: AsyncConnection, top_up: str) -> None:
    """Somebody has come to wait for it; nothing happens where its turn was given out already."""
    waiting = update(session_turn).where(session_turn.c.top_up == top_up)
    await conn.execute(waiting.values(rank=PRESSED).returning(func.pg_notify(TURN_CHANNEL, "")))


async def tell_turns(conn: AsyncConnection) -> None:
    """Once committed, have whoever gives out turns look."""
    await conn.execute(select(func.pg_notify(TURN_CHANNEL, "")))


async def lock_pace(conn: AsyncConnection) -> Pace:
    """The pace; who gives out turns beside us waits until the transaction ends."""
    row = (await conn.execute(select(session_pace).with_for_update())).mappings().one()
    return Pace(row["free_at"], tuple(row["served"]))


async def save_pace(conn: AsyncConnection, pace: Pace) -> None:
    """As it is after the turns that were given out."""
    await conn.execute(update(session_pace).values(free_at=pace.free_at, served=list(pace.served)))


_UNDER_WAY = text("""
    select count(*) from procrastinate_jobs
    where task_name = 'create_session' and status in ('todo', 'doing')
        and (scheduled_at is null or scheduled_at <= now())
""")


async def count_under_way(conn: AsyncConnection) -> int:
    """Turns that were given out and are not done, on all replicas. One that failed, and waits, holds up nobody."""
    return int((await conn.execute(_UNDER_WAY)).scalar_one())


_DUE = text("""
    select turn.top_up, turn.tenant, turn.alive
    from unnest(cast(:tenants as text[])) as who (tenant) cross join lateral (
        select waiting.top_up, waiting.tenant, top_up.status = 'open' or exists (
            select from session where session.top_up = waiting.top_up and session.state = 'creating'
        ) as alive
        from session_turn waiting join top_up on top_up.id = waiting.top_up
        where waiting.tenant = who.tenant and waiting.due_at <= :now
            and not waiting.networks && cast(:held as text[])
        order by waiting.rank, waiting.due_at, waiting.top_up
        limit :most
    ) turn
""").bindparams(bindparam("now"))


async def list_due(
    conn: AsyncConnection, tenants: Collection[str], held: Collection[str], *, now: datetime, most: int
) -> list[Turn]:
    """Of each tenant at most so many, in their order; none for a network that is held."""
    values = {"tenants": sorted(tenants), "held": sorted(held), "now": now, "most": most}
    return [Turn(*row) for row in await conn.execute(_DUE, values)]


async def find_next_due(conn: AsyncConnection, *, now: datetime) -> datetime | None:
    """When the next one that is not due yet will be."""
    later = select(func.min(session_turn.c.due_at)).where(session_turn.c.due_at > now)
    due_at: datetime | None = (await conn.execute(later)).scalar_one()
    return due_at


async def drop_turns(conn: AsyncConnection, top_ups: Sequence[str]) -> None:
    """They had their turn, or need none any more."""
    if top_ups:
        await conn.execute(delete(session_turn).where(session_turn.c.top_up.in_(top_ups)))


_MISREAD = text("""
    select waiting.top_up from session_turn waiting join top_up on top_up.id = waiting.top_up
    cross join lateral (
        select :everything or waiting.tenant = any(cast(:tenants as text[]))
            or waiting.networks && cast(:networks as text[]) as held
    ) now
    where top_up.status = 'open' and top_up.withheld <> now.held and (now.held or waiting.due_at <= :now)
    order by waiting.top_up limit :most
""").bindparams(bindparam("now"))


async def list_misread(conn: AsyncConnection, holds: Holds, *, now: datetime, most: int) -> list[str]:
    """Waiting asks that don't say whether they are held back. One that waits for a pause to end says so rightly."""
    values = {"everything": holds.everything, "tenants": sorted(holds.tenants), "networks": sorted(holds.networks)}
    return list((await conn.execute(_MISREAD, {**values, "now": now, "most": most})).scalars())
