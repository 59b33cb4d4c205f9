"""Hearing what others have committed, through PostgreSQL's LISTEN: an alarm clock, as heads are for blocks."""

import asyncio
import json
from collections.abc import Awaitable, Collection, Mapping, Sequence
from typing import Final, Protocol

import psycopg
import structlog

from chains.model import NetworkId
from watcher.store.attention import Wallet
from watcher.store.wallets import NUDGE_CHANNEL, WATCHING_CHANNEL

log = structlog.get_logger()

AT_ONCE: Final = 2_000
"""Wallets taken up at once."""
QUIET_SECONDS: Final = 600
"""So often all that is watched is looked through: a notice that was lost costs no more than that."""


class Listener(Protocol):
    """One network's loop, as far as notices concern it."""

    def refresh_watched(self) -> Awaitable[None]:
        """Take up all that is watched now."""

    def refresh_wallets(self, wallets: Collection[Wallet]) -> Awaitable[None]:
        """Take up what is watched now of some wallets."""

    def nudge(self, wallets: Collection[Wallet] = ()) -> Awaitable[None]:
        """Read some wallets now; without any, what needs attention."""


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
                heard = [notice async for notice in conn.notifies(timeout=left, stop_after=1)]
                await _pass_on(heard, listeners)


async def _pass_on(heard: Sequence[psycopg.Notify], listeners: Mapping[NetworkId, Listener]) -> None:
    """Those that came together, together: a file of wallets is one transaction with a notice for each."""
    wallets: dict[tuple[str, NetworkId], set[Wallet]] = {}
    for notice in heard:
        network, *wallet_of = json.loads(notice.payload)
        here = wallets.setdefault((notice.channel, network), set())
        if wallet_of:
            here.add((wallet_of[0], wallet_of[1]))
        elif network in listeners:
            await listeners[network].nudge()
    for (channel, network), them in sorted(wallets.items(), key=lambda each: each[0][0] == NUDGE_CHANNEL):
        listener, ordered = listeners.get(network), sorted(them)
        for start in range(0, len(ordered) if listener is not None else 0, AT_ONCE):
            part = ordered[start : start + AT_ONCE]
            if listener is not None:
                await (listener.refresh_wallets(part) if channel == WATCHING_CHANNEL else listener.nudge(part))
