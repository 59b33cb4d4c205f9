"""Deferring a job in the transaction of the rows that it serves: both are committed, or neither."""

from datetime import datetime
from typing import Any

from procrastinate import App, PsycopgConnector
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
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


_EARLIER = text("""
    select exists (
        select from procrastinate_jobs mine join procrastinate_jobs earlier
            on earlier.task_name = mine.task_name and earlier.id < mine.id and earlier.status in ('todo', 'doing')
        where mine.task_name = :task and mine.args @> :args and earlier.args @> :alike
    )
""").bindparams(bindparam("args", type_=JSONB), bindparam("alike", type_=JSONB))


async def has_earlier(conn: AsyncConnection, task: str, args: dict[str, Any], *, alike: dict[str, Any]) -> bool:
    """Whether a job of `task`, deferred before the one with these `args`, is not done yet, among those `alike`."""
    return bool((await conn.execute(_EARLIER, {"task": task, "args": args, "alike": alike})).scalar_one())
