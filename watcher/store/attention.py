"""What is watched of a network, and what deserves a look though no block has touched it. Always a part at a time."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Numeric, RowMapping, and_, bindparam, case, cast, or_, select, tuple_, union
from sqlalchemy.ext.asyncio import AsyncConnection

from chains.model import Balance, BlockRef, Holding, NetworkId
from watcher.model import HoldingStatus
from watcher.store.asks import awaited, unclosed
from watcher.store.tables import holding, need, requirement, top_up, wallet_address

Wallet = tuple[str, str]
"""Tenant and id."""

Place = tuple[str, str]
"""Asset and address."""

FIRST: Place = ("", "")
"""Before every place."""


async def list_watched(
    conn: AsyncConnection, network: NetworkId, *, behind: Place, limit: int
) -> list[tuple[Holding, Balance | None]]:
    """Holdings that some wallet wants watched, or that something is needed in, with what was read of them last."""
    required = select(requirement.c.asset, requirement.c.address).where(requirement.c.network == network)
    needed = select(need.c.asset, need.c.address).where(need.c.network == network, unclosed())
    parts = [_page(each, behind, limit) for each in (required, needed, awaited(network))]
    places = union(*parts).order_by("asset", "address").limit(limit).subquery()
    columns = (places.c.asset, places.c.address, holding.c.balance, holding.c.height, holding.c.hash)
    query = select(*columns).outerjoin(holding, _same(network, places)).order_by(places.c.asset, places.c.address)
    return [_read(row, network) for row in (await conn.execute(query)).mappings()]


async def list_watched_of(conn: AsyncConnection, network: NetworkId, wallets: Collection[Wallet]) -> set[Holding]:
    """Some wallets' holdings that are watched now."""
    required = select(requirement.c.asset, requirement.c.address).where(
        requirement.c.network == network, _of(requirement, wallets)
    )
    mine = (need.c.network == network, _of(need, wallets))
    needed = select(need.c.asset, need.c.address).where(*mine, unclosed())
    followed = awaited(network).where(_of(top_up, wallets))
    return {Holding(network, *place) for place in await conn.execute(union(required, needed, followed))}


async def list_watched_at(
    conn: AsyncConnection, network: NetworkId, assets: Collection[str], wallets: Collection[Wallet]
) -> tuple[set[str], set[Holding]]:
    """Some wallets' addresses, now or before, and what anybody wants watched there."""
    mine = (wallet_address.c.network == network, _of(wallet_address, wallets))
    addresses = set((await conn.execute(select(wallet_address.c.address).where(*mine))).scalars())
    wanted: set[Holding] = set()
    for table, more in ((requirement, ()), (need, (unclosed(),))):
        here = (table.c.network == network, table.c.asset.in_(list(assets)), table.c.address.in_(list(addresses)))
        query = select(table.c.asset, table.c.address).where(*here, *more).distinct()
        wanted |= {Holding(network, *place) for place in await conn.execute(query)}
    followed = awaited(network).where(need.c.address.in_(list(addresses)))
    return addresses, wanted | {Holding(network, *place) for place in await conn.execute(followed)}


async def list_unread(conn: AsyncConnection, network: NetworkId, *, behind: Place, limit: int) -> list[Holding]:
    """Holdings whose levels were not judged yet, in order: the next ones of a rotation."""
    unknown = (requirement.c.status == HoldingStatus.UNKNOWN.value, requirement.c.watch_only.is_(False))
    query = select(requirement.c.asset, requirement.c.address).where(
        requirement.c.network == network, requirement.c.status != HoldingStatus.OK.value, *unknown
    )
    return [Holding(network, *place) for place in await conn.execute(_page(query, behind, limit))]


async def list_attended(
    conn: AsyncConnection, network: NetworkId, *, behind: Place, limit: int
) -> list[tuple[Holding, int | None]]:
    """Holdings that are low, asked for, or needed, the next ones of a rotation. With the balance read last."""
    columns = (requirement.c.asset, requirement.c.address)
    low = select(*columns).where(requirement.c.network == network, requirement.c.status != HoldingStatus.OK.value)
    same = and_(top_up.c.tenant == requirement.c.tenant, top_up.c.wallet == requirement.c.wallet)
    asked = select(*columns).join(top_up, same).where(requirement.c.network == network, _active())
    needed = select(need.c.asset, need.c.address).where(need.c.network == network, unclosed())
    parts = [_page(each, behind, limit) for each in (low, asked, needed, awaited(network))]
    places = union(*parts).order_by("asset", "address").limit(limit).subquery()
    query = select(places.c.asset, places.c.address, holding.c.balance).outerjoin(holding, _same(network, places))
    found = await conn.execute(query.order_by(places.c.asset, places.c.address))
    return [
        (Holding(network, asset, address), None if balance is None else int(balance))
        for asset, address, balance in found
    ]


async def list_unclosed(
    conn: AsyncConnection, network: NetworkId, *, behind: Place, limit: int
) -> list[tuple[str, str, Holding]]:
    """Tenant, wallet and holding of needs that something may still be asked for: the next ones by asset and address."""
    query = select(need.c.tenant, need.c.wallet, need.c.asset, need.c.address).distinct()
    here = (need.c.network == network, unclosed(), _place(need) > behind)
    rows = await conn.execute(query.where(*here).order_by(need.c.asset, need.c.address).limit(limit))
    return [(tenant, wallet, Holding(network, asset, address)) for tenant, wallet, asset, address in rows]


async def moves_with_fee(conn: AsyncConnection, network: NetworkId) -> bool:
    """Whether some level on this network is counted in transactions, or some need leaves room for gas."""
    levels = select(requirement.c.asset).where(requirement.c.network == network, requirement.c.by_fee).limit(1)
    gas = select(need.c.asset).where(need.c.network == network, unclosed(), need.c.gas_limit.is_not(None)).limit(1)
    return (await conn.execute(levels)).first() is not None or (await conn.execute(gas)).first() is not None


async def list_by_fee(
    conn: AsyncConnection, network: NetworkId, cost: int, *, behind: Place, limit: int
) -> tuple[list[Holding], Place | None]:
    """Of the next holdings whose levels move with the fee, those that stand otherwise at this fee; and where to go on.

    Compared is the balance read last with the levels at what a typical transaction costs now.
    """
    here = (requirement.c.network == network, requirement.c.by_fee, _place(requirement) > behind)
    names = ("asset", "address", "level", "status", "ended_at")
    page = select(*(requirement.c[name] for name in names)).where(*here).order_by("asset", "address").limit(limit)
    rows = page.subquery()
    last = select(rows.c.asset, rows.c.address).order_by(rows.c.asset.desc(), rows.c.address.desc()).limit(1)
    end = (await conn.execute(last)).one_or_none()
    trigger, critical = (_units(rows.c.level[name], cost) for name in ("trigger", "critical"))
    stands = case(
        (holding.c.balance < critical, HoldingStatus.CRITICAL.value),
        (holding.c.balance < trigger, HoldingStatus.LOW.value),
        else_=HoldingStatus.OK.value,
    )
    moved = or_(rows.c.status != stands, rows.c.ended_at.is_not(None))
    query = (
        select(rows.c.asset, rows.c.address)
        .join(holding, _same(network, rows))
        .where(moved, holding.c.balance.is_not(None))
    )
    found = [Holding(network, *place) for place in await conn.execute(query)]
    return found, None if end is None else (end[0], end[1])


def _units(level: Any, cost: int) -> Any:
    """Base units of a level in JSON; null where there is none."""
    transactions = cast(level["transactions"].astext, Numeric) * bindparam(None, cost, Numeric)
    return case((level["amount"].astext.is_not(None), cast(level["amount"].astext, Numeric)), else_=transactions)


def _page(query: Any, behind: Place, limit: int) -> Any:
    asset, address = query.selected_columns
    ordered = query.where(tuple_(asset, address) > behind).order_by(asset, address).distinct().limit(limit)
    return select(ordered.subquery())


def _of(table: Any, wallets: Collection[Wallet]) -> Any:
    return tuple_(table.c.tenant, table.c.wallet).in_(sorted(wallets))


def _same(network: NetworkId, places: Any) -> Any:
    here = (holding.c.asset == places.c.asset, holding.c.address == places.c.address)
    return and_(holding.c.network == network, *here)


def _place(table: Any) -> Any:
    return tuple_(table.c.asset, table.c.address)


def _active() -> Any:
    return top_up.c.status.in_(["open", "settling"])


def _read(row: RowMapping, network: NetworkId) -> tuple[Holding, Balance | None]:
    at = Holding(network, row["asset"], row["address"])
    if row["balance"] is None or row["height"] is None:
        return at, None
    return at, Balance(at, int(row["balance"]), BlockRef(row["height"], row["hash"]))


def after(found: Sequence[Holding], limit: int) -> Place:
    """Where a rotation goes on: behind the last of a full page, else from the start."""
    return (found[-1].asset, found[-1].address) if len(found) >= limit else FIRST
