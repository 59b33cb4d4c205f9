"""Tasks that must not die silently."""

import asyncio
from contextlib import suppress

from prometheus_client import CollectorRegistry

from watcher.metrics import Metrics
from watcher.supervise import DEGRADED_AFTER, Supervisor


def _supervisor(pauses: list[float], seconds: list[float]) -> Supervisor:
    async def sleep(pause: float) -> None:
        pauses.append(pause)
        seconds[0] += pause
        await asyncio.sleep(0)

    return Supervisor(Metrics(CollectorRegistry()), lambda: 1.0, sleep=sleep, monotonic=lambda: seconds[0])


async def test_a_crashed_task_is_started_again_with_growing_pauses() -> None:
    """A crash is counted and followed by a restart; pauses double up to their cap, and readiness is told."""
    pauses: list[float] = []
    supervisor = _supervisor(pauses, [0.0])
    settled = asyncio.Event()
    runs = 0

    async def fragile() -> None:
        nonlocal runs
        runs += 1
        if runs <= 8:
            raise RuntimeError("broken")
        settled.set()
        await asyncio.Event().wait()

    async with supervisor as tasks:
        tasks.start("fragile", fragile)
        await asyncio.wait_for(settled.wait(), 5)
        assert pauses == [0.25, 0.5, 1, 2, 4, 8, 15, 15]
        assert tasks.degraded == ("fragile",)
    assert not supervisor.degraded


async def test_a_task_that_has_run_long_enough_is_healthy_again() -> None:
    """After a long run the task is not degraded any more, and its next crash starts with the short pause."""
    pauses: list[float] = []
    seconds = [0.0]
    supervisor = _supervisor(pauses, seconds)
    waiting, go_on = asyncio.Event(), asyncio.Event()
    runs = 0

    async def fragile() -> None:
        nonlocal runs
        runs += 1
        if runs == DEGRADED_AFTER + 1:
            waiting.set()
            await go_on.wait()
        if runs == DEGRADED_AFTER + 2:
            waiting.set()
            await asyncio.Event().wait()
        raise RuntimeError("broken")

    async with supervisor as tasks:
        tasks.start("fragile", fragile)
        await asyncio.wait_for(waiting.wait(), 5)
        assert tasks.degraded == ("fragile",)
        seconds[0] += 31
        assert not supervisor.degraded
        waiting.clear()
        go_on.set()
        await asyncio.wait_for(waiting.wait(), 5)
        assert pauses[-1] == 0.25


async def test_a_task_that_returns_or_cancels_itself_is_started_again() -> None:
    """Only being stopped ends a supervised task."""
    supervisor = _supervisor([], [0.0])
    settled = asyncio.Event()
    runs = 0

    async def odd() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            return
        if runs == 2:
            raise asyncio.CancelledError
        if runs == 3:  # as a TaskGroup of Python 3.11 may do: it cancels its parent and forgets to take that back
            current = asyncio.current_task()
            assert current is not None
            current.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
            raise RuntimeError("broken")
        settled.set()
        await asyncio.Event().wait()

    async with supervisor as tasks:
        tasks.start("odd", odd)
        await asyncio.wait_for(settled.wait(), 5)


async def test_stop_ends_a_task_that_fails_on_its_way_out() -> None:
    """A task whose clean-up raises while it is being stopped is not started again."""
    supervisor = _supervisor([], [0.0])
    started = asyncio.Event()

    async def clumsy() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise RuntimeError("clean-up failed")

    supervisor.start("clumsy", clumsy)
    await asyncio.wait_for(started.wait(), 5)
    await asyncio.wait_for(supervisor.stop(), 5)


async def test_a_loop_that_ends_ends_supervision() -> None:
    """Being cancelled from outside, as `asyncio.run` does at its end, stops both the task and its supervision."""
    supervisor = _supervisor([], [0.0])
    started = asyncio.Event()

    async def steady() -> None:
        started.set()
        await asyncio.Event().wait()

    before = asyncio.all_tasks()
    supervisor.start("steady", steady)
    await asyncio.wait_for(started.wait(), 5)
    ours = asyncio.all_tasks() - before
    for task in ours:
        task.cancel()
    await asyncio.wait_for(asyncio.gather(*ours, return_exceptions=True), 5)
    assert asyncio.all_tasks() == before
