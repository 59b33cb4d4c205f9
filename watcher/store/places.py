"""What stands in one place: a wallet's holding, with what is required of it and who needs something there."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from chains.model import NATIVE, Holding, NetworkId
from watcher.asks.model import Need
from watcher.store.asks import CHUNK, find_living_needs
from watcher.store.tables import app_user, requirement, wallet

Pair = tuple[str, str]
"""Tenant and wallet."""


@dataclass(frozen=True, slots=True)
class Place:
    """One holding of one living wallet."""

    tenant: str
    wallet: str
    holding: Holding
    words: Mapping[str, Any]
    """What the wallet says: `policy`, `asks_paused_until`, `link_mode`, `notify`, and its user's `country`."""
    row: Mapping[str, Any] | None
    """Its requirement; None where only asks look at it."""
    needs: tuple[Need, ...]
    """Those that are not over."""


async def lock_places(conn: AsyncConnection, holdings: Collection[Holding], *, beside: Collection[Pair]) -> list[Place]:
    """Every place on these holdings; within a wallet, the coin that gas is paid in comes first.

    Their wallets, and the pairs `beside` that the transaction will need as well, are locked in one go and in the
    order of their ids: two networks' transactions can't wait for each other.
    """
    keys = sorted((h.network, h.asset, h.address) for h in holdings)
    pairs = set(beside) | await _list_pairs(conn, keys)
    needs = await find_living_needs(conn, holdings)
    pairs |= {(n.key.tenant, n.wallet) for n in needs}
    await _lock_wallets(conn, sorted(pairs))
    words = await _read_words(conn, sorted(pairs))
    rows = await _read_requirements(conn, keys)
    by_place: dict[tuple[str, str, Holding], list[Need]] = {}
    for need in await find_living_needs(conn, holdings):
        by_place.setdefault((need.key.tenant, need.wallet, need.key.holding), []).append(need)
    found = {*rows, *by_place}
    places = [
        Place(tenant, wallet_id, at, words[tenant, wallet_id], rows.get(key), tuple(by_place.get(key, ())))
        for key in found
        for tenant, wallet_id, at in (key,)
        if (tenant, wallet_id) in words
    ]
    return sorted(places, key=lambda p: (p.tenant, p.wallet, p.holding.asset != NATIVE, p.holding))


async def read_places(conn: AsyncConnection, holdings: Collection[Holding], pair: Pair) -> list[Place]:
    """One wallet's places, as they are, unlocked; one for each holding, whatever stands there."""
    keys = sorted((h.network, h.asset, h.address) for h in holdings)
    words = (await _read_words(conn, [pair]))[pair]
    rows = await _read_requirements(conn, keys)
    needs = [n for n in await find_living_needs(conn, holdings) if (n.key.tenant, n.wallet) == pair]
    return [
        Place(*pair, at, words, rows.get((*pair, at)), tuple(n for n in needs if n.key.holding == at))
        for at in holdings
    ]


async def _list_pairs(conn: AsyncConnection, keys: Sequence[tuple[str, str, str]]) -> set[Pair]:
    pairs: set[Pair] = set()
    for i in range(0, len(keys), CHUNK):
        query = select(requirement.c.tenant, requirement.c.wallet).where(_on(keys[i : i + CHUNK])).distinct()
        pairs.update((tenant, wallet_id) for tenant, wallet_id in await conn.execute(query))
    return pairs


async def _lock_wallets(conn: AsyncConnection, pairs: Sequence[Pair]) -> None:
    for i in range(0, len(pairs), CHUNK):
        query = select(wallet.c.id).where(tuple_(wallet.c.tenant, wallet.c.id).in_(pairs[i : i + CHUNK]))
        await conn.execute(query.order_by(wallet.c.tenant, wallet.c.id).with_for_update())


async def _read_words(conn: AsyncConnection, pairs: Sequence[Pair]) -> dict[Pair, Mapping[str, Any]]:
    person = and_(app_user.c.tenant == wallet.c.tenant, app_user.c.id == wallet.c.user_id)
    names = ("tenant", "id", "policy", "asks_paused_until", "link_mode", "notify")
    query = select(*(wallet.c[name] for name in names), app_user.c.country).outerjoin(app_user, person)
    words: dict[Pair, Mapping[str, Any]] = {}
    for i in range(0, len(pairs), CHUNK):
        these = tuple_(wallet.c.tenant, wallet.c.id).in_(pairs[i : i + CHUNK])
        rows = await conn.execute(query.where(these, wallet.c.deleted_at.is_(None)))
        words |= {(row["tenant"], row["id"]): dict(row) for row in rows.mappings()}
    return words


async def _read_requirements(
    conn: AsyncConnection, keys: Sequence[tuple[str, str, str]]
) -> dict[tuple[str, str, Holding], Mapping[str, Any]]:
    rows: dict[tuple[str, str, Holding], Mapping[str, Any]] = {}
    for i in range(0, len(keys), CHUNK):
        for row in (await conn.execute(select(requirement).where(_on(keys[i : i + CHUNK])))).mappings():
            at = Holding(NetworkId(row["network"]), row["asset"], row["address"])
            rows[row["tenant"], row["wallet"], at] = dict(row)
    return rows


def _on(keys: Sequence[tuple[str, str, str]]) -> Any:
    return tuple_(requirement.c.network, requirement.c.asset, requirement.c.address).in_(keys)
