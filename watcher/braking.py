"""The storm brake on the store: who turned short is counted in the block's transaction, before anybody is asked."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from sqlalchemy import ColumnElement, and_, delete, distinct, func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from chains.model import NetworkId
from config.model import Network, Settings
from watcher.alarm import tell_operator
from watcher.brake import has_passed, is_storm
from watcher.clock import Clock, Stamp
from watcher.judge import Judged, Rules
from watcher.model import HoldingStatus, NewEvent
from watcher.networks import tell_held
from watcher.store.database import Database
from watcher.store.events import record_events
from watcher.store.holds import STORM, Scope, find_holds, lift_hold, put_hold
from watcher.store.tables import requirement, turned_short, wallet_address
from watcher.store.top_ups import CHUNK
from watcher.withholding import defer_withhold

log = structlog.get_logger()

PASSED: Final = "passed"
RELEASED: Final = "released"


def find_turned(judged: Sequence[Judged]) -> set[tuple[str, str]]:
    """Wallets of which a holding turns short at this block. Those that wait for a first drop are known to be short."""
    return {
        (each.place.tenant, each.place.wallet)
        for each in judged
        if (change := each.facts.change) is not None
        and each.position is not None
        and change.status.short
        and not each.position.status.short
        and not change.waiting
    }


async def brake(conn: AsyncConnection, rules: Rules, judged: Sequence[Judged], stamp: Stamp) -> list[NewEvent]:
    """Hold the network's asks when too many turn short. Events are to be recorded last in the transaction."""
    network, turned = rules.network, find_turned(judged)
    if not turned:
        return []
    await _lock(conn, network.id)
    await _note(conn, network.id, turned, stamp.now)
    since = stamp.now - timedelta(seconds=network.brake.window_seconds)
    lately = and_(turned_short.c.network == network.id, turned_short.c.at > since)
    count = await _count(conn, select(func.count()).select_from(turned_short).where(lately))
    if count < network.brake.minimum:
        return []
    wallets = await _count_wallets(conn, network.id)
    if not is_storm(network.brake, count, wallets):
        return []
    facts = {"turned_short": count, "wallets": wallets, "window_seconds": network.brake.window_seconds}
    if not await put_hold(conn, Scope("network", network.id), STORM, now=stamp.now, facts=facts):
        return []
    log.error("network.held", network=network.name, **facts)
    await tell_operator(conn, "network.held", network, facts, stamp)
    await defer_withhold(conn)
    return await tell_held(conn, network, rules.tenants, stamp, held=True)


async def release(conn: AsyncConnection, network: Network, settings: Settings, stamp: Stamp, *, why: str) -> bool:
    """Let the network's asks go, and count from nothing. Whether they were held. Call it last in a transaction."""
    await _lock(conn, network.id)
    if not await lift_hold(conn, Scope("network", network.id), STORM):
        return False
    await conn.execute(delete(turned_short).where(turned_short.c.network == network.id))
    await tell_operator(conn, "network.released", network, {"why": why}, stamp)
    await defer_withhold(conn)
    events = await tell_held(conn, network, settings.tenants, stamp, held=False)
    await record_events(conn, events, now=stamp.now, new_id=stamp.new_id)
    return True


class Braker:
    """`look_at_brakes` is a job that a tick of the clock defers."""

    def __init__(self, database: Database, settings: Settings, *, clock: Clock, new_id: Callable[[str], str]) -> None:
        """Everything else is in the store."""
        self._database = database
        self._settings = settings
        self._clock = clock
        self._new_id = new_id

    async def look_at_brakes(self) -> None:
        """Let go where the cause has passed, and forget who turned short before every window."""
        stamp = Stamp(self._clock.now(), self._new_id)
        async with self._database.begin() as conn:
            storms = (await find_holds(conn)).storms
        for network in self._settings.networks.values():
            async with self._database.begin() as conn:
                await _lock(conn, network.id)
                if network.id not in storms:
                    await _forget(conn, network, stamp.now)
                elif await self._has_passed(conn, network):
                    await release(conn, network, self._settings, stamp, why=PASSED)
                    log.info("network.released", network=network.name, why=PASSED)

    async def _has_passed(self, conn: AsyncConnection, network: Network) -> bool:
        low = requirement.c.status.in_([status.value for status in HoldingStatus if status.short])
        mine = and_(*(requirement.c[name] == turned_short.c[name] for name in ("network", "tenant", "wallet")))
        wallets = func.count(distinct(func.row(turned_short.c.tenant, turned_short.c.wallet)))
        short = select(wallets).select_from(turned_short).join(requirement, mine)
        still = await _count(conn, short.where(turned_short.c.network == network.id, low))
        return has_passed(network.brake, still, await _count_wallets(conn, network.id))


async def _lock(conn: AsyncConnection, network: NetworkId) -> None:
    """One counts at a time; a block's transaction has locked its wallets by then, the others lock none."""
    await conn.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"brake/{network}", 0))))


async def _note(conn: AsyncConnection, network: NetworkId, turned: Collection[tuple[str, str]], now: datetime) -> None:
    rows = [{"network": network, "tenant": tenant, "wallet": name, "at": now} for tenant, name in sorted(turned)]
    for i in range(0, len(rows), CHUNK):
        new = upsert(turned_short).values(rows[i : i + CHUNK])
        again = new.on_conflict_do_update(index_elements=["network", "tenant", "wallet"], set_={"at": now})
        await conn.execute(again)


async def _forget(conn: AsyncConnection, network: Network, now: datetime) -> None:
    before = now - timedelta(seconds=network.brake.window_seconds)
    await conn.execute(delete(turned_short).where(turned_short.c.network == network.id, turned_short.c.at <= before))


async def _count_wallets(conn: AsyncConnection, network: NetworkId) -> int:
    here: ColumnElement[bool] = and_(wallet_address.c.network == network, wallet_address.c.watched)
    return await _count(conn, select(func.count()).select_from(wallet_address).where(here))


async def _count(conn: AsyncConnection, query: Any) -> int:
    return int((await conn.execute(query)).scalar_one())
