"""An ask that is not there: judged like any other, beside those that are, and nothing is written."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from chains.model import Balance, Fee
from watcher.asks.bills import make_need_bill
from watcher.asks.model import Ask, Need
from watcher.asks.render import render_ask
from watcher.asks.standing import find_standing
from watcher.judge import Rules, judge
from watcher.planning import plan_holding
from watcher.render import render_asset_bill
from watcher.store.asks import find_links
from watcher.store.places import read_places
from watcher.store.top_ups import find_active


async def preview(
    conn: AsyncConnection,
    rules: Rules,
    ask: Ask,
    needs: Sequence[Need],
    balances: Sequence[Balance],
    *,
    fee: Fee,
    now: datetime,
) -> dict[str, Any]:
    """The ask as it would be shown once these balances had been judged."""
    by_holding = {b.holding: b for b in balances}
    places = {p.holding: p for p in await read_places(conn, by_holding, (ask.tenant, ask.wallet))}
    active = await find_active(conn, [(ask.tenant, ask.wallet)])
    links = await find_links(conn, [t.id for t in active])
    billed: list[Need] = []
    for need in needs:
        found = places[need.key.holding]
        place = replace(found, needs=(*found.needs, need))
        judged = judge(rules, place, by_holding[need.key.holding], active, links, fee=fee, now=now)
        if judged is None:
            continue
        plan = plan_holding(judged.facts)
        own = next(n for n in judged.facts.needs if n.key == need.key)
        bill = render_asset_bill(make_need_bill(own, judged.facts, plan), rules.network)
        billed.append(replace(own, bill=bill))
    status, reason = find_standing(ask.analysis, billed, rules.network, rules.networks)
    return render_ask(replace(ask, status=status, reason=reason), billed, (), rules.network, with_links=False)
