"""Keeps what a chain watches as the store says: all of it at the start, a wallet at a time from then on."""

import asyncio
from collections.abc import Collection
from typing import Final

import structlog

from chains.chain import Chain
from chains.model import Holding
from config.model import Network
from watcher.store.attention import FIRST, list_watched, list_watched_at
from watcher.store.database import Database

log = structlog.get_logger()

_PAGE: Final = 20_000
_TOLD_EVERY: Final = 100_000
_BITS: Final = 2**24
_BREATH: Final = 5_000
"""Holdings gone through before others have their turn."""


async def load(database: Database, network: Network, chain: Chain) -> tuple[int, int]:
    """Watch all that the store wants watched, page by page, and let go of the rest. How many, and how many are new.

    Holdings whose balances are stored are recalled, so that only those are read and judged that have changed.
    """
    sieve, behind, count, new, left_out = _Sieve(), FIRST, 0, 0, 0
    while True:
        async with database.begin() as conn:
            page = await list_watched(conn, network.id, behind=behind, limit=_PAGE)
        known = [each for each in page if network.find_asset(each[0].asset) is not None]
        left_out += len(page) - len(known)
        sieve.add([at for at, _ in known])
        fresh = [each for each in known if each[0] not in chain.watched]
        chain.recall([balance for _, balance in fresh if balance is not None])
        chain.watch([at for at, balance in fresh if balance is None])
        count, new = count + len(known), new + len(fresh)
        if count // _TOLD_EVERY != (count - len(known)) // _TOLD_EVERY:
            log.info("watching.loads", network=network.name, loaded=count)
        if len(page) < _PAGE:
            break
        behind = (page[-1][0].asset, page[-1][0].address)
        await asyncio.sleep(0)
    if left_out:
        log.warning("assets.not_configured", network=network.name, holdings=left_out)
    await _let_go(chain, sieve)
    return count, new


async def load_wallet(database: Database, network: Network, chain: Chain, tenant: str, wallet_id: str) -> bool:
    """The same of one wallet, whatever the number of wallets. Whether something has changed."""
    assets = [each.asset.reference for each in network.assets]
    async with database.begin() as conn:
        addresses, wanted = await list_watched_at(conn, network.id, assets, tenant, wallet_id)
    wanted = {at for at in wanted if network.find_asset(at.asset) is not None}
    mine = {Holding(network.id, asset, address) for asset in assets for address in addresses}
    gone = {at for at in mine - wanted if at in chain.watched}
    new = {at for at in wanted if at not in chain.watched}
    if gone:
        chain.unwatch(gone)
    if new:
        chain.watch(new)
    return bool(gone or new)


async def _let_go(chain: Chain, sieve: "_Sieve") -> None:
    gone = []
    for number, at in enumerate(chain.watched):
        if at not in sieve:
            gone.append(at)
        if number % _BREATH == 0:
            await asyncio.sleep(0)
    if gone:
        chain.unwatch(gone)


class _Sieve:
    """What was added is in it; of the rest, one in sixteen at a million holdings is, and is let go the next time."""

    def __init__(self) -> None:
        self._bits = bytearray(_BITS // 8)
        self._salt = object()

    def add(self, holdings: Collection[Holding]) -> None:
        for at in holdings:
            place = self._place(at)
            self._bits[place >> 3] |= 1 << (place & 7)

    def __contains__(self, at: Holding) -> bool:
        place = self._place(at)
        return self._bits[place >> 3] >> (place & 7) & 1 == 1

    def _place(self, at: Holding) -> int:
        return hash((self._salt, at.asset, at.address)) % _BITS
