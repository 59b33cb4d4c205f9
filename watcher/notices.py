"""Hearing what others have committed, through PostgreSQL's LISTEN: an alarm clock, as heads are for blocks."""

from collections.abc import Awaitable, Mapping
from typing import Final, Protocol

import psycopg
import structlog

from chains.model import NetworkId
from watcher.store.wallets import NUDGE_CHANNEL, WATCHING_CHANNEL

log = structlog.get_logger()

QUIET_SECONDS: Final = 30
"""Without a notice for this long, look anyway: a notice that was lost costs no more than that."""


class Listener(Protocol):
    """One network's loop, as far as notices concern it."""

    def refresh_watched(self) -> Awaitable[None]:
        """Take up what is watched now."""

    def nudge(self) -> Awaitable[None]:
        """Read what is being asked for now."""


async def listen(conninfo: str, listeners: Mapping[NetworkId, Listener]) -> None:
    """Pass notices on until cancelled. Raises psycopg's errors when the connection breaks: for the supervisor."""
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as conn:
        await conn.execute(f"listen {WATCHING_CHANNEL}")
        await conn.execute(f"listen {NUDGE_CHANNEL}")
        while True:
            for listener in listeners.values():
                await listener.refresh_watched()
            async for notice in conn.notifies(timeout=QUIET_SECONDS):
                told = listeners.get(NetworkId(notice.payload))
                if told is None:
                    continue
                if notice.channel == WATCHING_CHANNEL:
                    await told.refresh_watched()
                else:
                    await told.nudge()
