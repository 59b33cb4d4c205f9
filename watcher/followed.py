"""What is known of asks that are followed, read for all of them at once: most are as they were, and cost no more."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from chains.model import Balance, Holding
from watcher.asks.close import find_lines, is_idle
from watcher.asks.model import Link, Need
from watcher.judge import Rules
from watcher.levels import find_requirement
from watcher.model import TopUp, TopUpStatus
from watcher.policy import Close, Followed, plan_close
from watcher.store.asks import find_links, find_living_needs
from watcher.store.tables import requirement
from watcher.store.top_ups import CHUNK


@dataclass(frozen=True, slots=True)
class Known:
    """What stands beside one ask in the store."""

    rows: Mapping[Holding, Mapping[str, Any]]
    """Requirements of its wallet on its destinations."""
    links: Sequence[Link]
    needs: Sequence[Need]
    """Its wallet's living ones on its destinations."""


async def read_known(conn: AsyncConnection, asks: Sequence[TopUp]) -> dict[str, Known]:
    """By the ask's id; a few statements, however many there are."""
    links: dict[str, list[Link]] = {}
    for link in await find_links(conn, [ask.id for ask in asks]):
        links.setdefault(link.top_up, []).append(link)
    needs: dict[tuple[str, str, Holding], list[Need]] = {}
    for need in await find_living_needs(conn, {d.holding for ask in asks for d in ask.destinations}):
        needs.setdefault((need.key.tenant, need.wallet, need.key.holding), []).append(need)
    rows = await _read_requirements(conn, sorted({(ask.tenant, ask.wallet) for ask in asks}))
    found = {}
    for ask in asks:
        places = {(ask.tenant, ask.wallet, d.holding) for d in ask.destinations}
        found[ask.id] = Known(
            rows={place[2]: rows[place] for place in places if place in rows},
            links=links.get(ask.id, ()),
            needs=[need for place in sorted(places) for need in needs.get(place, ())],
        )
    return found


def find_since_asked(ask: TopUp, balances: Mapping[Holding, Balance]) -> dict[Holding, Balance]:
    """Balances at the closing depth that are not from before the ask: those still show what was there then."""
    found = ((d, balances.get(d.holding)) for d in ask.destinations)
    return {d.holding: b for d, b in found if b is not None and d.since is not None and b.at.number >= d.since}


def judge_close(
    rules: Rules, ask: TopUp, known: Known, balances: Mapping[Holding, Balance], transaction_cost: int | None
) -> Close:
    """What the closing depth says about an active ask."""
    levelled = {h: row for h, row in known.rows.items() if not row["watch_only"]}
    levels = {h: find_requirement(row, rules.policy(row), transaction_cost) for h, row in levelled.items()}
    recovered_at = {h: level.recovered_at for h, level in levels.items() if level is not None}
    facts = Followed(
        status=ask.status,
        needed=ask.needed,
        to_receive=ask.to_receive,
        recovered_at=find_lines(recovered_at, known.needs, known.links),
        baselines={d.holding: d.baseline for d in ask.destinations if d.baseline is not None},
        risen=ask.risen_at is not None,
        idle=is_idle(known.links),
    )
    return plan_close(facts, {h: b.amount for h, b in find_since_asked(ask, balances).items()})


def is_due(rules: Rules, ask: TopUp, *, height: int) -> bool:
    """Whether it has waited for the confirmations that this network asks for before a person is asked."""
    mine = all(d.holding.network == rules.network.id for d in ask.destinations)
    due = mine and not ask.session_deferred and height >= ask.session_due_height
    return due and ask.status is TopUpStatus.OPEN


async def find_astir(
    conn: AsyncConnection,
    rules: Rules,
    asks: Sequence[TopUp],
    balances: Mapping[Holding, Balance],
    *,
    transaction_cost: int | None,
    height: int,
) -> list[TopUp]:
    """Asks that something may be done about at this step. Nothing is locked: who does it looks again.

    What changes in between is seen at the next step; an ask that is paid is always looked at.
    """
    known = await read_known(conn, [ask for ask in asks if ask.status is TopUpStatus.OPEN])
    return [
        ask
        for ask in asks
        if ask.status is not TopUpStatus.OPEN
        or is_due(rules, ask, height=height)
        or judge_close(rules, ask, known[ask.id], balances, transaction_cost) is not Close.NOTHING
    ]


async def _read_requirements(
    conn: AsyncConnection, pairs: Sequence[tuple[str, str]]
) -> dict[tuple[str, str, Holding], Mapping[str, Any]]:
    rows: dict[tuple[str, str, Holding], Mapping[str, Any]] = {}
    for i in range(0, len(pairs), CHUNK):
        these = tuple_(requirement.c.tenant, requirement.c.wallet).in_(pairs[i : i + CHUNK])
        for row in (await conn.execute(select(requirement).where(these))).mappings():
            at = Holding(row["network"], row["asset"], row["address"])
            rows[row["tenant"], row["wallet"], at] = dict(row)
    return rows
