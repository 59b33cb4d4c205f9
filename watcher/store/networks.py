"""Whether a network can be read, as its loop last found."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from chains.model import BlockRef, NetworkId
from watcher.store.tables import cursor, network_status


async def is_fresh(conn: AsyncConnection, network: NetworkId) -> bool:
    """False while it can't be read, and before it was read at all."""
    query = select(network_status.c.fresh).where(network_status.c.network == network)
    return (await conn.execute(query)).scalar_one_or_none() is True


async def find_head(conn: AsyncConnection, network: NetworkId) -> BlockRef | None:
    """The last block that was recorded."""
    query = select(cursor).where(cursor.c.network == network).order_by(cursor.c.height.desc().nulls_last()).limit(1)
    row = (await conn.execute(query)).mappings().one_or_none()
    return None if row is None or row["height"] is None else BlockRef(row["height"], row["hash"], row["block_time"])
