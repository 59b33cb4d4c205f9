"""Shards of a network's wallets: how many there are, who owns each, and that nobody else writes for it.

Each shard has a cursor row with a fencing token. Whoever takes the shard makes it grow, and every write of what was
seen on chain checks it in its own transaction: an owner that was replaced, and does not know it yet, writes nothing.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from chains.model import BlockRef, NetworkId
from watcher.shards import find_shard
from watcher.store.tables import cursor, sharding


class Fenced(Exception):
    """Somebody else has taken a shard since: what was decided for it is void."""


@dataclass(frozen=True, slots=True)
class Share:
    """The right to write for some of a network's shards."""

    network: NetworkId
    total: int
    """Shards that the network's wallets are divided into."""
    tokens: Mapping[int, int]
    """Fencing token of each shard that is ours."""

    def has(self, address: str) -> bool:
        """Whether the wallet at this address is in one of ours."""
        return find_shard(address, self.total) in self.tokens

    @property
    def speaks(self) -> bool:
        """Whether its owner is the one of all replicas that says how the network itself is."""
        return 0 in self.tokens

    def only(self, shards: Iterable[int]) -> "Share":
        """These of its shards."""
        return replace(self, tokens={shard: self.tokens[shard] for shard in shards})

    def keep(self, other: "Share | None") -> "Share":
        """What has the same token in both."""
        tokens = {} if other is None else other.tokens
        return self.only(shard for shard, token in self.tokens.items() if tokens.get(shard) == token)

    def without(self, other: "Share") -> "Share":
        """What has not."""
        return self.only(self.tokens.keys() - self.keep(other).tokens.keys())


@dataclass(frozen=True, slots=True)
class Shard:
    """One of them, as it stands in the store."""

    token: int
    owner: str | None


async def find_sharding(conn: AsyncConnection, networks: Collection[NetworkId]) -> dict[NetworkId, int]:
    """Into how many shards each network is divided."""
    query = select(sharding.c.network, sharding.c.shards).where(sharding.c.network.in_(sorted(networks)))
    return {NetworkId(network): shards for network, shards in await conn.execute(query)}


async def claim_sharding(conn: AsyncConnection, network: NetworkId, wanted: int, *, now: datetime) -> int:
    """How many shards the network has, with others kept from changing that until this transaction ends."""
    new = upsert(sharding).values(network=network, shards=0, changed_at=now).on_conflict_do_nothing()
    await conn.execute(new)
    query = select(sharding.c.shards).where(sharding.c.network == network).with_for_update()
    stored: int = (await conn.execute(query)).scalar_one()
    return stored or await divide(conn, network, wanted, now=now)


async def divide(conn: AsyncConnection, network: NetworkId, total: int, *, now: datetime) -> int:
    """Divide the network's wallets into so many shards. Whoever owned one of the old shards is fenced off."""
    await conn.execute(update(sharding).where(sharding.c.network == network).values(shards=total, changed_at=now))
    mine = cursor.c.network == network
    await conn.execute(select(cursor.c.shard).where(mine).order_by(cursor.c.shard).with_for_update())
    newest = select(cursor).where(mine, cursor.c.height.is_not(None)).order_by(cursor.c.height.desc()).limit(1)
    row = (await conn.execute(newest)).mappings().one_or_none()
    seen = {name: row[name] for name in ("height", "hash", "block_time")} if row is not None else {}
    await conn.execute(update(cursor).where(mine).values(token=cursor.c.token + 1, owner=None, updated_at=now, **seen))
    for shard in range(total):
        new = upsert(cursor).values(network=network, shard=shard, updated_at=now, **seen)
        await conn.execute(new.on_conflict_do_nothing())
    return total


async def list_shards(conn: AsyncConnection, totals: Mapping[NetworkId, int]) -> dict[NetworkId, dict[int, Shard]]:
    """Every shard of these networks."""
    query = select(cursor.c.network, cursor.c.shard, cursor.c.token, cursor.c.owner)
    found: dict[NetworkId, dict[int, Shard]] = {network: {} for network in totals}
    for network, shard, token, owner in await conn.execute(query.where(cursor.c.network.in_(sorted(totals)))):
        if shard < totals[network]:
            found[network][shard] = Shard(token, owner)
    return found


async def take_shards(
    conn: AsyncConnection, network: NetworkId, wanted: Mapping[int, int], *, name: str, now: datetime
) -> dict[int, int]:
    """Become the owner of shards whose newest tokens are these.

    Gives the new tokens; those that others were quicker to take are left out.
    """
    taken: dict[int, int] = {}
    for shard, token in sorted(wanted.items()):
        query = (
            update(cursor)
            .where(cursor.c.network == network, cursor.c.shard == shard, cursor.c.token == token)
            .values(token=cursor.c.token + 1, owner=name, updated_at=now)
            .returning(cursor.c.token)
        )
        new = (await conn.execute(query)).scalar_one_or_none()
        if new is not None:
            taken[shard] = new
    return taken


async def release_shards(conn: AsyncConnection, share: Share, *, now: datetime) -> None:
    """Hand back, for somebody else to take at once."""
    await conn.execute(update(cursor).where(_is_held(share)).values(owner=None, updated_at=now))


async def find_cursors(conn: AsyncConnection, share: Share) -> dict[int, BlockRef | None]:
    """The last block fully recorded for each shard; None where there was none yet."""
    query = select(cursor).where(cursor.c.network == share.network, cursor.c.shard.in_(sorted(share.tokens)))
    rows = (await conn.execute(query)).mappings()
    return {
        row["shard"]: None if row["height"] is None else BlockRef(row["height"], row["hash"], row["block_time"])
        for row in rows
    }


async def hold_shards(conn: AsyncConnection, share: Share) -> None:
    """Let nobody take one of the shards until this transaction ends. Raises `Fenced` when somebody has."""
    query = select(cursor.c.shard).where(_is_held(share)).order_by(cursor.c.shard).with_for_update()
    if len((await conn.execute(query)).all()) != len(share.tokens):
        raise Fenced(f"{share.network}: a shard of {sorted(share.tokens)} has another owner by now")


async def move_cursors(conn: AsyncConnection, share: Share, block: BlockRef, *, now: datetime) -> None:
    """Last in the block's transaction. Raises `Fenced` when somebody else owns one of the shards by now."""
    await hold_shards(conn, share)
    moved = update(cursor).where(_is_held(share))
    await conn.execute(moved.values(height=block.number, hash=block.hash, block_time=block.time, updated_at=now))


def _is_held(share: Share) -> Any:
    return (cursor.c.network == share.network) & tuple_(cursor.c.shard, cursor.c.token).in_(
        sorted(share.tokens.items())
    )
