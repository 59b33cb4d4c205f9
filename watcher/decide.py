"""One block's decisions at the head: rows in, pure plans, rows and events out, in the block's transaction."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from chains.model import Balance, Fee, Holding
from watcher.apply import apply
from watcher.asks.follow import refresh_asks
from watcher.asks.model import ASK_BLOCKED, ASK_KINDS, Link, Need
from watcher.braking import brake
from watcher.clock import Stamp
from watcher.judge import Judged, Rules, judge, leave_news
from watcher.model import Destination, HoldingStatus, NewEvent, TopUp, TopUpStatus
from watcher.opening import measure_anew
from watcher.planning import plan_holding
from watcher.store.asks import AskKey, find_links, find_needs
from watcher.store.blocks import write_requirement
from watcher.store.holds import find_holds
from watcher.store.places import Place, lock_places
from watcher.store.top_ups import find_active, update_top_up, write_destinations
from watcher.store.wallets import tell_nudge


async def decide(
    conn: AsyncConnection,
    rules: Rules,
    balances: Sequence[Balance],
    *,
    beside: Collection[tuple[str, str]],
    fee: Fee | None,
    stamp: Stamp,
    looked_at: datetime | None = None,
    count_only: bool = False,
) -> list[NewEvent]:
    """Judge every requirement and need on these balances; the events are to be recorded last in the transaction.

    `beside` are (tenant, wallet) pairs that the transaction goes on to change, to be locked together with the others.
    What was written after `looked_at`, when the head was asked for, is left to a look of its own.
    With `count_only` they are only counted, for the brake to see a whole step before the first of it is asked for.
    """
    by_holding = {b.holding: b for b in balances}
    locked = await lock_places(conn, by_holding, beside=beside)
    places = [leave_news(place, looked_at) for place in locked]
    if places != locked:
        await tell_nudge(conn, [rules.network.id])
    active = await find_active(conn, sorted({(p.tenant, p.wallet) for p in places}))
    links = await find_links(conn, [t.id for t in active])
    await _note_baselines(conn, active, by_holding)
    around = _Around(active, links)
    judged = [
        found
        for place in places
        if (found := judge(rules, place, by_holding[place.holding], *around.find(place), fee=fee, now=stamp.now))
    ]
    blocked = await _find_blocked(conn, judged)
    groups = _Groups(active, links, stamp)
    events = await brake(conn, rules, judged, stamp)
    if count_only:
        return events
    holds = await find_holds(conn)
    for each in judged:
        needs = tuple(replace(n, refusal=n.refusal or _hold_back(n, blocked)) for n in each.facts.needs)
        ready = replace(each, facts=replace(each.facts, needs=needs))
        plan = plan_holding(ready.facts)
        group = groups.find(each.place, {(k.tenant, k.kind, k.id) for k in plan.needs})
        events += await apply(conn, rules.network, ready, plan, group=group, holds=holds, stamp=stamp)
    await _let_go(conn, places, judged)
    touched = {(n.key.tenant, n.key.kind, n.key.id) for p in places for n in p.needs if n.key.kind in ASK_KINDS}
    return events + await refresh_asks(conn, touched, rules.network, rules.networks, stamp)


async def _note_baselines(conn: AsyncConnection, active: Sequence[TopUp], balances: Mapping[Holding, Balance]) -> None:
    """A new wallet is asked for before it was read; its first balances are what a rise is measured from.

    One that the balance tells of is measured anew where money that a person adds has joined it.
    """
    for top_up in active:
        known = [
            replace(d, baseline=expected, since=balances[d.holding].at.number)
            if d.baseline is None and (expected := _find_expected(top_up, d, active, balances)) is not None
            else d
            for d in top_up.destinations
        ]
        if tuple(known) == top_up.destinations:
            continue
        values: dict[str, Any] = {"destinations": write_destinations(known)}
        if top_up.needed is not None and known[0].baseline is not None:
            values = measure_anew(top_up, known[0].baseline, balances[known[0].holding].at)
        await update_top_up(conn, top_up.id, values)


def _find_expected(
    top_up: TopUp, destination: Destination, active: Sequence[TopUp], balances: Mapping[Holding, Balance]
) -> int | None:
    """The balance with what is paid and not there yet. None while it isn't read, or how much is on its way unknown."""
    on_their_way = [
        t.asked
        for t in active
        if t.id != top_up.id
        and t.status is TopUpStatus.SETTLING
        and (t.tenant, t.wallet) == (top_up.tenant, top_up.wallet)
        and any(d.holding == destination.holding for d in t.destinations)
    ]
    if destination.holding not in balances or None in on_their_way:
        return None
    return balances[destination.holding].amount + sum(asked or 0 for asked in on_their_way)


async def _let_go(conn: AsyncConnection, places: Sequence[Place], judged: Sequence[Judged]) -> None:
    """What has no level is not unknown once it was read."""
    known = {id(each.place) for each in judged}
    for place in places:
        row = place.row
        only_watched = row is not None and row["watch_only"] and row["status"] == HoldingStatus.UNKNOWN
        if row is not None and only_watched and id(place) not in known:
            await write_requirement(conn, row, {"status": HoldingStatus.OK.value})


async def _find_blocked(conn: AsyncConnection, judged: Sequence[Judged]) -> set[AskKey]:
    """Asks that money would not help: something else that they need can't be bought."""
    now = {n.key: n for each in judged for n in each.facts.needs}
    keys = {(k.tenant, k.kind, k.id) for k in now if k.kind in ASK_KINDS}
    blocked: set[AskKey] = set()
    for key in sorted(keys):
        needs = [now.get(n.key, n) for n in await find_needs(conn, key)]
        if any(n.unsold for n in needs):
            blocked.add(key)
    return blocked


def _hold_back(need: Need, blocked: Collection[AskKey]) -> str | None:
    return ASK_BLOCKED if (need.key.tenant, need.key.kind, need.key.id) in blocked else None


class _Around:
    """What stands beside each wallet, so that one wallet is not looked for among all the others' asks."""

    def __init__(self, active: Sequence[TopUp], links: Sequence[Link]) -> None:
        self._active: dict[tuple[str, str], list[TopUp]] = {}
        self._links: dict[tuple[str, str], list[Link]] = {}
        wallets = {t.id: (t.tenant, t.wallet) for t in active}
        for top_up in active:
            self._active.setdefault((top_up.tenant, top_up.wallet), []).append(top_up)
        for link in links:
            self._links.setdefault(wallets[link.top_up], []).append(link)

    def find(self, place: Place) -> tuple[Sequence[TopUp], Sequence[Link]]:
        key = (place.tenant, place.wallet)
        return self._active.get(key, ()), self._links.get(key, ())


class _Groups:
    """One message for what belongs together: token and gas of one ask, and a wallet's falls in one block."""

    def __init__(self, active: Sequence[TopUp], links: Sequence[Link], stamp: Stamp) -> None:
        groups = {t.id: t.group for t in active}
        self._by_ask = {(x.need.tenant, x.need.kind, x.need.id): groups[x.top_up] for x in links}
        self._new: dict[tuple[str, str], str] = {}
        self._stamp = stamp

    def find(self, place: Place, asks: Collection[AskKey]) -> str:
        for key in sorted(asks):
            if key[1] in ASK_KINDS and key in self._by_ask:
                return self._by_ask[key]
        group = self._new.setdefault((place.tenant, place.wallet), self._stamp.new_id("grp"))
        self._by_ask |= dict.fromkeys(asks, group)
        return group
