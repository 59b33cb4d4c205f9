"""Needs at the closing depth: what is met there is asked for no more, whatever becomes of the balance."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from chains.model import Balance, Holding, NetworkId
from config.model import Network
from watcher.asks.cover import allocate
from watcher.asks.follow import refresh_asks
from watcher.asks.model import ASK_KINDS, Link, Mode, Need, NeedKey, State
from watcher.clock import Stamp
from watcher.model import NewEvent
from watcher.store.asks import COUNTED, find_living_needs, update_need


async def close_needs(
    conn: AsyncConnection,
    network: Network,
    networks: Mapping[NetworkId, Network],
    balances: Mapping[Holding, Balance],
    stamp: Stamp,
) -> list[NewEvent]:
    """Close what these balances, at the closing depth, cover. Events are to be recorded last in the transaction."""
    needs = await find_living_needs(conn, balances)
    met = find_met(needs, balances)
    for key in met:
        values = {"state": State.COVERED.value, "closed_at": stamp.now, "updated_at": stamp.now}
        await update_need(conn, key, values)
    asks = {(k.tenant, k.kind, k.id) for k in met if k.kind in ASK_KINDS}
    return await refresh_asks(conn, asks, network, networks, stamp)


def find_met(needs: Sequence[Need], balances: Mapping[Holding, Balance]) -> list[NeedKey]:
    """Needs that a balance covers which is not from before them. Pure."""
    met: list[NeedKey] = []
    for place in sorted({(n.key.tenant, n.wallet, n.key.holding) for n in needs}):
        here = [n for n in needs if (n.key.tenant, n.wallet, n.key.holding) == place]
        balance = balances[place[2]]
        states = allocate(here, balance.amount)
        met += [
            n.key
            for n in here
            if n.closed_at is None
            and n.mode is Mode.BALANCE
            and n.since is not None
            and balance.at.number >= n.since
            and states[n.key] is State.COVERED
        ]
    return met


def find_lines(
    recovered_at: Mapping[Holding, int], needs: Sequence[Need], links: Collection[Link]
) -> dict[Holding, int]:
    """The balance from which on a top-up with these links is needless, by holding. Pure.

    Its levels' recovery counts where it is for them; and all that needs something there must have it.
    """
    for_funding = any(x.need.kind not in COUNTED for x in links)
    lines = dict(recovered_at) if for_funding else {}
    for holding in {n.key.holding for n in needs}:
        counted = [n for n in needs if n.key.holding == holding]
        if holding in lines or not for_funding:
            lines[holding] = max(lines.get(holding, 0), sum(n.reserved for n in counted))
    return lines


def is_idle(links: Collection[Link]) -> bool:
    """Whether nobody wants anything of a top-up with these links any more: some did, and no level does. Pure."""
    counted = [x for x in links if x.need.kind in COUNTED]
    for_funding = any(x.need.kind not in COUNTED and x.state.living for x in links)
    return bool(counted) and not for_funding and all(x.closed or not x.state.living for x in counted)
