"""A plan for one holding, made into rows and events."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from chains.amounts import format_amount
from config.model import Network, Tenant
from watcher.asks.bills import make_need_bill
from watcher.asks.model import ASK_KINDS, Need
from watcher.clock import Stamp
from watcher.judge import Judged
from watcher.model import Bill, HoldingStatus, NeedKind, NewEvent, TopUp, TopUpStatus
from watcher.opening import make_destination, measure_anew, open_for_holding
from watcher.planning import Plan, find_expected
from watcher.policy import Why
from watcher.render import find_link_status, note_lowered, render_asset_bill, render_block
from watcher.store.asks import find_ask, link_needs, update_need, write_lines
from watcher.store.blocks import grow_wallet_version, record_decision, write_requirement
from watcher.store.holds import Holds, find_holds
from watcher.store.top_ups import find_sessions, find_top_up, insert_top_up, link_funding, update_top_up
from watcher.store.turns import wait_turn
from watcher.top_ups import make_event, move_top_up, note_step

CREATE_SESSION_TASK = "create_session"


async def apply(
    conn: AsyncConnection, network: Network, judged: Judged, plan: Plan, *, group: str, holds: Holds, stamp: Stamp
) -> list[NewEvent]:
    """Write how the place stands now and carry the plan out. Events are to be recorded last in the transaction."""
    events = await _write_status(conn, network, judged, stamp)
    top_up = None
    if plan.open is not None and judged.tenant is not None:
        top_up, told = await _open(
            conn, network, judged, plan.open, plan, tenant=judged.tenant, group=group, holds=holds, stamp=stamp
        )
        events += told
    elif plan.joins is not None:
        events += await _join(conn, judged, plan, stamp)
    elif plan.withdraws is not None and (needless := await find_top_up(conn, plan.withdraws)) is not None:
        events.append((await move_top_up(conn, needless, TopUpStatus.RETRACTED, stamp))[1])
    await _write_needs(conn, network, judged, plan, stamp)
    change, position = judged.facts.change, judged.position
    moved = change is not None and position is not None and position.status is not change.status
    if top_up is not None or moved:
        await record_decision(conn, _decision(judged, top_up, stamp))
    return events


async def _write_status(conn: AsyncConnection, network: Network, judged: Judged, stamp: Stamp) -> list[NewEvent]:
    change, position, row = judged.facts.change, judged.position, judged.place.row
    if change is None or position is None or row is None:
        return []
    values: dict[str, Any] = {"status": change.status.value, "waiting": change.waiting}
    if change.recovered:
        values["ended_at"] = None
    if any(row[name] != value for name, value in values.items()):
        await write_requirement(conn, row, values)
    name = find_wallet_event(position.status, change.status)
    return [await _wallet_event(conn, network, judged, name=name, stamp=stamp)] if name else []


def find_wallet_event(before: HoldingStatus, after: HoldingStatus) -> str | None:
    """`low`, `critical` or `recovered`; None where nothing new is to be told."""
    if after is before or (before is HoldingStatus.CRITICAL and after is HoldingStatus.LOW):
        return None
    if after.short:
        return after.value
    return "recovered" if before.short else None


async def _wallet_event(
    conn: AsyncConnection, network: Network, judged: Judged, *, name: str, stamp: Stamp
) -> NewEvent:
    place, position, change = judged.place, judged.position, judged.facts.change
    if position is None or change is None:
        raise ValueError("a holding without levels is neither low nor recovered")
    version = await grow_wallet_version(conn, place.tenant, place.wallet, now=stamp.now)
    asset = judged.facts.asset.asset
    return NewEvent(
        id=stamp.new_id("evt"),
        tenant=place.tenant,
        type=f"wallet.{name}",
        subject_object="wallet",
        subject_id=place.wallet,
        version=version,
        livemode=judged.tenant is not None and judged.tenant.livemode,
        data={
            "wallet": {"object": "wallet", "id": place.wallet, "version": version},
            "holding": {
                "network": network.name,
                "asset": asset.symbol,
                "decimals": asset.decimals,
                "address": place.holding.address,
                "balance": format_amount(position.balance, asset.decimals),
                "trigger": format_amount(position.requirement.trigger, asset.decimals),
                "status": change.status.value,
                "as_of": render_block(position.at),
            },
            "ask": None if change.why is Why.FINE else {"code": change.why.value},
        },
    )


async def _open(
    conn: AsyncConnection,
    network: Network,
    judged: Judged,
    bill: Bill,
    plan: Plan,
    *,
    tenant: Tenant,
    group: str,
    holds: Holds,
    stamp: Stamp,
) -> tuple[TopUp, list[NewEvent]]:
    needs = [n for n in judged.facts.needs if n.key in plan.needs]
    ends = [n.expires_at for n in needs]
    if plan.funding:
        ends.append(stamp.now + timedelta(seconds=judged.policy.expires_seconds))
    top_up = open_for_holding(
        bill,
        judged.place,
        make_destination(
            network, bill.asset, judged.place.holding, baseline=find_expected(judged.facts), since=bill.at.number
        ),
        tenant=tenant,
        network=network,
        reason=_reason(judged, needs, plan),
        notify=judged.place.words["notify"] and await _may_notify(conn, needs, plan),
        group=group,
        expires_at=max(ends),
        stamp=stamp,
    )
    events = []
    if plan.replaces is not None and (old := await find_top_up(conn, plan.replaces)) is not None:
        values = {"superseded_by": top_up.id}
        events.append((await move_top_up(conn, old, TopUpStatus.SUPERSEDED, stamp, values=values))[1])
    if network.open_confirmations == 1:
        top_up = replace(top_up, session_deferred=True, withheld=holds.cover(top_up))
    await insert_top_up(conn, top_up)
    if plan.funding:
        await link_funding(conn, top_up, NeedKind.FUNDING)
    await link_needs(conn, top_up.id, plan.needs)
    if top_up.session_deferred:
        await wait_turn(conn, top_up, at=stamp.now)
    events.append(await make_event(conn, top_up, "opened", stamp.new_id("evt")))
    return top_up, events


def _reason(judged: Judged, needs: list[Need], plan: Plan) -> dict[str, Any]:
    policy = {"policy": judged.policy.name, "policy_version": judged.policy.version}
    position = judged.position
    if plan.funding and position is not None:
        trigger = format_amount(position.requirement.trigger, judged.facts.asset.asset.decimals)
        return {"code": "below_trigger", "trigger": trigger, **policy}
    return {"code": needs[0].key.kind.value if needs else "asked", **policy}


async def _may_notify(conn: AsyncConnection, needs: list[Need], plan: Plan) -> bool:
    """Whether somebody wants the person to be told: an ask with `notify: false` is shown by its backend."""
    if plan.funding:
        return True
    asks = [await find_ask(conn, (n.key.tenant, n.key.kind, n.key.id)) for n in needs if n.key.kind in ASK_KINDS]
    return not asks or any(ask is not None and ask.notify for ask in asks)


async def _join(conn: AsyncConnection, judged: Judged, plan: Plan, stamp: Stamp) -> list[NewEvent]:
    """The open one is for these, too: it lives as long as they do, and is told of where one of them wants that."""
    standing = next(t for t in judged.facts.top_ups if t.id == plan.joins)
    new = plan.needs - standing.awaited
    found = await find_top_up(conn, standing.id)
    funding = plan.funding and not standing.for_funding
    if found is None or (not new and not funding):
        return []
    if funding:
        await link_funding(conn, found, NeedKind.FUNDING)
    await link_needs(conn, found.id, new)
    needs = [n for n in judged.facts.needs if n.key in new]
    ends = [found.expires_at, *(n.expires_at for n in needs)]
    if funding:
        ends.append(stamp.now + timedelta(seconds=judged.policy.expires_seconds))
    values = measure_anew(found, find_expected(judged.facts), judged.facts.at) if plan.anew else {}
    if plan.lowered:
        values["bill"] = note_lowered(values.get("bill", found.bill))
    values["expires_at"] = max(ends)
    wanted = judged.place.words["notify"] and await _may_notify(conn, needs, plan)
    if wanted and not found.notify:
        return await _start_to_notify(conn, found, values, stamp)
    await update_top_up(conn, found.id, {**values, "version": found.version + 1, "updated_at": stamp.now})
    return []


async def _start_to_notify(conn: AsyncConnection, found: TopUp, values: dict[str, Any], stamp: Stamp) -> list[NewEvent]:
    """A link that was told of as nothing to tell the person is told of once more."""
    values = {**values, "notify": True}
    sessions = await find_sessions(conn, found.id)
    if find_link_status(found, sessions[-1] if sessions else None) == "ready":
        return [(await note_step(conn, found, "notified", stamp, event="link_ready", values=values))[1]]
    await update_top_up(conn, found.id, {**values, "version": found.version + 1, "updated_at": stamp.now})
    return []


async def _write_needs(conn: AsyncConnection, network: Network, judged: Judged, plan: Plan, stamp: Stamp) -> None:
    before = {n.key: n for n in judged.place.needs}
    for need in judged.facts.needs:
        bill = render_asset_bill(make_need_bill(need, judged.facts, plan), network)
        was = before[need.key]
        if need == was and _same_bill(bill, was.bill):
            continue
        values = {
            "state": need.state.value,
            "lines": write_lines(need.lines),
            "amount": need.amount,
            "refusal": need.refusal,
            "since": need.since,
            "bill": bill,
            "updated_at": stamp.now,
        }
        await update_need(conn, need.key, values)


def _same_bill(new: dict[str, Any], old: Any) -> bool:
    """Whether nothing but the block has changed."""
    return old is not None and {**new, "as_of": None} == {**old, "as_of": None}


async def defer_session(conn: AsyncConnection, top_up: TopUp, *, now: datetime, pressed: bool = False) -> TopUp:
    """Have the onramp asked for a session once this transaction is committed and its turn has come.

    While asks are held back it is withheld from the start.
    """
    withheld = (await find_holds(conn)).cover(top_up)
    await wait_turn(conn, top_up, at=now, pressed=pressed)
    return await update_top_up(conn, top_up.id, {"session_deferred": True, "withheld": withheld})


def _decision(judged: Judged, top_up: TopUp | None, stamp: Stamp) -> dict[str, Any]:
    place, facts, position = judged.place, judged.facts, judged.position
    levels: dict[str, Any] = {}
    if position is not None:
        requirement = position.requirement
        levels = {name: str(getattr(requirement, name)) for name in ("trigger", "target", "buffer")}
        levels |= {"status": position.status.value, "waiting": position.waiting}
    return {
        "id": stamp.new_id("dec"),
        "tenant": place.tenant,
        "wallet": place.wallet,
        "network": place.holding.network,
        "height": facts.at.number,
        "hash": facts.at.hash,
        "inputs": {
            "asset": place.holding.asset,
            "address": place.holding.address,
            "balance": str(facts.balance),
            **levels,
            "needs": [{"kind": n.key.kind, "id": n.key.id, "amount": str(n.amount)} for n in facts.needs],
            "top_ups": [{"id": t.id, "status": t.status.value} for t in facts.top_ups],
        },
        "policy_version": judged.policy.version,
        "outcome": facts.change.why.value if facts.change is not None else "asked" if top_up else "fine",
        "top_up": None if top_up is None else top_up.id,
        "created_at": stamp.now,
    }
