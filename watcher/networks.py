"""Whether a network can be read, and asks on it go out. Everybody who watches there is told when they don't."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import RowMapping, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from config.model import Network, Tenant
from watcher.clock import Stamp
from watcher.judge import Rules
from watcher.model import NewEvent
from watcher.render import render_time
from watcher.store.holds import find_holds
from watcher.store.tables import network_status, wallet_address


async def mark_fresh(conn: AsyncConnection, rules: Rules, stamp: Stamp) -> list[NewEvent]:
    """The network was read just now. `network.recovered` when it had been stale."""
    return await _mark(conn, rules, stamp, fresh=True, reason=None)


async def mark_stale(conn: AsyncConnection, rules: Rules, stamp: Stamp, *, reason: str) -> list[NewEvent]:
    """The network can't be read. `network.stale` when that is news."""
    return await _mark(conn, rules, stamp, fresh=False, reason=reason)


async def tell_held(
    conn: AsyncConnection, network: Network, tenants: Mapping[str, Tenant], stamp: Stamp, *, held: bool
) -> list[NewEvent]:
    """`network.held` when its asks are held back by the brake; `network.recovered` when they are let go."""
    before = await _lock(conn, network)
    fresh, reason = (False, None) if before is None else (before["fresh"], before["reason"])
    version = await _write(conn, network, before, stamp, fresh=fresh, reason=reason)
    status = "held" if held else "fresh" if fresh else "stale"
    name = "held" if held else "recovered"
    shown = {"status": status, "reason": "storm" if held else reason}
    return await _make_events(conn, network, tenants, stamp, name=name, shown=shown, version=version)


async def _mark(
    conn: AsyncConnection, rules: Rules, stamp: Stamp, *, fresh: bool, reason: str | None
) -> list[NewEvent]:
    network = rules.network
    before = await _lock(conn, network)
    if before is not None and before["fresh"] == fresh and before["reason"] == reason:
        return []
    version = await _write(conn, network, before, stamp, fresh=fresh, reason=reason)
    if fresh and (before is None or before["fresh"]):
        return []
    held = fresh and network.id in (await find_holds(conn)).storms
    shown = {"status": "held" if held else "fresh" if fresh else "stale", "reason": "storm" if held else reason}
    name = "recovered" if fresh else "stale"
    return await _make_events(conn, network, rules.tenants, stamp, name=name, shown=shown, version=version)


async def _lock(conn: AsyncConnection, network: Network) -> RowMapping | None:
    query = select(network_status).where(network_status.c.network == network.id).with_for_update()
    return (await conn.execute(query)).mappings().one_or_none()


async def _write(
    conn: AsyncConnection, network: Network, before: RowMapping | None, stamp: Stamp, *, fresh: bool, reason: str | None
) -> int:
    """The version that it has now."""
    version: int = 1 if before is None else before["version"] + 1
    now = {"fresh": fresh, "reason": reason, "version": version, "changed_at": stamp.now}
    values = upsert(network_status).values(network=network.id, **now)
    await conn.execute(values.on_conflict_do_update(index_elements=["network"], set_=now))
    return version


async def _make_events(
    conn: AsyncConnection,
    network: Network,
    tenants: Mapping[str, Tenant],
    stamp: Stamp,
    *,
    name: str,
    shown: Mapping[str, str | None],
    version: int,
) -> list[NewEvent]:
    """One for each tenant that watches there."""
    data: dict[str, Any] = {
        "network": {"object": "network", "id": network.name, **shown},
        "changed_at": render_time(stamp.now),
    }
    watching = select(wallet_address.c.tenant).where(wallet_address.c.network == network.id, wallet_address.c.watched)
    return [
        NewEvent(
            id=stamp.new_id("evt"),
            tenant=tenant,
            type=f"network.{name}",
            subject_object="network",
            subject_id=network.name,
            version=version,
            livemode=tenant in tenants and tenants[tenant].livemode,
            data=data,
        )
        for (tenant,) in await conn.execute(watching.distinct())
    ]
