"""Which proposed transactions are due to be looked at again."""

from datetime import datetime
from typing import Final

from sqlalchemy import BigInteger, DateTime, and_, cast, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from chains.needs import Verdict
from watcher.asks.model import LIVING, State
from watcher.model import NeedKind
from watcher.store.asks import AskKey, unclosed
from watcher.store.tables import ask, cursor, need

ZONED: Final = DateTime(timezone=True)
OFTEN_SECONDS: Final = 5
"""A new transaction is looked at again after a block, but not more often than this."""
SELDOM_SECONDS: Final = 300
AGES: Final = 50
"""One that has waited for long is looked at as often in its life, and at least so often."""


async def list_analysed(conn: AsyncConnection, *, now: datetime, limit: int) -> list[AskKey]:
    """Asks with a transaction that may still change what is asked for, and whose turn it is.

    Those that have waited longest come first; those whose network has not moved since have nothing to wait for.
    What was let go of may be needed again: only what was met for good has an end.
    """
    looked_at = ask.c.analysis["looked_at"].astext
    height = cast(ask.c.analysis["at"]["height"].astext, BigInteger)
    head = select(func.max(cursor.c.height)).where(cursor.c.network == ask.c.network).scalar_subquery()
    unread = ask.c.analysis["verdict"].astext == Verdict.UNKNOWN.value
    behind = or_(unread, height.is_(None), head.is_(None), head > height)
    mine = and_(need.c.tenant == ask.c.tenant, need.c.kind == ask.c.kind, need.c.id == ask.c.id)
    met = and_(need.c.state == State.COVERED.value, need.c.closed_at.is_not(None))
    settled = and_(ask.c.status == State.COVERED.value, exists().where(mine, met), ~exists().where(mine, unclosed()))
    age, unseen = (func.extract("epoch", now - since) for since in (ask.c.created_at, cast(looked_at, ZONED)))
    turn = and_(unseen >= OFTEN_SECONDS, or_(unseen >= SELDOM_SECONDS, unseen * AGES >= age))
    query = (
        select(ask.c.tenant, ask.c.kind, ask.c.id)
        .where(ask.c.analysis.is_not(None), ask.c.status.in_([s.value for s in LIVING]), ~settled)
        .where(behind, or_(looked_at.is_(None), turn))
        .order_by(looked_at.nulls_first())
        .limit(limit)
    )
    return [(tenant, NeedKind(kind), id_) for tenant, kind, id_ in await conn.execute(query)]
