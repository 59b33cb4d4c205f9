"""Running jobs: one procrastinate worker, and the rescue of jobs that dead ones left behind."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import structlog
from procrastinate import App, JobContext, PsycopgConnector
from procrastinate.worker import Worker
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from watcher.jobs.defer import QUEUE
from watcher.jobs.rescue import STALLED_SECONDS, Rescue
from watcher.jobs.retry import KeepTrying
from watcher.metrics import Metrics

log = structlog.get_logger()

Handler = Callable[..., Awaitable[None]]
Check = Callable[[AsyncConnection[Any]], Awaitable[None]]

HEARTBEAT_SECONDS: Final = 1.0
RESCUE_SECONDS: Final = 2.0
POLL_SECONDS: Final = 1.0
"""New jobs are announced at once; this is for those whose time has come, and for announcements that were lost."""
GRACE_SECONDS: Final = 3.0
"""How long running jobs may finish when the daemon stops; what has not is handed back."""
POOL_SECONDS: Final = 5.0
MOST_CONNECTIONS: Final = 6


class WorkerStopped(Exception):
    """The worker gave up by itself, as it does when its heartbeat or listener fails."""


class JobEngine:
    """The worker side of the queue, for as long as the daemon lives."""

    def __init__(
        self,
        conninfo: str,
        handlers: Mapping[str, Handler],
        *,
        name: str,
        metrics: Metrics,
        concurrency: int = 16,
        check: Check = AsyncConnectionPool.check_connection,
    ) -> None:
        """`handlers`: task name to coroutine function; `name` tells this process's worker from others'.

        `conninfo` is `watcher.store.database.conninfo(url)`. `check` refuses a connection by raising, before each use.
        """
        pool: dict[str, Any] = {
            "conninfo": conninfo,
            "min_size": 2,
            "max_size": MOST_CONNECTIONS,
            "timeout": POOL_SECONDS,
        }
        self._app = App(connector=PsycopgConnector(pool_factory=_make_pool(check), **pool))
        self._name = name
        self._concurrency = concurrency
        self._running: set[int] = set()
        self._worker: Worker | None = None
        self._rescue = Rescue(self._app, metrics, monotonic=time.monotonic)
        retry = KeepTrying(metrics)
        for task, handler in handlers.items():
            self._app.task(name=task, queue=QUEUE, retry=retry, pass_context=True)(self._as_task(handler))

    async def run(self) -> None:
        """Work until cancelled; then running jobs get `GRACE_SECONDS` to finish. For the supervisor.

        Raises `WorkerStopped`, or what the database raised, when it is to be started again.
        """
        self._worker = None
        async with self._app.open_async(), asyncio.TaskGroup() as tasks:
            tasks.create_task(self._look_after(), name="job-rescue")
            tasks.create_task(self._work(), name="job-worker")

    async def _work(self) -> None:
        self._worker = Worker(
            self._app,
            queues=[QUEUE],
            name=self._name,
            concurrency=self._concurrency,
            fetch_job_polling_interval=POLL_SECONDS,
            shutdown_graceful_timeout=GRACE_SECONDS,
            delete_jobs="successful",
            install_signal_handlers=False,
            update_heartbeat_interval=HEARTBEAT_SECONDS,
            stalled_worker_timeout=STALLED_SECONDS,
        )
        await self._worker.run()  # type: ignore[no-untyped-call]
        raise WorkerStopped(self._name)

    async def _look_after(self) -> None:
        while True:
            await self._rescue.look(self._worker.worker_id if self._worker else None, self._running)
            await asyncio.sleep(RESCUE_SECONDS)

    def _as_task(self, handler: Handler) -> Callable[..., Awaitable[None]]:
        async def task(context: JobContext, **args: Any) -> None:
            job = context.job.id or 0
            self._running.add(job)
            try:
                await handler(**args)
            finally:
                self._running.discard(job)

        return task


def _make_pool(check: Check) -> Callable[..., AsyncConnectionPool]:
    """The library brings a check of its own, which is a ping."""
    return lambda **options: AsyncConnectionPool(**{**options, "check": check})
