"""Whether a network can be read. While it can't, its balances are unknown, and everybody who watches there is told."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from watcher.clock import Stamp
from watcher.judge import Rules
from watcher.model import NewEvent
from watcher.render import render_time
from watcher.store.tables import network_status, wallet_address


async def mark_fresh(conn: AsyncConnection, rules: Rules, stamp: Stamp) -> list[NewEvent]:
    """The network was read just now. `network.recovered` when it had been stale."""
    return await _mark(conn, rules, stamp, fresh=True, reason=None)


async def mark_stale(conn: AsyncConnection, rules: Rules, stamp: Stamp, *, reason: str) -> list[NewEvent]:
    """The network can't be read. `network.stale` when that is news."""
    return await _mark(conn, rules, stamp, fresh=False, reason=reason)


async def _mark(
    conn: AsyncConnection, rules: Rules, stamp: Stamp, *, fresh: bool, reason: str | None
) -> list[NewEvent]:
    network = rules.network
    query = select(network_status).where(network_status.c.network == network.id).with_for_update()
    before = (await conn.execute(query)).mappings().one_or_none()
    if before is not None and before["fresh"] == fresh and before["reason"] == reason:
        return []
    version = 1 if before is None else before["version"] + 1
    now = {"fresh": fresh, "reason": reason, "version": version, "changed_at": stamp.now}
    values = upsert(network_status).values(network=network.id, **now)
    await conn.execute(values.on_conflict_do_update(index_elements=["network"], set_=now))
    if fresh and (before is None or before["fresh"]):
        return []
    data: dict[str, Any] = {
        "network": {"object": "network", "id": network.name, "status": "fresh" if fresh else "stale", "reason": reason},
        "changed_at": render_time(stamp.now),
    }
    watching = select(wallet_address.c.tenant).where(wallet_address.c.network == network.id, wallet_address.c.watched)
    return [
        NewEvent(
            id=stamp.new_id("evt"),
            tenant=tenant,
            type="network.recovered" if fresh else "network.stale",
            subject_object="network",
            subject_id=network.name,
            version=version,
            livemode=tenant in rules.tenants and rules.tenants[tenant].livemode,
            data=data,
        )
        for (tenant,) in await conn.execute(watching.distinct())
    ]
