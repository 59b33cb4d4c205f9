"""Deferring a job in the transaction of the rows that it serves: both are committed, or neither."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from procrastinate import App, PsycopgConnector
from sqlalchemy.ext.asyncio import AsyncConnection

QUEUE = "watcher"

_unopened = App(connector=PsycopgConnector())
"""Only makes the statement: it has no connection of its own, and uses the caller's."""


async def defer(
    conn: AsyncConnection,
    task: str,
    *,
    lock: str | None = None,
    at: datetime | None = None,
    priority: int = 0,
    **args: Any,
) -> None:
    """Have `task(**args)` run once this transaction is committed, at or after `at`; with one `lock`, one at a time.

    Of those that are due, a higher `priority` is taken first. Args are JSON. A job may run more than once (a worker
    that dies mid-way is replaced), so it looks before it acts.
    """
    raw = (await conn.get_raw_connection()).driver_connection
    deferrer = _unopened.configure_task(task, queue=QUEUE, lock=lock, schedule_at=at, priority=priority, connection=raw)
    await deferrer.defer_async(**args)


async def defer_all(conn: AsyncConnection, task: str, args: Sequence[Mapping[str, Any]], *, priority: int = 0) -> None:
    """Have `task` run once with each of `args`, in one round trip, as `defer` would one by one."""
    if args:
        raw = (await conn.get_raw_connection()).driver_connection
        deferrer = _unopened.configure_task(task, queue=QUEUE, priority=priority, connection=raw)
        await deferrer.batch_defer_async(*(dict(each) for each in args))
