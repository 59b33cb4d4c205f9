"""Wallets, their addresses, and what is required of their holdings: rows in and out."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping, and_, case, delete, func, select, update
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from chains.model import Holding, NetworkId
from watcher.model import HoldingStatus
from watcher.store.tables import app_user, holding, requirement, wallet, wallet_address

WATCHING_CHANNEL = "watching"
"""PostgreSQL channel on which a network's id, a tenant's and a wallet's mean: what is watched of it has changed."""

IP_KEPT = timedelta(hours=24)
"""An IP address goes to Stripe with the ask that it came for, and is forgotten after this."""
NUDGE_CHANNEL = "nudge"
"""The same, meaning: read it now; without a wallet, what needs attention there."""


async def claim_wallet(conn: AsyncConnection, tenant: str, wallet_id: str) -> RowMapping | None:
    """The wallet's row, locked; a tombstone too. Two first registrations of one id wait for each other here."""
    key = func.hashtextextended(f"{tenant}/{wallet_id}", 0)
    await conn.execute(select(func.pg_advisory_xact_lock(key)))
    query = select(wallet).where(wallet.c.tenant == tenant, wallet.c.id == wallet_id).with_for_update()
    return (await conn.execute(query)).mappings().one_or_none()


async def lock_wallets(conn: AsyncConnection, tenant: str, ids: Collection[str]) -> None:
    """Claim many before the first is written: in one order, and their rows in the order that blocks are recorded in."""
    wanted = sorted(set(ids))
    names = func.unnest(array([f"{tenant}/{wallet_id}" for wallet_id in wanted])).column_valued("name")
    await conn.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(names, 0))))
    query = select(wallet.c.id).where(wallet.c.tenant == tenant, wallet.c.id.in_(wanted))
    await conn.execute(query.order_by(wallet.c.tenant, wallet.c.id).with_for_update())


async def find_user(conn: AsyncConnection, tenant: str, user_id: str) -> RowMapping | None:
    """The person whom a wallet names."""
    query = select(app_user).where(app_user.c.tenant == tenant, app_user.c.id == user_id)
    return (await conn.execute(query)).mappings().one_or_none()


async def save_wallet(conn: AsyncConnection, values: Mapping[str, Any]) -> None:
    """Insert or overwrite by (tenant, id)."""
    new = upsert(wallet).values(**values)
    kept = {"tenant", "id", "created_at"}
    changed = {name: new.excluded[name] for name in values if name not in kept}
    await conn.execute(new.on_conflict_do_update(index_elements=["tenant", "id"], set_=changed))


async def keep_customer_ip(conn: AsyncConnection, tenant: str, wallet_id: str, ip: str, *, now: datetime) -> None:
    """Where its person was just now: told to Stripe with the next ask, and forgotten within a day."""
    mine = (wallet.c.tenant == tenant, wallet.c.id == wallet_id)
    kept = {"customer_ip_address": ip, "customer_ip_until": now + IP_KEPT}
    await conn.execute(update(wallet).where(*mine).values(**kept))


async def find_addresses(
    conn: AsyncConnection, tenant: str, wallet_id: str, *, watched: bool = False
) -> dict[NetworkId, str]:
    """Every address that the wallet ever had, by network: they are write-once, so deletes don't forget them.

    With `watched`, only those that it has now.
    """
    query = select(wallet_address.c.network, wallet_address.c.address).where(
        wallet_address.c.tenant == tenant, wallet_address.c.wallet == wallet_id
    )
    if watched:
        query = query.where(wallet_address.c.watched)
    return {NetworkId(network): address for network, address in await conn.execute(query)}


async def save_addresses(
    conn: AsyncConnection, tenant: str, wallet_id: str, addresses: Mapping[NetworkId, str], *, now: datetime
) -> None:
    """Watch exactly these networks; those left out keep their address and are watched no more."""
    mine = (wallet_address.c.tenant == tenant, wallet_address.c.wallet == wallet_id)
    unwatched = update(wallet_address).where(*mine, wallet_address.c.network.not_in(list(addresses)))
    await conn.execute(unwatched.values(watched=False, watched_since=None))
    for network, address in addresses.items():
        new = upsert(wallet_address).values(
            tenant=tenant, wallet=wallet_id, network=network, address=address, watched=True, created_at=now
        )
        again = new.on_conflict_do_update(index_elements=["tenant", "wallet", "network"], set_={"watched": True})
        await conn.execute(again)


async def save_requirements(
    conn: AsyncConnection, tenant: str, wallet_id: str, wanted: Sequence[Mapping[str, Any]], *, now: datetime
) -> list[Holding]:
    """Make the wallet's requirements these; how a kept one stands is kept. Gives their holdings."""
    mine = and_(requirement.c.tenant == tenant, requirement.c.wallet == wallet_id)
    query = select(requirement.c.network, requirement.c.asset, requirement.c.address).where(mine)
    before = {Holding(NetworkId(n), a, at) for n, a, at in await conn.execute(query)}
    after = {Holding(NetworkId(r["network"]), r["asset"], r["address"]) for r in wanted}
    for gone in before - after:
        await conn.execute(
            delete(requirement).where(mine, requirement.c.network == gone.network, requirement.c.asset == gone.asset)
        )
    for row in wanted:
        await _save_holding(conn, Holding(NetworkId(row["network"]), row["asset"], row["address"]))
        new = upsert(requirement).values(**row, changed_at=now)
        changed = ("level", "by_fee", "ask", "watch_only", "policy", "policy_version")
        values = {name: new.excluded[name] for name in changed} | {"status": _judge_anew(new)}
        values["changed_at"] = case((_is_same(new), requirement.c.changed_at), else_=now)
        key = ["tenant", "wallet", "network", "asset"]
        await conn.execute(new.on_conflict_do_update(index_elements=key, set_=values))
    return sorted(after)


def _judge_anew(new: Any) -> Any:
    """A kept requirement's status: what was fine by other levels is unknown until it is read; what is low, is read."""
    ok, unknown = HoldingStatus.OK.value, HoldingStatus.UNKNOWN.value
    return case(
        (_is_same(new), requirement.c.status),
        (new.excluded.watch_only, ok),
        (requirement.c.status == ok, unknown),
        else_=requirement.c.status,
    )


def _is_same(new: Any) -> Any:
    return and_(requirement.c.level == new.excluded.level, requirement.c.watch_only == new.excluded.watch_only)


async def _save_holding(conn: AsyncConnection, new: Holding) -> None:
    """A holding is shared by every wallet and tenant that has it."""
    row = upsert(holding).values(network=new.network, asset=new.asset, address=new.address)
    await conn.execute(row.on_conflict_do_nothing())


async def tell_watching(conn: AsyncConnection, networks: Collection[str], tenant: str, wallet_id: str) -> None:
    """Once committed, have the chains take up what is watched now of a wallet."""
    await _tell(conn, WATCHING_CHANNEL, networks, tenant, wallet_id)


async def tell_nudge(conn: AsyncConnection, networks: Collection[str], *wallet_of: str) -> None:
    """Once committed, have the chains read a wallet (tenant, id), though no block has touched it; or what is due."""
    await _tell(conn, NUDGE_CHANNEL, networks, *wallet_of)


async def _tell(conn: AsyncConnection, channel: str, networks: Collection[str], *wallet_of: str) -> None:
    for network in sorted(set(networks)):
        payload = json.dumps([network, *wallet_of], ensure_ascii=False)
        await conn.execute(select(func.pg_notify(channel, payload)))
