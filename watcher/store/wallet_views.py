"""Wallets as they are read: with addresses, holdings, how each stands, and what is being asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import RowMapping, Select, and_, case, exists, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from watcher.model import HoldingStatus
from watcher.store.tables import holding, network_status, requirement, top_up, wallet, wallet_address

_ORDER: Final = {status.value: rank for rank, status in enumerate(HoldingStatus)}


@dataclass(slots=True)
class WalletView:
    """One wallet's rows."""

    wallet: RowMapping
    addresses: list[RowMapping] = field(default_factory=list)
    holdings: list[RowMapping] = field(default_factory=list)
    """Requirements with their holding's balance, `fresh` of the network beside."""
    open_top_ups: list[str] = field(default_factory=list)


async def view_wallet(conn: AsyncConnection, tenant: str, wallet_id: str) -> WalletView | None:
    """A living wallet, or None."""
    views = await _view(conn, _living(tenant).where(wallet.c.id == wallet_id))
    return views[0] if views else None


async def view_wallets(
    conn: AsyncConnection,
    tenant: str,
    *,
    limit: int,
    after: str | None,
    updated_after: datetime | None = None,
    status: str | None = None,
    network: str | None = None,
    user: str | None = None,
) -> list[WalletView]:
    """A page in the order of ids. `status` is the wallet's as it is shown: the worst of its holdings'."""
    query = _living(tenant)
    if after is not None:
        query = query.where(wallet.c.id > after)
    if updated_after is not None:
        query = query.where(wallet.c.updated_at > updated_after)
    if user is not None:
        query = query.where(wallet.c.user_id == user)
    if network is not None:
        on = and_(*_mine(wallet_address), wallet_address.c.network == network, wallet_address.c.watched)
        query = query.where(exists().where(on))
    if status is not None:
        query = query.where(_worst() == _ORDER[status])
        if status in (HoldingStatus.LOW, HoldingStatus.CRITICAL):  # few, and quickly found among very many wallets
            stored = select(requirement.c.wallet).where(requirement.c.tenant == tenant, requirement.c.status == status)
            query = query.where(wallet.c.id.in_(stored))
    return await _view(conn, query.order_by(wallet.c.id).limit(limit))


def _living(tenant: str) -> Select[Any]:
    return select(wallet).where(wallet.c.tenant == tenant, wallet.c.deleted_at.is_(None))


def _mine(table: Any) -> tuple[Any, Any]:
    return table.c.tenant == wallet.c.tenant, table.c.wallet == wallet.c.id


def _worst() -> Any:
    """How bad the wallet's worst holding is, as `worst` finds it: never read, or not readable now, is unknown."""
    known = and_(holding.c.balance.is_not(None), network_status.c.fresh.is_(True))
    bad = case((known, case(_ORDER, value=requirement.c.status)), else_=_ORDER["unknown"])
    worst = select(func.coalesce(func.max(bad), _ORDER["ok"])).select_from(_beside_requirements())
    return worst.where(*_mine(requirement)).correlate(wallet).scalar_subquery()


def _beside_requirements() -> Any:
    """Requirements with their holding, and their network where it was ever read."""
    same = and_(*(holding.c[name] == requirement.c[name] for name in ("network", "asset", "address")))
    at = network_status.c.network == requirement.c.network
    return requirement.join(holding, same).outerjoin(network_status, at)


async def _view(conn: AsyncConnection, query: Select[Any]) -> list[WalletView]:
    views = [WalletView(row) for row in (await conn.execute(query)).mappings()]
    if not views:
        return []
    by_id = {v.wallet["id"]: v for v in views}
    keys = [(v.wallet["tenant"], v.wallet["id"]) for v in views]
    for row in await _select(conn, select(wallet_address).where(_in(wallet_address, keys), wallet_address.c.watched)):
        by_id[row["wallet"]].addresses.append(row)
    for row in await _select(conn, _holdings(keys)):
        by_id[row["wallet"]].holdings.append(row)
    opened = select(top_up.c.id, top_up.c.wallet).where(_in(top_up, keys), top_up.c.status == "open")
    for row in await _select(conn, opened.order_by(top_up.c.created_at)):
        by_id[row["wallet"]].open_top_ups.append(row["id"])
    return views


def _in(table: Any, keys: Sequence[tuple[str, str]]) -> Any:
    return tuple_(table.c.tenant, table.c.wallet).in_(keys)


def _holdings(keys: Sequence[tuple[str, str]]) -> Select[Any]:
    return (
        select(requirement, holding.c.balance, holding.c.height, holding.c.hash, holding.c.block_time)
        .add_columns(network_status.c.fresh)
        .select_from(_beside_requirements())
        .where(_in(requirement, keys))
        .order_by(requirement.c.network, requirement.c.asset)
    )


async def _select(conn: AsyncConnection, query: Select[Any]) -> list[RowMapping]:
    return list((await conn.execute(query)).mappings())
