"""An ask's status follows its needs, and what becomes of its top-ups; each change of it is told."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from chains.model import NetworkId
from config.model import Network
from watcher.asks.model import ASK_KINDS, Ask, State
from watcher.asks.render import render_ask
from watcher.asks.standing import find_standing
from watcher.clock import Stamp
from watcher.model import NeedKind, NewEvent
from watcher.store.asks import (
    AskKey,
    find_ask,
    find_links,
    find_needs,
    find_top_ups_of,
    update_ask,
)
from watcher.store.top_ups import find_sessions, find_subjects, find_top_up


async def refresh_asks(
    conn: AsyncConnection,
    keys: Collection[AskKey],
    network: Network,
    networks: Mapping[NetworkId, Network],
    stamp: Stamp,
) -> list[NewEvent]:
    """Bring the status of these asks up to their needs. Events are to be recorded last in the transaction."""
    events: list[NewEvent] = []
    for key in sorted(keys):
        ask = await find_ask(conn, key)
        if ask is None or not ask.status.living:
            continue
        needs = [n for n in await find_needs(conn, key) if n.state.living]
        status, reason = find_standing(ask.analysis, needs, network, networks)
        if status is State.COVERED and ask.kind is NeedKind.SWAP and await _is_awaited(conn, key):
            status = State.SHORT  # what arrives belongs to what is told
        if (status, reason) != (ask.status, ask.reason) and status is not State.UNKNOWN:
            events.append(await move_ask(conn, ask, status, network, stamp, reason=reason))
    return events


async def _is_awaited(conn: AsyncConnection, key: AskKey) -> bool:
    """Whether money is still asked for on its behalf, or on its way."""
    found = [await find_top_up(conn, top_up_id) for top_up_id in await find_top_ups_of(conn, key)]
    return any(top_up is not None and top_up.status.active for top_up in found)


async def move_ask(
    conn: AsyncConnection,
    ask: Ask,
    status: State,
    network: Network | None,
    stamp: Stamp,
    *,
    reason: Mapping[str, Any] | None = None,
    values: Mapping[str, Any] | None = None,
) -> NewEvent:
    """Give an ask its next status, and say so."""
    written = {"status": status.value, "reason": reason, "version": ask.version + 1, "updated_at": stamp.now}
    changed = await update_ask(conn, ask, {**written, **(values or {})})
    return await make_ask_event(conn, changed, network, stamp)


async def make_ask_event(conn: AsyncConnection, ask: Ask, network: Network | None, stamp: Stamp) -> NewEvent:
    """The event that tells of an ask as it is now. It holds no link."""
    shown = await show_ask(conn, ask, network, with_links=False)
    top_ups = shown["top_ups"]
    return NewEvent(
        id=stamp.new_id("evt"),
        tenant=ask.tenant,
        type=f"{ask.kind.value}.{ask.status.value}",
        subject_object=ask.kind.value,
        subject_id=ask.id,
        version=ask.version,
        livemode=any(t["onramp"]["livemode"] for t in top_ups if t["onramp"]),
        data={ask.kind.value: shown},
    )


async def show_ask(conn: AsyncConnection, ask: Ask, network: Network | None, *, with_links: bool) -> dict[str, Any]:
    """An ask as the API shows it, with its needs' bill and its top-ups. `network` is None once it isn't configured."""
    key = (ask.tenant, ask.kind, ask.id)
    needs = await find_needs(conn, key)
    shown = []
    for top_up_id in await find_top_ups_of(conn, key):
        top_up = await find_top_up(conn, top_up_id)
        if top_up is not None:
            sessions = await find_sessions(conn, top_up_id)
            subjects = await find_subjects(conn, top_up_id)
            shown.append((top_up, sessions[-1] if sessions else None, subjects))
    return render_ask(ask, needs, shown, network, with_links=with_links)


async def tell_asks_of(
    conn: AsyncConnection, top_ups: Collection[str], networks: Mapping[NetworkId, Network], stamp: Stamp
) -> list[NewEvent]:
    """Bring the asks behind these top-ups up to what became of them. Events are to be recorded last."""
    keys = {(x.need.tenant, x.need.kind, x.need.id, x.need.holding.network) for x in await find_links(conn, top_ups)}
    events: list[NewEvent] = []
    for tenant, kind, id_, network in sorted(keys):
        if kind in ASK_KINDS and network in networks:
            events += await refresh_asks(conn, [(tenant, kind, id_)], networks[network], networks, stamp)
    return events
