"""Money added because the person pressed for it: opened at once, whatever the chain says just now."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from chains.model import Holding
from config.model import NetworkAsset, Tenant
from watcher.apply import defer_session
from watcher.asks.ground import Ground
from watcher.asks.model import ASK_KINDS, Link, Mode, Need, NeedKey, State
from watcher.clock import Stamp
from watcher.model import BillLine, NeedKind, NewEvent, TopUp, TopUpStatus
from watcher.opening import make_destination, open_for_press
from watcher.policy import fit_amount
from watcher.store.asks import find_links, find_needs_by_key, link_needs, save_need, update_need
from watcher.store.places import read_places
from watcher.store.top_ups import find_active, insert_top_up, update_top_up, write_destinations
from watcher.store.wallets import tell_nudge, tell_watching
from watcher.top_ups import make_event, move_top_up


async def add_funds(
    conn: AsyncConnection,
    tenant: Tenant,
    wallet: str,
    ground: Ground,
    asset: NetworkAsset,
    *,
    units: int | None,
    notify: bool,
    expires_at: datetime,
    stamp: Stamp,
) -> tuple[TopUp, tuple[NewEvent, ...]]:
    """The open top-up that brings the money: one that is there and covers it, or a new one in its place.

    `units` are base units, None where the person chooses. The wallet is locked. Events are to be recorded last.
    """
    network = ground.network
    at = Holding(network.id, asset.asset.reference, ground.address)
    active = await find_active(conn, [(tenant.id, wallet)])
    standing = next((t for t in active if t.status is TopUpStatus.OPEN and _reaches(t, at)), None)
    links = await find_links(conn, [standing.id]) if standing is not None else []
    before = await _find_before(conn, links)
    others = _find_others(standing, links, before)
    wanted = None if units is None else fit_amount(units + others, asset)[0]
    if standing is not None and (wanted is None or (standing.asked is not None and wanted <= standing.asked)):
        key = NeedKey(tenant.id, NeedKind.ADD_FUNDS, standing.id, at)
        need = await _write_need(conn, key, before, wallet, units, expires_at=expires_at, stamp=stamp)
        await link_needs(conn, standing.id, [need])
        if units is not None and standing.needed is not None:
            standing = await _measure_anew(conn, standing)
        values = {"notify": standing.notify or notify, "expires_at": max(standing.expires_at, expires_at)}
        if (standing.notify, standing.expires_at) != tuple(values.values()):
            values |= {"version": standing.version + 1, "updated_at": stamp.now}
            standing = await update_top_up(conn, standing.id, values)
        return standing, ()
    (place,) = await read_places(conn, [at], (tenant.id, wallet))
    top_up = open_for_press(
        place,
        make_destination(network, asset, at),  # the next step notes from which balance: one in the store may be old
        wanted,
        tenant=tenant,
        notify=notify,
        expires_at=expires_at,
        stamp=stamp,
    )
    events = []
    if standing is not None:
        values = {"superseded_by": top_up.id}
        events.append((await move_top_up(conn, standing, TopUpStatus.SUPERSEDED, stamp, values=values))[1])
    await insert_top_up(conn, top_up)
    key = NeedKey(tenant.id, NeedKind.ADD_FUNDS, top_up.id, at)
    need = await _write_need(conn, key, before, wallet, units, expires_at=expires_at, stamp=stamp)
    over = {n.key for n in before} - {need}
    await link_needs(conn, top_up.id, {need, *(x.need for x in links if x.state.living)} - over)
    top_up = await defer_session(conn, top_up, now=stamp.now, pressed=True)
    events.append(await make_event(conn, top_up, "opened", stamp.new_id("evt")))
    await tell_watching(conn, [network.id])
    await tell_nudge(conn, [network.id])
    return top_up, tuple(events)


async def _find_before(conn: AsyncConnection, links: Sequence[Link]) -> list[Need]:
    """What was added to the open top-up before; what is paid and on its way is no more to be changed."""
    keys = [x.need for x in links if x.need.kind is NeedKind.ADD_FUNDS and x.state.living]
    return sorted(await find_needs_by_key(conn, keys), key=lambda n: n.key) if keys else []


async def _write_need(
    conn: AsyncConnection,
    key: NeedKey,
    before: Sequence[Need],
    wallet: str,
    units: int | None,
    *,
    expires_at: datetime,
    stamp: Stamp,
) -> NeedKey:
    """What is added takes the place of what was added to the same top-up before; `key` is for what is the first."""
    for extra in before[1:]:
        values = {"state": State.CANCELLED.value, "closed_at": stamp.now, "updated_at": stamp.now}
        await update_need(conn, extra.key, values)
    need = Need(
        key=before[0].key if before else key,
        wallet=wallet,
        mode=Mode.RISE if units is None else Mode.RECEIVED,
        lines=() if units is None else (BillLine("required", units),),
        state=State.SHORT,
        expires_at=expires_at,
        created_at=stamp.now,
    )
    await save_need(conn, need)
    return need.key


def _reaches(top_up: TopUp, at: Holding) -> bool:
    return len(top_up.destinations) == 1 and top_up.destinations[0].holding == at and top_up.scope != "wallet"


async def _measure_anew(conn: AsyncConnection, standing: TopUp) -> TopUp:
    """What the balance was to tell must bring it all from now on: the next step notes from which balance."""
    unread = [replace(d, baseline=None, since=None) for d in standing.destinations]
    return await update_top_up(conn, standing.id, {"destinations": write_destinations(unread)})


def _find_others(standing: TopUp | None, links: Sequence[Link], before: Sequence[Need]) -> int:
    """What the open top-up brings for asks: it is theirs. What it brings for levels is answered by added money, too."""
    if standing is None or standing.asked is None or not any(x.need.kind in ASK_KINDS for x in links):
        return 0
    return max(0, standing.asked - sum(n.amount for n in before))
