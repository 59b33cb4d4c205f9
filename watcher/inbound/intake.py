"""Taking webhooks in: those that arrive together share one transaction, and each is answered once it is committed."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from enum import Enum, auto
from typing import Any, Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from watcher.jobs.defer import defer_all
from watcher.store.database import Database
from watcher.store.errors import StoreUnavailable
from watcher.store.inbox import Arrival, Key, insert_arrivals

log = structlog.get_logger()

MOST_WAITING: Final = 1_024
"""Webhooks that may wait for their transaction; a body has 64 KiB at most."""
MOST_AT_ONCE: Final = 128
"""Webhooks that share a transaction."""
MOST_A_JOB: Final = 8
"""Webhooks that share a job: few enough that a worker is soon free for something else."""
LONGEST_SECONDS: Final = 5.0
"""A transaction takes no longer; then nobody who waits is kept waiting."""
MOST_ASIDE_SECONDS: Final = 0.25
PRIORITY: Final = -1
"""A spike of webhooks must not hold up sessions and polls."""


class Kept(Enum):
    """What became of a webhook that was sent."""

    NEW = auto()
    SAME = auto()
    """It was there already."""
    OTHER = auto()
    """Its id was, with another body."""


class Full(Exception):
    """Too many wait already: nothing of this one was stored."""


Waiting = tuple[Arrival, asyncio.Future[Kept]]


class Intake:
    """A bounded queue and its one writer, which lives while anything waits and takes all that does, up to a number.

    While it waits for one commit, the next webhooks gather: the busier it is, the more share a transaction.
    """

    def __init__(
        self, database: Database, *, most_waiting: int = MOST_WAITING, longest_seconds: float = LONGEST_SECONDS
    ) -> None:
        """Writes nothing before something comes."""
        self._database = database
        self._most_waiting = most_waiting
        self._longest_seconds = longest_seconds
        self._waiting: deque[Waiting] = deque()
        self._writer: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    async def quiet(self) -> None:
        """Returns once nothing waits to be stored, or after `MOST_ASIDE_SECONDS`: for what can step aside."""
        if not self._idle.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(MOST_ASIDE_SECONDS):
                    await self._idle.wait()

    async def keep(self, arrival: Arrival) -> Kept:
        """Returns once it is on disk, with its job. Raises `Full`, or `StoreUnavailable` when that is not known."""
        if len(self._waiting) >= self._most_waiting:
            raise Full
        answer: asyncio.Future[Kept] = asyncio.get_running_loop().create_future()
        self._waiting.append((arrival, answer))
        if self._writer is None:
            self._idle.clear()
            self._writer = asyncio.create_task(self._write(), name="intake")
        return await answer

    async def close(self) -> None:
        """Let go: whoever still waits is not answered."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)

    async def _write(self) -> None:
        try:
            while self._waiting:
                await self._answer(self._take(MOST_AT_ONCE))
        finally:
            self._writer = None
            self._idle.set()

    def _take(self, most: int) -> list[Waiting]:
        """The next that wait, without those that went away."""
        taken = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
        return [each for each in taken if not each[1].done()]

    async def _answer(self, batch: Sequence[Waiting]) -> None:
        """All of a batch in one transaction. When that fails: one by one, until the store itself proves to be away."""
        if not batch:
            return
        try:
            results = await self._keep([arrival for arrival, _ in batch])
        except Exception as error:  # noqa: BLE001  given to those who wait for an answer
            if len(batch) == 1:
                self._fail(batch[0], error)
                return
            log.warning("intake.one_by_one", webhooks=len(batch), kind=type(error).__name__)
        else:
            for (_, answer), kept in zip(batch, results, strict=True):
                if not answer.done():
                    answer.set_result(kept)
            return
        self._waiting.extendleft(reversed(batch))
        for _ in batch:
            if not self._waiting:
                return
            await self._answer(self._take(1))

    def _fail(self, one: Waiting, error: Exception) -> None:
        """Without a store, all who wait are told at once: each would have to wait as long as the last."""
        failed = [one]
        if isinstance(error, StoreUnavailable):
            failed += self._waiting
            self._waiting.clear()
        for _, answer in failed:
            if not answer.done():
                answer.set_exception(error)

    @asynccontextmanager
    async def _begin(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with asyncio.timeout(self._longest_seconds), self._database.begin() as conn:
                yield conn
        except TimeoutError as error:
            raise StoreUnavailable("PostgreSQL: no commit in time") from error

    async def _keep(self, arrivals: Sequence[Arrival]) -> list[Kept]:
        async with self._begin() as conn:
            stored, known = await insert_arrivals(conn, arrivals)
            new: dict[Key, Arrival] = {}
            for each in arrivals:
                if each.key in stored:
                    new.setdefault(each.key, each)
            for task, jobs in plan_jobs(list(new.values())).items():
                await defer_all(conn, task, jobs, priority=PRIORITY)
        if new:  # a line a webhook would cost half as much as all the rest
            log.info("inbound.accepted", webhooks=len(new))
        return [_compare(each, new, known) for each in arrivals]


def plan_jobs(arrivals: Sequence[Arrival]) -> dict[str, list[dict[str, Any]]]:
    """By task, the arguments of the jobs that serve these, first to last."""
    planned: dict[str, list[dict[str, Any]]] = {}
    open_jobs: dict[tuple[str, str], dict[str, Any]] = {}
    for each in arrivals:
        if each.task is None:
            continue
        job = open_jobs.get((each.task, each.tenant)) if each.together else None
        if job is not None:
            also = job.setdefault("also", [])
            also.append([each.source, each.id])
            if len(also) == MOST_A_JOB - 1:
                del open_jobs[each.task, each.tenant]
            continue
        job = dict(each.args)
        planned.setdefault(each.task, []).append(job)
        if each.together:
            open_jobs[each.task, each.tenant] = job
    return planned


def _compare(arrival: Arrival, new: Mapping[Key, Arrival], known: Mapping[Key, bytes]) -> Kept:
    """One whose row is gone again was the same, as far as anybody can tell."""
    stored = new.get(arrival.key)
    if stored is arrival:
        return Kept.NEW
    digest = known.get(arrival.key, arrival.digest) if stored is None else stored.digest
    return Kept.SAME if digest == arrival.digest else Kept.OTHER
