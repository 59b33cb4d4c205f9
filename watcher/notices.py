"""Hearing what others have committed, through PostgreSQL's LISTEN: an alarm clock, as heads are for blocks."""

import asyncio
import json
from collections.abc import Awaitable, Mapping
from typing import Final, Protocol

import psycopg
import structlog

from chains.model import NetworkId
from watcher.store.wallets import NUDGE_CHANNEL, WATCHING_CHANNEL

log = structlog.get_logger()

QUIET_SECONDS: Final = 600
"""So often all that is watched is looked through: a notice that was lost costs no more than that."""


class Listener(Protocol):
    """One network's loop, as far as notices concern it."""

    def refresh_watched(self) -> Awaitable[None]:
        """Take up all that is watched now."""

    def refresh_wallet(self, tenant: str, wallet_id: str) -> Awaitable[None]:
        """Take up what is watched now of one wallet."""

    def nudge(self, *wallet_of: str) -> Awaitable[None]:
        """Read a wallet now (tenant, id), or what needs attention."""


async def listen(conninfo: str, listeners: Mapping[NetworkId, Listener]) -> None:
    """Pass notices on until cancelled. Raises psycopg's errors when the connection breaks: for the supervisor."""
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as conn:
        await conn.execute(f"listen {WATCHING_CHANNEL}")
        await conn.execute(f"listen {NUDGE_CHANNEL}")
        now = asyncio.get_running_loop().time
        while True:
            for listener in listeners.values():
                await listener.refresh_watched()
            due = now() + QUIET_SECONDS
            while (left := due - now()) > 0:
                async for notice in conn.notifies(timeout=left, stop_after=1):
                    await _pass_on(notice, listeners)


async def _pass_on(notice: psycopg.Notify, listeners: Mapping[NetworkId, Listener]) -> None:
    network, *wallet_of = json.loads(notice.payload)
    told = listeners.get(NetworkId(network))
    if told is None:
        return
    if notice.channel == WATCHING_CHANNEL:
        await told.refresh_wallet(*wallet_of)
    else:
        await told.nudge(*wallet_of)
