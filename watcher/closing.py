"""What the closing depth says about asks: landed, needless, or neither. `policy.plan_close` judges, this applies it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from chains.amounts import format_amount
from chains.model import Balance, Holding, NetworkId, Receipt
from watcher.apply import defer_session
from watcher.asks.close import close_needs
from watcher.asks.follow import tell_asks_of
from watcher.asks.model import State
from watcher.clock import Stamp
from watcher.followed import find_since_asked, is_due, judge_close, read_known
from watcher.jobs.defer import defer
from watcher.judge import Rules
from watcher.model import HoldingStatus, NewEvent, Outcome, Session, TopUp, TopUpStatus
from watcher.opening import WALLET_SCOPE
from watcher.policy import Close, find_outcome
from watcher.render import render_block
from watcher.store.asks import COUNTED
from watcher.store.tables import session, top_up
from watcher.store.top_ups import find_sessions, lock_top_up, read_session, read_top_up, update_top_up
from watcher.top_ups import move_top_up

LOOK_TASK = "look_at_session"
GIVEN_UP: Final = "given_up"
"""The failure of a paid ask that was overdue and that the backend has written off; what arrives is landed, late."""

FOLLOWED_FOR: Final = timedelta(days=30)
"""What was given up is still looked for on chain for this long."""
RECEIPT_PATIENCE = timedelta(seconds=60)
"""A paid ask whose balance is there waits this long for Stripe to name the transaction, so as to say what arrived."""


@dataclass(frozen=True, slots=True)
class Settled:
    """Balances and receipts at the closing depth, read before the block's transaction."""

    balances: Mapping[Holding, Balance] = field(default_factory=dict)
    receipts: Mapping[str, Receipt] = field(default_factory=dict)
    """By on-chain transaction, as Stripe named it."""
    transaction_cost: int | None = None
    """At the head, base units of the native coin; levels may be counted in it."""


async def list_followed(
    conn: AsyncConnection, network: NetworkId, *, now: datetime
) -> list[tuple[TopUp, list[Session]]]:
    """Top-ups that funds may still arrive for on this network, with their sessions that Stripe says are complete."""
    here = or_(top_up.c.scope == WALLET_SCOPE, top_up.c.scope.startswith(f"{network}/", autoescape=True))
    lately = top_up.c.updated_at > now - FOLLOWED_FOR
    given_up = and_(top_up.c.status == "failed", top_up.c.failure == GIVEN_UP, lately)
    query = select(top_up).where(or_(top_up.c.status.in_(["open", "settling"]), given_up), here).order_by(top_up.c.id)
    asks = [read_top_up(row) for row in (await conn.execute(query)).mappings()]
    asks = [a for a in asks if any(d.holding.network == network for d in a.destinations)]
    done = select(session).where(session.c.top_up.in_([a.id for a in asks]), session.c.transaction.is_not(None))
    sessions = [read_session(row) for row in (await conn.execute(done)).mappings()]
    return [(a, [s for s in sessions if s.top_up == a.id]) for a in asks]


async def close(
    conn: AsyncConnection,
    rules: Rules,
    asks: Sequence[str],
    settled: Settled,
    *,
    height: int,
    stamp: Stamp,
) -> list[NewEvent]:
    """Land, suspect, or mint for what has waited long enough. Events are to be recorded last in the transaction."""
    events: list[NewEvent] = []
    for ask_id in asks:
        found = await lock_top_up(conn, ask_id)
        if found is None:
            continue
        await _mint_when_due(conn, rules, found, height=height, stamp=stamp)
        if landed := await _land_by_receipt(conn, found, settled, stamp):
            events.append(landed)
        elif found.status.active and (judged := await _close_by_balance(conn, rules, found, settled, stamp)):
            events.append(judged)
    moved = {event.subject_id for event in events}
    events += await tell_asks_of(conn, moved, rules.networks, stamp)
    return events + await close_needs(conn, rules.network, rules.networks, settled.balances, stamp)


async def _mint_when_due(conn: AsyncConnection, rules: Rules, ask: TopUp, *, height: int, stamp: Stamp) -> None:
    """Some networks wait for more confirmations before a person is asked; a need gone by then is not asked for."""
    if not is_due(rules, ask, height=height):
        return
    known = (await read_known(conn, [ask]))[ask.id]
    low = any(row["status"] in (HoldingStatus.LOW.value, HoldingStatus.CRITICAL.value) for row in known.rows.values())
    if low or any(x.state is State.SHORT for x in known.links if x.need.kind in COUNTED):
        await defer_session(conn, ask, now=stamp.now)


async def _land_by_receipt(conn: AsyncConnection, ask: TopUp, settled: Settled, stamp: Stamp) -> NewEvent | None:
    """Stripe's own transaction, found at the closing depth: landed even when spent at once, or given up before."""
    if ask.status not in (TopUpStatus.SETTLING, TopUpStatus.FAILED):
        return None
    receipts = await _receipts(conn, ask, settled)
    if not receipts:
        return None
    outcome = find_outcome(ask.asked, [r.amount for _, r in receipts])
    at = receipts[-1][1].at
    received = [render_receipt(ask, attempt, receipt) for attempt, receipt in receipts]
    proof = {**render_block(at), "transaction": receipts[-1][1].transaction}
    values = {"outcome": outcome, "received": received}
    return (await move_top_up(conn, ask, TopUpStatus.LANDED, stamp, proof=proof, values=values))[1]


async def _close_by_balance(
    conn: AsyncConnection, rules: Rules, ask: TopUp, settled: Settled, stamp: Stamp
) -> NewEvent | None:
    known = (await read_known(conn, [ask]))[ask.id]
    verdict = judge_close(rules, ask, known, settled.balances, settled.transaction_cost)
    if verdict is Close.NOTHING:
        return None
    if verdict is Close.FALLEN:
        await update_top_up(conn, ask.id, {"risen_at": None})
        return None
    if verdict is Close.RISEN or ask.risen_at is None:
        await update_top_up(conn, ask.id, {"risen_at": stamp.now})
        await defer(conn, LOOK_TASK, top_up=ask.id)
        return None
    if stamp.now - ask.risen_at < RECEIPT_PATIENCE:
        return None
    amounts = find_since_asked(ask, settled.balances)
    at = max((b.at for b in amounts.values()), key=lambda block: block.number)
    values = {"outcome": Outcome.FULL.value}
    return (await move_top_up(conn, ask, TopUpStatus.LANDED, stamp, proof=render_block(at), values=values))[1]


def render_receipt(ask: TopUp, attempt: Session, receipt: Receipt) -> dict[str, Any]:
    """One entry of `received`."""
    d = next(d for d in ask.destinations if d.holding == receipt.holding)
    return {
        "session": attempt.stripe_id,
        "network": d.network_name,
        "asset": d.symbol,
        "decimals": d.decimals,
        "amount": format_amount(receipt.amount, d.decimals),
        "transaction": receipt.transaction,
    }


async def _receipts(conn: AsyncConnection, ask: TopUp, settled: Settled) -> list[tuple[Session, Receipt]]:
    holdings = {d.holding for d in ask.destinations}
    found = [(s, settled.receipts.get(s.transaction or "")) for s in await find_sessions(conn, ask.id)]
    return [(s, r) for s, r in found if r is not None and r.holding in holdings]
