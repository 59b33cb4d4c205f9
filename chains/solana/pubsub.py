"""Which accounts changed, as told over websockets. Hints only: what an account holds is always read."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final

import aiohttp
import structlog
from yarl import URL

from chains.errors import Unavailable, WrongNetwork
from chains.rpc import Identity, RpcClient
from chains.solana.connection import Connection, Lost, Subscriptions

log = structlog.get_logger()

_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 30.0
_HEALTHY_SECONDS: Final = 3.0
"""A connection must live so long before the pause between attempts shrinks back."""
_CONNECT_SECONDS: Final = 10.0
_CHECK_SECONDS: Final = 2.0
"""For one question who a websocket's node is."""
_MAX_MESSAGE: Final = 2**24


class AccountFeed:
    """Subscriptions to any number of accounts, over as many connections as they need. Reconnects for ever.

    What it gives, for the follower to take: `hints`, the accounts that may have changed, each with the slot from
    which a read shows it; and `gap`, set when a connection that had been lost stands again with everything on it.
    """

    def __init__(
        self,
        urls: Sequence[str],
        wake: asyncio.Event,
        *,
        per_connection: int,
        ack_seconds: float,
        silence_seconds: float,
        most_connections: int = 64,
        identity: Identity | None = None,
        resync: bool = True,
    ) -> None:
        """`wake` is set when there is something to take. `per_connection` is what a connection is asked for at most,
        and less once a node has refused more; what `most_connections` can't take is heard of by nobody. Without
        `resync`, which is for a test, a reconnection is trusted to have missed nothing.

        Each node is asked for its `identity` before it is listened to, and left when it is another chain's. Nodes
        don't tell it over a websocket (method not found), so it is asked over HTTP where the same node should be; one
        that does not answer there is believed. What that can cost is hints: balances are never read from it.
        """
        self._urls = tuple(urls)
        self._wake = wake
        self._per_connection = per_connection
        self._ack_seconds = ack_seconds
        self._silence_seconds = silence_seconds
        self._identity = identity
        self._resync = resync
        self._most_connections = most_connections
        self._shards: list[Subscriptions] = []
        self._silent: set[str] = set()
        """Accounts that no connection has room for."""
        self._shard_of: dict[str, Subscriptions] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None
        self.hints: dict[str, int] = {}
        self.gap = False

    def start(self) -> None:
        """Connect, in tasks of its own."""
        self._session = aiohttp.ClientSession(trust_env=False, timeout=aiohttp.ClientTimeout(total=None))
        for shard in self._shards:
            self._connect(shard)

    async def stop(self) -> None:
        """End every connection, and wait until they have ended."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        self._tasks.clear()
        if self._session is not None:
            await self._session.close()
            self._session = None

    def add(self, accounts: Iterable[str]) -> None:
        """Hear of these."""
        for account in accounts:
            if account in self._shard_of:
                continue
            shard = self._with_room()
            if shard is None:
                self._silent.add(account)
            else:
                self._shard_of[account] = shard
                shard.add(account)

    def drop(self, accounts: Iterable[str]) -> None:
        """Hear of these no more."""
        for account in accounts:
            self._silent.discard(account)
            shard = self._shard_of.pop(account, None)
            if shard is not None:
                shard.drop(account)
            self.hints.pop(account, None)

    def unheard(self) -> set[str]:
        """Accounts whose changes nobody would tell us now: not acknowledged, refused, or the connection is down."""
        if not self._resync:
            return set()
        return self._silent.union(*(shard.unheard() for shard in self._shards))

    def _with_room(self) -> Subscriptions | None:
        for shard in self._shards:
            if len(shard.wanted) < self._per_connection:
                return shard
        if len(self._shards) >= self._most_connections:
            return None
        shard = Subscriptions()
        self._shards.append(shard)
        if self._session is not None:
            self._connect(shard)
        return shard

    def _connect(self, shard: Subscriptions) -> None:
        if self._urls and self._session is not None:
            self._tasks.append(asyncio.create_task(self._run(self._session, shard), name="accounts"))

    async def _run(self, session: aiohttp.ClientSession, shard: Subscriptions) -> None:
        pause, attempt, synced_before = _FIRST_PAUSE, 0, False
        now = asyncio.get_running_loop().time

        def on_synced() -> None:
            nonlocal synced_before
            log.info("pubsub.synced", host=host, accounts=len(shard.heard))
            if synced_before and self._resync:
                self.gap = True
                self._wake.set()
            synced_before = True

        def on_subscribed(account: str, slot: int) -> None:
            if not synced_before or self._resync:
                self._hint(account, slot)

        def on_full() -> None:
            self._spread(shard)

        while True:
            url = self._urls[attempt % len(self._urls)]
            host, began, attempt = URL(url).host, now(), attempt + 1
            try:
                await self._live(session, url, shard, (on_subscribed, on_synced, on_full))
            except (Lost, aiohttp.ClientError, OSError, TimeoutError) as error:
                reason = str(error) if isinstance(error, Lost) else type(error).__name__
                log.info("pubsub.lost", host=host, reason=reason)
            pause = _FIRST_PAUSE if now() - began > _HEALTHY_SECONDS else min(pause * 2, _LONGEST_PAUSE)
            await asyncio.sleep(pause)

    async def _live(
        self,
        session: aiohttp.ClientSession,
        url: str,
        shard: Subscriptions,
        calls: tuple[Callable[[str, int], None], Callable[[], None], Callable[[], None]],
    ) -> None:
        if self._identity is not None:
            await _check(url, self._identity)
        async with asyncio.timeout(_CONNECT_SECONDS):
            opened = await session.ws_connect(url, heartbeat=20, max_msg_size=_MAX_MESSAGE, compress=0)
        async with opened as socket:
            await Connection(
                socket,
                shard,
                on_account=self._hint,
                on_subscribed=calls[0],
                on_synced=calls[1],
                on_full=calls[2],
                ack_seconds=self._ack_seconds,
                silence_seconds=self._silence_seconds,
            ).run()

    def _spread(self, shard: Subscriptions) -> None:
        """A connection takes no more: what it has not taken goes to others, and none is asked for more than this one.

        One that took nothing at all says nothing of how many it takes: its accounts stay, and are read instead.
        """
        taken = len(shard.heard)
        if not taken or len(shard.wanted) <= taken:
            return
        if taken < self._per_connection:
            self._per_connection = taken
            log.info("pubsub.limit", per_connection=taken)
        left = shard.unheard()
        for account in left:
            shard.drop(account)
            self._shard_of.pop(account, None)
        self.add(left)

    def _hint(self, account: str, slot: int) -> None:
        if account in self._shard_of:
            self.hints[account] = max(slot, self.hints.get(account, 0))
            self._wake.set()


def find_twins(url: str) -> list[str]:
    """Where a websocket's node answers over HTTP: a hosted one at the same URL, Agave itself on the port before."""
    ws = URL(url)
    scheme = "https" if ws.scheme == "wss" else "http"
    twins = [str(ws.with_scheme(scheme))]
    if ws.host and ws.explicit_port:
        twins.append(str(URL.build(scheme=scheme, host=ws.host, port=ws.explicit_port - 1, path="/")))
    return twins


async def _check(url: str, identity: Identity) -> None:
    """Raises `Lost` for a node that says it is another chain's."""
    async with RpcClient(find_twins(url), timeout_seconds=_CHECK_SECONDS, identity=identity) as client:
        try:
            await client.check()
        except WrongNetwork:
            raise Lost("serves another chain") from None
        except Unavailable:
            log.info("pubsub.unchecked", host=URL(url).host)
