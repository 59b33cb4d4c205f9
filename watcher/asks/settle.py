"""What becomes of needs when a top-up that is for them has come to its end."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from chains.amounts import parse_amount
from watcher.asks.cover import sort_needs
from watcher.asks.model import ASK_KINDS, GIVEN_UP, Mode, Need, NeedKey, State
from watcher.clock import Stamp
from watcher.model import BillLine, NeedKind, Outcome, TopUp, TopUpStatus
from watcher.render import is_lowered
from watcher.store.asks import COUNTED, find_ask, find_links, find_needs_by_key, update_ask, update_need, write_lines
from watcher.store.top_ups import find_active

NO_MORE = (TopUpStatus.EXPIRED, TopUpStatus.CANCELLED, TopUpStatus.REJECTED, TopUpStatus.FAILED)
"""Ends of a top-up after which nothing is asked again for what it was for."""
_ENDS: Mapping[TopUpStatus, State] = {
    TopUpStatus.EXPIRED: State.EXPIRED,
    TopUpStatus.CANCELLED: State.CANCELLED,
    TopUpStatus.REJECTED: State.CANCELLED,
    TopUpStatus.FAILED: State.CANCELLED,
}


async def settle_asks(conn: AsyncConnection, top_up: TopUp, stamp: Stamp) -> None:
    """What a top-up's new status means for the needs that it is for."""
    ended = top_up.status in NO_MORE
    if not ended and top_up.status is not TopUpStatus.LANDED:
        return
    keys = [x.need for x in await find_links(conn, [top_up.id]) if x.state.living and x.need.kind in COUNTED]
    needs = [n for n in await find_needs_by_key(conn, keys) if n.closed_at is None]
    if ended:
        changes = {n.key: _give_up(n, top_up.status, stamp) for n in needs}
    else:
        active = await find_active(conn, [(top_up.tenant, top_up.wallet)])
        elsewhere = {x.need for x in await find_links(conn, [t.id for t in active])}
        changes = land_needs(needs, top_up, elsewhere, now=stamp.now)
    for key, values in changes.items():
        await update_need(conn, key, {**values, "updated_at": stamp.now})
    if not ended:
        await _note_received(conn, keys, top_up)


def _give_up(need: Need, status: TopUpStatus, stamp: Stamp) -> dict[str, Any]:
    """Nothing is asked for it again; an ask stays as short as it is, added funds are over with their top-up."""
    if need.key.kind is NeedKind.ADD_FUNDS:
        return {"closed_at": stamp.now, "state": _ENDS[status].value}
    return {"refusal": GIVEN_UP}


def land_needs(
    needs: Sequence[Need], top_up: TopUp, elsewhere: Collection[NeedKey], *, now: datetime
) -> dict[NeedKey, dict[str, Any]]:
    """What a landing changes of the open needs that it was for; `elsewhere` are those of other active top-ups. Pure.

    What arrived is the purchases', the oldest first. A balance that is needed is judged by the balance when less
    came than was asked for, or when more is asked for on its behalf.
    """
    left = find_received(top_up) if top_up.received else top_up.asked
    changes: dict[NeedKey, dict[str, Any]] = {}
    for need in sort_needs(needs):
        if need.mode is Mode.BALANCE:
            full = top_up.outcome != Outcome.PARTIAL and not is_lowered(top_up.bill)
            met = full and need.key not in elsewhere
        elif need.mode is Mode.RECEIVED and left is not None:
            share = min(left, need.amount)
            left -= share
            met = share == need.amount
            if not met and share:
                changes[need.key] = _write_lines((*need.lines, BillLine("received", -share)))
        else:
            met = True
        if met:
            state = State.DONE if need.key.kind is NeedKind.ADD_FUNDS else State.COVERED
            whole = _write_lines(tuple(line for line in need.lines if line.what != "received"))
            changes[need.key] = {**whole, "closed_at": now, "state": state.value}
    return changes


def _write_lines(lines: Sequence[BillLine]) -> dict[str, Any]:
    return {"lines": write_lines(lines), "amount": sum(line.amount for line in lines if line.what != "rate")}


def find_received(top_up: TopUp) -> int:
    """What transactions of the onramp brought, base units."""
    return sum(parse_amount(entry["amount"], entry["decimals"]) for entry in top_up.received or ())


async def _note_received(conn: AsyncConnection, keys: Collection[NeedKey], top_up: TopUp) -> None:
    for key in {(k.tenant, k.kind, k.id) for k in keys if k.kind in ASK_KINDS}:
        ask = await find_ask(conn, key)
        if ask is not None and top_up.received:
            await update_ask(conn, ask, {"received": [*(ask.received or ()), *top_up.received]})
