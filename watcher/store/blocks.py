"""What one block wrote: balances, how each requirement stands, the decision behind each change."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import and_, func, insert, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from chains.model import Balance, BlockRef, NetworkId
from watcher.store.tables import decision, holding, requirement, wallet, wallet_address

CHUNK = 5_000
"""Keys in one statement: PostgreSQL takes 65,535 parameters."""


async def save_balances(conn: AsyncConnection, balances: Sequence[Balance], *, now: datetime) -> None:
    """The latest balance of each holding, one row each."""
    for i in range(0, len(balances), CHUNK):
        rows = [
            {
                "network": b.holding.network,
                "asset": b.holding.asset,
                "address": b.holding.address,
                "balance": b.amount,
                "height": b.at.number,
                "hash": b.at.hash,
                "block_time": b.at.time,
                "read_at": now,
            }
            for b in balances[i : i + CHUNK]
        ]
        new = upsert(holding)
        newer = {c: new.excluded[c] for c in ("balance", "height", "hash", "block_time", "read_at")}
        await conn.execute(new.on_conflict_do_update(index_elements=["network", "asset", "address"], set_=newer), rows)


async def write_requirement(conn: AsyncConnection, row: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """How a requirement stands after a block."""
    key = and_(*(requirement.c[name] == row[name] for name in ("tenant", "wallet", "network", "asset")))
    await conn.execute(update(requirement).where(key).values(**values))


async def grow_wallet_version(conn: AsyncConnection, tenant: str, wallet_id: str, *, now: datetime) -> int:
    """A wallet event's version. Versions go on after a delete, so an old event never looks newer."""
    query = (
        update(wallet)
        .where(wallet.c.tenant == tenant, wallet.c.id == wallet_id)
        .values(version=wallet.c.version + 1, updated_at=now)
        .returning(wallet.c.version)
    )
    return int((await conn.execute(query)).scalar_one())


async def record_decision(conn: AsyncConnection, values: Mapping[str, Any]) -> None:
    """Inputs and outcome, enough to replay the decision."""
    await conn.execute(insert(decision).values(**values))


async def note_watched_since(
    conn: AsyncConnection, network: NetworkId, addresses: Collection[str], block: BlockRef
) -> None:
    """Stamp the addresses whose first balances were read at this block."""
    wanted = sorted(addresses)
    for i in range(0, len(wanted), CHUNK):
        query = update(wallet_address).where(
            wallet_address.c.network == network,
            wallet_address.c.address.in_(wanted[i : i + CHUNK]),
            wallet_address.c.watched_since.is_(None),
        )
        await conn.execute(query.values(watched_since=func.jsonb_build_object("height", block.number)))
