"""What others have committed is heard: which wallets, and together what came together."""

import asyncio
from collections.abc import Collection
from contextlib import suppress

from chains.model import NetworkId
from tests.fakes.settings import EVM
from watcher.notices import listen
from watcher.store.attention import Wallet
from watcher.store.database import Database, conninfo
from watcher.store.wallets import tell_nudge, tell_watching


class Listener:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, list[Wallet]]] = []
        self.heard = asyncio.Event()

    async def refresh_watched(self) -> None:
        self._note("all", ())

    async def refresh_wallets(self, wallets: Collection[Wallet]) -> None:
        self._note("watching", wallets)

    async def nudge(self, wallets: Collection[Wallet] = ()) -> None:
        self._note("nudge", wallets)

    def _note(self, what: str, wallets: Collection[Wallet]) -> None:
        self.told.append((what, sorted(wallets)))
        self.heard.set()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(20):
            while len(self.told) < count:
                self.heard.clear()
                await self.heard.wait()


async def test_wallets_of_one_transaction_are_taken_up_together(database: Database) -> None:
    """A transaction that writes many wallets costs one look at them, not one each; other networks hear nothing."""
    listener, elsewhere = Listener(), Listener()
    url = conninfo(database.engine.url.render_as_string(hide_password=False))
    task = asyncio.create_task(listen(url, {EVM: listener, NetworkId("eip155:1"): elsewhere}))
    try:
        await listener.until(1)
        async with database.begin() as conn:
            for number in range(50):
                await tell_watching(conn, [EVM], "default", f"w {number}")
                await tell_nudge(conn, [EVM], "default", f"w {number}")
        wallets = sorted(("default", f"w {number}") for number in range(50))
        await listener.until(3)
        assert listener.told == [("all", []), ("watching", wallets), ("nudge", wallets)]
        async with database.begin() as conn:
            await tell_nudge(conn, [EVM])
        await listener.until(4)
        assert listener.told[3] == ("nudge", [])
        assert elsewhere.told == [("all", [])]
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
