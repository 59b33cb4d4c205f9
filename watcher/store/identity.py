"""Whether the server that answers still holds the store that this daemon works on.

A failover to an empty or an older copy, a backup put back, a schema brought up by a newer release: each would have the
daemon ask again for what it has asked for. So each transaction begins with one question, in place of a ping.
"""

from dataclasses import dataclass
from typing import Any, Final

import psycopg
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from watcher.store.errors import StoreReplaced

log = structlog.get_logger()

QUESTION: Final = """
    select i.epoch, i.moved_at is not null, v.version_num, p.last
    from installation i, alembic_version v, event_position p
"""
UNLIKE: Final = (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.InvalidCatalogName)
"""What a database says that was never ours, or is of another release."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a store says of itself."""

    epoch: str
    moved: bool
    schema: str
    position: int
    """Of its last event: it only ever grows."""


class Identity:
    """What this process knows of its store; `judge` compares."""

    def __init__(self, known: Answer) -> None:
        self._known = known
        self._position = known.position
        self._refused: str | None = None

    @property
    def floor(self) -> int:
        """The last event known to be committed. Take it before the question is put: the answer is no lower."""
        return self._position

    def note(self, position: int) -> None:
        """An event of ours was committed."""
        self._position = max(self._position, position)

    def judge(self, row: tuple[Any, ...] | None, *, floor: int) -> None:
        """Raises `StoreReplaced` for an answer of another store, or None: of no store of ours at all."""
        fault = self._find_fault(row, floor)
        if fault != self._refused:
            self._refused = fault
            if fault is None:
                log.info("store.accepted")
            else:
                log.error("store.refused", reason=fault)
        if fault is not None:
            raise StoreReplaced(f"PostgreSQL: {fault}")

    def _find_fault(self, row: tuple[Any, ...] | None, floor: int) -> str | None:
        if row is None:
            return "this is an empty database, or somebody else's"
        found = Answer(*row)
        if found.moved:
            return "the store was moved to another server"
        if found.schema != self._known.schema:
            return "the schema is of another release"
        if found.epoch != self._known.epoch:
            return "a backup was put back, or this is another installation"
        if found.position < floor:
            return "this is an older state of the store"
        self.note(found.position)
        return None

    async def check(self, conn: psycopg.AsyncConnection[Any]) -> None:
        """For a pool of psycopg's. Raises `StoreReplaced`."""
        floor = self.floor
        try:
            row = await (await conn.execute(QUESTION)).fetchone()
        except UNLIKE:
            row = None
        self.judge(None if row is None else tuple(row), floor=floor)

    def check_dbapi(self, conn: Any) -> None:
        """The same for SQLAlchemy's adapted connection, outside a transaction."""
        floor = self.floor
        cursor = conn.cursor()
        try:
            cursor.execute(QUESTION)
            row = cursor.fetchone()
        except UNLIKE:
            row = None
        finally:
            cursor.close()
        self.judge(row, floor=floor)


async def read_identity(conn: AsyncConnection) -> Identity:
    """What the store says of itself now: for a daemon that starts."""
    return Identity(Answer(*(await conn.execute(text(QUESTION))).one()))
