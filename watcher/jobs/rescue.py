"""Jobs that nobody is working on although they look as if somebody were."""

from collections.abc import Callable, Collection
from typing import Any, Final, LiteralString

import structlog
from procrastinate import App

from watcher.metrics import Metrics

log = structlog.get_logger()

STALLED_SECONDS: Final = 5.0
"""A worker silent for this long is dead, or frozen: its jobs run again elsewhere, and their effects are idempotent."""
_STALLED: Final = """
    update procrastinate_jobs set status = 'todo', attempts = attempts + 1, scheduled_at = now()
    where status = 'doing' and not abort_requested and (worker_id is null or worker_id in (
        select id from procrastinate_workers where last_heartbeat < now() - make_interval(secs => %(seconds)s)
    )) returning id, task_name
"""
_DOING: Final = "select id from procrastinate_jobs where status = 'doing' and worker_id = %(worker)s"
_LOST: Final = """
    update procrastinate_jobs set status = 'todo', attempts = attempts + 1, scheduled_at = now()
    where status = 'doing' and not abort_requested and worker_id = %(worker)s and id = any(%(ids)s)
    returning id, task_name
"""


class Rescue:
    """`look` puts jobs of dead workers back into the queue, and those that its own worker has lost track of.

    Statements of ours on procrastinate's table, as its own two-step way may put back a job that another replica has
    rescued, and started, in between.
    """

    def __init__(self, app: App, metrics: Metrics, *, monotonic: Callable[[], float]) -> None:
        """`app` must be open when `look` is called."""
        self._app = app
        self._metrics = metrics
        self._monotonic = monotonic
        self._missing_since: dict[int, float] = {}

    async def look(self, worker_id: int | None, running: Collection[int]) -> None:
        """`running`: ids of the jobs that worker `worker_id`, of this process, is really working on.

        Raises procrastinate's `ConnectorException` when the database is away.
        """
        await self._put_back("worker_died", _STALLED, seconds=STALLED_SECONDS)
        if worker_id is not None:
            await self._find_lost(worker_id, running)

    async def _find_lost(self, worker_id: int, running: Collection[int]) -> None:
        """A worker that can't record a job's end, as the database was away just then, never tries that again."""
        rows = await self._app.connector.execute_query_all_async(_DOING, worker=worker_id)
        now = self._monotonic()
        missing = {row["id"] for row in rows} - set(running)
        self._missing_since = {job: self._missing_since.get(job, now) for job in missing}
        lost = [job for job, since in self._missing_since.items() if now - since > STALLED_SECONDS]
        if lost:
            await self._put_back("end_not_recorded", _LOST, worker=worker_id, ids=lost)

    async def _put_back(self, reason: str, statement: LiteralString, **args: Any) -> None:
        for row in await self._app.connector.execute_query_all_async(statement, **args):
            log.warning("job.rescued", task=row["task_name"], job=row["id"], reason=reason)
            self._metrics.jobs_rescued.inc()
