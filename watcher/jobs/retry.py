"""What becomes of a job that raised."""

import asyncio
from typing import Final

import structlog
from procrastinate import BaseRetryStrategy, RetryDecision
from procrastinate.jobs import Job

from watcher.metrics import Metrics
from watcher.store.errors import StoreUnavailable

log = structlog.get_logger()

LONGEST_PAUSE_SECONDS: Final = 60


class KeepTrying(BaseRetryStrategy):
    """An unexpected error (the database was away, a fault of ours) never loses a job: again after 1, 2, 4 … 60 s.

    Outcomes that are expected, a refusal or a dead endpoint, are rows that the handler wrote, not exceptions.
    """

    def __init__(self, metrics: Metrics) -> None:
        """Counts what it sees."""
        self._metrics = metrics

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        """Always another try. A job that was cut short by our own stop goes back to the queue at once."""
        if isinstance(exception, asyncio.CancelledError):
            log.info("job.handed_back", task=job.task_name, job=job.id)
            return RetryDecision()
        self._metrics.job_faults.labels(job.task_name).inc()
        pause = min(LONGEST_PAUSE_SECONDS, 1 << min(job.attempts, 10))
        trace = None if isinstance(exception, StoreUnavailable) else exception
        fields = {"task": job.task_name, "job": job.id, "attempt": job.attempts, "again_in_seconds": pause}
        log.error("job.failed", **fields, kind=type(exception).__name__, exc_info=trace)
        return RetryDecision(retry_in={"seconds": pause})
