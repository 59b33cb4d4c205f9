"""An ask whose transaction was looked at again: its needs follow what was found, in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from config.model import Settings
from watcher.asks.analysis import Analysis, has_changed, write_analysis
from watcher.asks.beforehand import Findings
from watcher.asks.bodies import AskBody, CheckoutBody
from watcher.asks.follow import move_ask, refresh_asks
from watcher.asks.ground import Ground, NotUnderstood, Rate, Understood, Wanting
from watcher.asks.lifecycle import find_ground, make_needs, withdraw_pointless
from watcher.asks.model import GIVEN_UP, Ask, Mode, Need, NeedKey, State
from watcher.asks.proposed import add_costs
from watcher.asks.spec import understand
from watcher.clock import Stamp
from watcher.model import NewEvent, TopUpStatus
from watcher.store.asks import find_links, find_needs, save_need, update_ask, update_need, write_lines
from watcher.store.top_ups import find_active
from watcher.store.wallets import tell_nudge, tell_watching

STATED = ("price", "rate")
"""Lines of a purchase that its backend wrote: they stay as they were."""


async def renew_ask(
    conn: AsyncConnection, ask: Ask, body: AskBody, findings: Findings, *, settings: Settings, stamp: Stamp
) -> tuple[bool, list[NewEvent]]:
    """Whether it needs something else now, and what is to be told. The wallet is locked; events are recorded last.

    An answer that is none leaves everything as it was found before.
    """
    before, analysis = ask.analysis, findings.analysis
    if analysis is None:
        return False, []
    if before is not None and (not analysis.found or not _is_new(before, analysis)):
        kept = replace(analysis, outflows=before.outflows) if analysis.found else before
        await _write(conn, ask, replace(kept, looked_at=analysis.looked_at))
        return False, []
    await _write(conn, ask, analysis)
    try:
        ground = await find_ground(conn, ask.tenant, ask.wallet, body.network, settings)
        needs = await find_needs(conn, (ask.tenant, ask.kind, ask.id))
        understood = _understand(body, replace(ground, analysis=analysis), needs, findings.rates)
    except NotUnderstood:
        return False, []  # its wallet is gone, or its network: it ends with them
    await _write_needs(conn, ask, needs, understood.wants, stamp)
    key = (ask.tenant, ask.kind, ask.id)
    events = await withdraw_pointless(conn, key, stamp)
    if understood.reason is None:
        events += await refresh_asks(conn, [key], ground.network, settings.networks, stamp)
    elif (ask.status, ask.reason) != (State.NOT_FUNDS, understood.reason):  # no needs: but not because none are there
        events.append(await move_ask(conn, ask, State.NOT_FUNDS, ground.network, stamp, reason=understood.reason))
    await tell_watching(conn, [ground.network.id], ask.tenant, ask.wallet)
    await tell_nudge(conn, [ground.network.id], ask.tenant, ask.wallet)
    return True, events


def _is_new(before: Analysis, after: Analysis) -> bool:
    if (before.verdict, before.lacks) != (after.verdict, after.lacks):
        return True
    said = not after.outflows and before.detail != after.detail
    return said or has_changed(before.outflows, after.outflows)


async def _write(conn: AsyncConnection, ask: Ask, analysis: Analysis) -> None:
    await update_ask(conn, ask, {"analysis": write_analysis(analysis)})


def _understand(body: AskBody, ground: Ground, needs: Sequence[Need], rates: Mapping[str, Rate | None]) -> Understood:
    """A purchase keeps the price that it was told of when it was opened."""
    priced = next((n for n in needs if any(line.what in STATED for line in n.lines)), None)
    if isinstance(body, CheckoutBody) and priced is not None:
        stated = tuple(line for line in priced.lines if line.what in STATED)
        return add_costs(Wanting(priced.key.holding, priced.mode, stated), ground)
    return understand(body, ground, rates)


async def _write_needs(
    conn: AsyncConnection, ask: Ask, needs: Sequence[Need], wants: Sequence[Wanting], stamp: Stamp
) -> None:
    """New ones, changed ones, and the end of those that are not needed any more. What was met for good stays.

    What comes back is as it was left: what has arrived for it counts, and what was given up is not asked for again.
    """
    before = {n.key.holding: n for n in needs}
    standing = {n.key.holding: n for n in needs if n.state.living}
    awaited = await _find_awaited(conn, ask)
    for each in make_needs(ask, Understood(tuple(wants))):
        new = _go_on(each, before.get(each.key.holding))
        old = standing.pop(new.key.holding, None)
        if old is None:
            await save_need(conn, new)
        elif old.closed_at is None and (old.lines, old.place) != (new.lines, new.place):
            values = {"lines": write_lines(new.lines), "amount": new.amount, "place": new.place}
            await update_need(conn, old.key, {**values, "updated_at": stamp.now})
    for gone in standing.values():
        paid = gone.mode is Mode.RECEIVED and gone.key in awaited
        if gone.closed_at is None and not paid:  # what is paid for a purchase arrives for it, whatever becomes of it
            ended = {"state": State.CANCELLED.value, "closed_at": stamp.now, "bill": None}
            await update_need(conn, gone.key, {**ended, "updated_at": stamp.now})


def _go_on(new: Need, before: Need | None) -> Need:
    if before is None:
        return new
    received = tuple(line for line in before.lines if line.what == "received")
    refusal = GIVEN_UP if before.refusal == GIVEN_UP else None
    return replace(new, lines=(*new.lines, *received), refusal=refusal)


async def _find_awaited(conn: AsyncConnection, ask: Ask) -> set[NeedKey]:
    """What is paid for, and on its way."""
    settling = [t.id for t in await find_active(conn, [(ask.tenant, ask.wallet)]) if t.status is TopUpStatus.SETTLING]
    return {link.need for link in await find_links(conn, settling)}
