"""Long-running coroutines that must not die silently: each has a name, and is started again when it ends."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, Self

import structlog

from watcher.metrics import Metrics

log = structlog.get_logger()

FIRST_PAUSE_SECONDS: Final = 0.25
LONGEST_PAUSE_SECONDS: Final = 15.0
HEALTHY_SECONDS: Final = 30.0
"""Having run this long, a task starts afresh: its next crash counts as the first."""
DEGRADED_AFTER: Final = 3
"""Crashes in a row from which on a task is called degraded."""

Start = Callable[[], Awaitable[object]]
Sleep = Callable[[float], Awaitable[object]]


class Supervisor:
    """`async with Supervisor(...) as tasks: tasks.start("deliver", deliver.run)`; all end with the block."""

    def __init__(
        self,
        metrics: Metrics,
        jitter: Callable[[], float],
        *,
        sleep: Sleep = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`jitter` gives 0 to 1 (`random.random`); a pause is that share of its second half, so crowds disperse."""
        self._metrics = metrics
        self._jitter = jitter
        self._sleep = sleep
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._monotonic = monotonic
        self._crashes: dict[str, int] = {}
        self._began: dict[str, float] = {}

    @property
    def degraded(self) -> tuple[str, ...]:
        """Names of tasks that crash again and again, for readiness; healthy again after `HEALTHY_SECONDS` without."""
        return tuple(sorted(name for name in self._crashes if self._crashes_in_a_row(name) >= DEGRADED_AFTER))

    def start(self, name: str, coroutine_function: Start) -> None:
        """Keep `coroutine_function()` running until `stop`. A name is used once."""
        if name in self._tasks:
            raise ValueError(f"{name} is already supervised")
        self._tasks[name] = asyncio.create_task(self._keep_running(name, coroutine_function), name=name)

    async def stop(self, *names: str) -> None:
        """Cancel these tasks (all, when none is named) and wait for them to end."""
        chosen = [self._tasks.pop(name) for name in (names or tuple(self._tasks))]
        for task in chosen:
            task.cancel()
        await asyncio.gather(*chosen, return_exceptions=True)
        for task in chosen:
            self._crashes.pop(task.get_name(), None)

    async def __aenter__(self) -> Self:
        """Itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop everything."""
        await self.stop()

    async def _keep_running(self, name: str, coroutine_function: Start) -> None:
        while True:
            self._began[name] = self._monotonic()
            await self._run_once(name, coroutine_function)
            self._metrics.crashes.labels(name).inc()
            crashes = self._crashes[name] = self._crashes_in_a_row(name) + 1
            pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(crashes - 1, 16))
            await self._sleep(pause / 2 + pause / 2 * self._jitter())

    async def _run_once(self, name: str, coroutine_function: Start) -> None:
        # in a task of its own: being cancelled means "stop" only when it comes from outside
        running = asyncio.create_task(_call(coroutine_function), name=f"{name} (running)")
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            raise
        if running.cancelled() or running.exception() is None:
            log.warning("task.ended", task=name)
            return
        error = running.exception()
        log.error("task.crashed", task=name, kind=_kinds(error), exc_info=error)

    def _crashes_in_a_row(self, name: str) -> int:
        healthy = self._monotonic() - self._began[name] > HEALTHY_SECONDS
        return 0 if healthy else self._crashes.get(name, 0)


async def _call(coroutine_function: Start) -> None:
    await coroutine_function()


def _kinds(error: BaseException | None) -> str:
    if isinstance(error, BaseExceptionGroup):
        return ", ".join(_kinds(inner) for inner in error.exceptions)
    return type(error).__name__
