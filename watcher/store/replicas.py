"""Replicas of the daemon: who lives, and which networks each can read. Time is PostgreSQL's, the same for all.

A replica that lives says so every second, and holds an advisory lock in a session of its own: PostgreSQL drops that as
soon as the process has died, so that its shards need not wait for the end of its lease. A frozen one, or one beyond a
broken network, keeps its lock: it is replaced when its lease ends. Its other sessions may hold locks of rows, for which
PostgreSQL knows no time limit in every state of a session, so they are ended for it.
"""

from collections.abc import Collection, Mapping
from typing import Final

import psycopg
from sqlalchemy import delete, func, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from chains.model import NetworkId
from watcher.store.database import NAME_END
from watcher.store.tables import cursor, replica

LEASE_SECONDS: Final = 8
"""Who was silent for so long is taken for dead."""
UNLOCKED_MILLISECONDS: Final = 1_500
"""The same for one without its lock: its process has ended, or is just connecting again."""
FORGOTTEN_SECONDS: Final = 3600
LOCK_CLASS: Final = 0x746F7075  # "topu"
_ALIVE: Final = text("""
    select name, network, reads from replica
    where network = any(:networks) and seen_at > clock_timestamp() - make_interval(secs => :lease)
    and (seen_at > clock_timestamp() - make_interval(secs => :unlocked / 1000.0) or exists (
        select from pg_locks where locktype = 'advisory' and granted and objsubid = 2
        and database = (select oid from pg_database where datname = current_database())
        and classid = :class and objid = hashtext(name)::oid
    ))
""").bindparams(lease=LEASE_SECONDS, unlocked=UNLOCKED_MILLISECONDS)


# materialized: the planner must not end a session before it knows whose it is
_END_SESSIONS: Final = text("""
    with of_dead as materialized (
        select name, pid from replica join pg_stat_activity
            on application_name = 'topup-watcher ' || right(name, :end) and datname = current_database()
        where name <> :name and seen_at < clock_timestamp() - make_interval(secs => :lease)
    )
    select name, pg_terminate_backend(pid) from of_dead
""").bindparams(lease=LEASE_SECONDS, end=NAME_END)


async def hold_name(conninfo: str, name: str) -> psycopg.AsyncConnection[object]:
    """A session that says, for as long as it lives, that this replica's process does."""
    conn = await psycopg.AsyncConnection.connect(conninfo, autocommit=True)
    try:
        await conn.execute("select pg_advisory_lock_shared(%s, hashtext(%s))", [LOCK_CLASS, name])
    except BaseException:
        await conn.close()
        raise
    return conn


async def beat(conn: AsyncConnection, name: str, reads: Mapping[NetworkId, bool]) -> None:
    """Say that a replica lives. `reads`: its networks, and whether it can read each."""
    now = func.clock_timestamp()
    rows = [{"name": name, "network": network, "reads": able} for network, able in sorted(reads.items())]
    if rows:
        new = upsert(replica).values([{**row, "seen_at": now} for row in rows])
        changed = {"reads": new.excluded.reads, "seen_at": now}
        await conn.execute(new.on_conflict_do_update(index_elements=["name", "network"], set_=changed))


async def list_members(conn: AsyncConnection, networks: Collection[NetworkId]) -> dict[NetworkId, dict[str, bool]]:
    """Of each network, the replicas that live, and whether they can read it."""
    found: dict[NetworkId, dict[str, bool]] = {network: {} for network in networks}
    for name, network, reads in await conn.execute(_ALIVE, {"networks": sorted(networks), "class": LOCK_CLASS}):
        found[NetworkId(network)][name] = reads
    return found


async def leave(conn: AsyncConnection, name: str) -> None:
    """A replica ends: what it owns is free."""
    await conn.execute(delete(replica).where(replica.c.name == name))
    await conn.execute(update(cursor).where(cursor.c.owner == name).values(owner=None))


async def end_sessions_of_dead(conn: AsyncConnection, name: str) -> list[str]:
    """Free what frozen replicas hold, in the name of one that lives; the names of those that had something."""
    return sorted(set((await conn.execute(_END_SESSIONS, {"name": name})).scalars()))


async def forget_replicas(conn: AsyncConnection) -> None:
    """Rows of those that have long been dead."""
    old = func.clock_timestamp() - func.make_interval(0, 0, 0, 0, 0, 0, FORGOTTEN_SECONDS)
    await conn.execute(delete(replica).where(replica.c.seen_at < old))
