"""Keeps what a chain watches as the store says: all of it at the start, a wallet at a time from then on."""

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

import structlog

from chains.chain import Chain
from chains.model import Holding
from config.model import Network
from watcher.store.attention import FIRST, Wallet, list_watched, list_watched_at
from watcher.store.database import Database
from watcher.store.shards import Share

log = structlog.get_logger()

_PAGE: Final = 20_000
_TOLD_EVERY: Final = 100_000
_BITS: Final = 2**24
_BREATH: Final = 5_000
"""Holdings gone through before others have their turn."""


@dataclass(slots=True)
class Loaded:
    """How many are watched, and what has changed."""

    holdings: int = 0
    addresses: int = 0
    new: int = 0
    gone: int = 0


async def load(database: Database, network: Network, chain: Chain, share: Share, *, taken: Share) -> Loaded:
    """Watch what the store wants watched in our shards, page by page, and let go of the rest.

    Holdings whose balances are stored are recalled, so that only those are read and judged that have changed. So are
    those of shards that were `taken` over, though they were watched before: another replica has recorded them since.
    """
    sieve, places, behind, found, left_out = _Sieve(), _Sieve(), FIRST, Loaded(), 0
    while True:
        async with database.begin() as conn:
            page = await list_watched(conn, network.id, behind=behind, limit=_PAGE)
        known = [each for each in page if network.find_asset(each[0].asset) is not None]
        left_out += len(page) - len(known)
        mine = [each for each in known if share.has(each[0].address)]
        sieve.add((at.asset, at.address) for at, _ in mine)
        found.addresses += places.add((at.address,) for at, _ in mine)
        fresh = [each for each in mine if each[0] not in chain.watched or taken.has(each[0].address)]
        chain.recall([balance for _, balance in fresh if balance is not None])
        chain.watch([at for at, balance in fresh if balance is None])
        found.holdings, found.new = found.holdings + len(mine), found.new + len(fresh)
        if found.holdings // _TOLD_EVERY != (found.holdings - len(mine)) // _TOLD_EVERY:
            log.info("watching.loads", network=network.name, loaded=found.holdings)
        if len(page) < _PAGE:
            break
        behind = (page[-1][0].asset, page[-1][0].address)
        await asyncio.sleep(0)
    if left_out:
        log.warning("assets.not_configured", network=network.name, holdings=left_out)
    found.gone = await _let_go(chain, sieve)
    return found


async def load_wallets(
    database: Database, network: Network, chain: Chain, share: Share, wallets: Collection[Wallet]
) -> int | None:
    """The same of some wallets, whatever the number of others. None: nothing has changed.

    Else by how many the addresses that are watched have become more.
    """
    assets = [each.asset.reference for each in network.assets]
    async with database.begin() as conn:
        addresses, wanted = await list_watched_at(conn, network.id, assets, wallets)
    wanted = {at for at in wanted if network.find_asset(at.asset) is not None and share.has(at.address)}
    mine = {Holding(network.id, asset, address) for asset in assets for address in addresses}
    before = {at for at in mine | wanted if at in chain.watched}
    if gone := before - wanted:
        chain.unwatch(gone)
    if new := wanted - before:
        chain.watch(new)
    return len({at.address for at in wanted}) - len({at.address for at in before}) if gone or new else None


async def _let_go(chain: Chain, sieve: "_Sieve") -> int:
    gone = []
    for number, at in enumerate(chain.watched):
        if not sieve.has((at.asset, at.address)):
            gone.append(at)
        if number % _BREATH == 0:
            await asyncio.sleep(0)
    if gone:
        chain.unwatch(gone)
    return len(gone)


class _Sieve:
    """What was added is in it; of the rest, one in sixteen at a million things is, and is noticed the next time."""

    def __init__(self) -> None:
        self._bits = bytearray(_BITS // 8)
        self._salt = object()

    def add(self, things: Iterable[tuple[str, ...]]) -> int:
        """How many were new, as far as it can tell."""
        new = 0
        for thing in things:
            place = hash((self._salt, *thing)) % _BITS
            new += not self._bits[place >> 3] >> (place & 7) & 1
            self._bits[place >> 3] |= 1 << (place & 7)
        return new

    def has(self, thing: tuple[str, ...]) -> bool:
        """Whether it was added, or may have been."""
        place = hash((self._salt, *thing)) % _BITS
        return self._bits[place >> 3] >> (place & 7) & 1 == 1
