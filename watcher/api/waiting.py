"""Waiting for what the loops make of something just written: decided, or with its link. Bounded in time and number."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

LOOK_SECONDS: Final = 0.05
MOST_AT_ONCE: Final = 64
"""Answers that wait side by side; one more is given as things stand."""


class Waiting:
    """Looks again and again until something holds, or the patience is over."""

    def __init__(self) -> None:
        """Nobody waits yet."""
        self._now = 0

    async def until(self, holds: Callable[[], Awaitable[bool]], seconds: float) -> bool:
        """Whether it held within so many seconds."""
        if await holds():
            return True
        if seconds <= 0 or self._now >= MOST_AT_ONCE:
            return False
        self._now += 1
        try:
            async with asyncio.timeout(seconds):
                while not await holds():  # noqa: ASYNC110  another process may be the one that decides
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            return False
        finally:
            self._now -= 1
        return True
