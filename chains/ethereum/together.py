"""Several reads at once, none of them left behind."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


async def together(reads: Sequence[Callable[[], Awaitable[T]]], *, at_once: int) -> list[T]:
    """All results, in order. The first failure cancels the others, and is raised once they have ended."""
    turns = asyncio.Semaphore(at_once)

    async def take_turn(read: Callable[[], Awaitable[T]]) -> T:
        async with turns:
            return await read()

    tasks = [asyncio.create_task(take_turn(read)) for read in reads]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
