"""What one block wrote: balances, how each requirement stands, the decision behind each change, the cursor last."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from chains.model import Balance, BlockRef, NetworkId
from watcher.store.tables import cursor, decision, holding, requirement, wallet, wallet_address

CHUNK = 5_000
"""Keys in one statement: PostgreSQL takes 65,535 parameters."""


class Fenced(Exception):
    """Another owner has taken this network since: whatever this one decides is void."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The right to write for one shard of a network."""

    network: NetworkId
    shard: int
    token: int


async def take_shard(conn: AsyncConnection, network: NetworkId, shard: int, *, name: str, now: datetime) -> Owner:
    """Become the owner: the token grows, so whoever had it before is fenced off from its next write on."""
    new = upsert(cursor).values(network=network, shard=shard, token=1, owner=name, updated_at=now)
    taken = new.on_conflict_do_update(
        index_elements=["network", "shard"],
        set_={"token": cursor.c.token + 1, "owner": name, "updated_at": now},
    ).returning(cursor.c.token)
    return Owner(network, shard, (await conn.execute(taken)).scalar_one())


async def find_cursor(conn: AsyncConnection, owner: Owner) -> BlockRef | None:
    """The last block fully recorded; None at the very first start."""
    query = select(cursor).where(cursor.c.network == owner.network, cursor.c.shard == owner.shard)
    row = (await conn.execute(query)).mappings().one()
    return None if row["height"] is None else BlockRef(row["height"], row["hash"], row["block_time"])


async def hold_shard(conn: AsyncConnection, owner: Owner) -> None:
    """Let nobody take the shard over until this transaction ends. Raises `Fenced` when somebody has."""
    query = select(cursor.c.token).where(cursor.c.network == owner.network, cursor.c.shard == owner.shard)
    if (await conn.execute(query.with_for_update())).scalar_one() != owner.token:
        raise Fenced(f"{owner.network} shard {owner.shard}: token {owner.token} is no longer the newest")


async def move_cursor(conn: AsyncConnection, owner: Owner, block: BlockRef, *, now: datetime) -> None:
    """Last in the block's transaction. Raises `Fenced` when somebody else owns the shard by now."""
    query = (
        update(cursor)
        .where(cursor.c.network == owner.network, cursor.c.shard == owner.shard, cursor.c.token == owner.token)
        .values(height=block.number, hash=block.hash, block_time=block.time, updated_at=now)
    )
    if (await conn.execute(query)).rowcount != 1:
        raise Fenced(f"{owner.network} shard {owner.shard}: token {owner.token} is no longer the newest")


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
