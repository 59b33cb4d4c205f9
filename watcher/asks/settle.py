"""What becomes of needs when a top-up that is for them has come to its end."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from chains.amounts import parse_amount
from watcher.asks.model import ASK_KINDS, Mode, Need, NeedKey, State
from watcher.clock import Stamp
from watcher.model import BillLine, NeedKind, Outcome, TopUp, TopUpStatus
from watcher.store.asks import COUNTED, find_ask, find_links, find_needs_by_key, update_ask, update_need, write_lines

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
    for need in await find_needs_by_key(conn, keys):
        if need.closed_at is None:
            values = _give_up(need, top_up.status, stamp) if ended else _land(need, top_up, stamp)
            await update_need(conn, need.key, {**values, "updated_at": stamp.now})
    if not ended:
        await _note_received(conn, keys, top_up)


def _give_up(need: Need, status: TopUpStatus, stamp: Stamp) -> dict[str, Any]:
    """Nothing is asked for it again; an ask stays as short as it is, added funds are over with their top-up."""
    ends = need.key.kind is NeedKind.ADD_FUNDS
    return {"closed_at": stamp.now, **({"state": _ENDS[status].value} if ends else {})}


def _land(need: Need, top_up: TopUp, stamp: Stamp) -> dict[str, Any]:
    """What arrived has met it, unless less came than was asked for."""
    if top_up.outcome == Outcome.PARTIAL:
        if need.mode is not Mode.RECEIVED:
            return {}
        lines = (*need.lines, BillLine("received", -find_received(top_up)))
        return {"lines": write_lines(lines), "amount": sum(line.amount for line in lines)}
    state = State.DONE if need.key.kind is NeedKind.ADD_FUNDS else State.COVERED
    return {"closed_at": stamp.now, "state": state.value}


def find_received(top_up: TopUp) -> int:
    """What transactions of the onramp brought, base units."""
    return sum(parse_amount(entry["amount"], entry["decimals"]) for entry in top_up.received or ())


async def _note_received(conn: AsyncConnection, keys: Collection[NeedKey], top_up: TopUp) -> None:
    for key in {(k.tenant, k.kind, k.id) for k in keys if k.kind in ASK_KINDS}:
        ask = await find_ask(conn, key)
        if ask is not None and top_up.received:
            await update_ask(conn, ask, {"received": [*(ask.received or ()), *top_up.received]})
