"""One block's decisions at the head: rows in, `policy.plan_change`, rows and events out, in the block's transaction."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from chains.amounts import format_amount
from chains.model import Balance, Holding
from config.model import Network, NetworkAsset, Policy, Tenant
from watcher.jobs.defer import defer
from watcher.levels import find_requirement
from watcher.model import Bill, HoldingStatus, NeedKind, NewEvent, OpenTopUp, Position, Requirement, TopUp
from watcher.opening import open_for_low
from watcher.policy import Change, Terms, Why, plan_change
from watcher.render import render_block
from watcher.store.blocks import grow_wallet_version, lock_requirements, record_decision, write_requirement
from watcher.store.top_ups import find_active, insert_top_up, update_top_up, write_destinations
from watcher.top_ups import Stamp, make_event

CREATE_SESSION_TASK = "create_session"


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator declared, as far as one network's decisions need it."""

    network: Network
    tenants: Mapping[str, Tenant]

    def policy(self, row: Mapping[str, Any]) -> Policy:
        """The policy that a requirement names; one without rules when the config has dropped it since."""
        tenant = self.tenants.get(row["tenant"])
        found = tenant.policies.get(row["policy"]) if tenant else None
        return found or Policy(name=row["policy"], version=row["policy_version"], networks=())


@dataclass(frozen=True, slots=True)
class Judged:
    """One requirement at one block: what was known, and what follows."""

    row: Mapping[str, Any]
    """The requirement with its wallet's words, as `lock_requirements` gives it."""
    tenant: Tenant | None
    policy: Policy
    asset: NetworkAsset
    position: Position
    change: Change


async def decide(
    conn: AsyncConnection,
    rules: Rules,
    balances: Sequence[Balance],
    *,
    beside: Collection[tuple[str, str]],
    transaction_cost: int | None,
    stamp: Stamp,
) -> list[NewEvent]:
    """Judge every requirement on these balances; the events are to be recorded last in the transaction.

    `beside` are (tenant, wallet) pairs that the transaction goes on to change, to be locked together with the others.
    """
    by_holding = {b.holding: b for b in balances}
    rows = await lock_requirements(conn, by_holding, beside=beside)
    active = await find_active(conn, sorted({(r["tenant"], r["wallet"]) for r in rows}))
    await _note_baselines(conn, active, by_holding)
    groups: dict[tuple[str, str], str] = {}
    events: list[NewEvent] = []
    for row in rows:
        balance = by_holding[Holding(row["network"], row["asset"], row["address"])]
        judged = judge(rules, row, balance, active, transaction_cost=transaction_cost, now=stamp.now)
        if judged is not None:
            group = groups.setdefault((row["tenant"], row["wallet"]), stamp.new_id("grp"))
            events += await _apply(conn, rules, judged, group=group, stamp=stamp)
        elif row["watch_only"] and row["status"] == HoldingStatus.UNKNOWN:
            await write_requirement(conn, row, {"status": HoldingStatus.OK.value})
    return events


async def _note_baselines(conn: AsyncConnection, active: Sequence[TopUp], balances: Mapping[Holding, Balance]) -> None:
    """A new wallet is asked for before it was read; its first balances are what a rise is measured from."""
    for top_up in active:
        known = [
            replace(d, baseline=balances[d.holding].amount, since=balances[d.holding].at.number)
            if d.baseline is None and d.holding in balances
            else d
            for d in top_up.destinations
        ]
        if tuple(known) != top_up.destinations:
            await update_top_up(conn, top_up.id, {"destinations": write_destinations(known)})


def judge(
    rules: Rules,
    row: Mapping[str, Any],
    balance: Balance,
    active: Sequence[TopUp],
    *,
    transaction_cost: int | None,
    now: datetime,
) -> Judged | None:
    """The change of one requirement; None for what can't be judged: no level, unknown fee, unknown asset."""
    asset, policy = rules.network.find_asset(row["asset"]), rules.policy(row)
    requirement = None if row["watch_only"] else find_requirement(row, policy, transaction_cost)
    if asset is None or requirement is None:
        return None
    position = Position(
        requirement=requirement,
        balance=balance.amount,
        at=balance.at,
        status=HoldingStatus(row["status"]),
        waiting=row["waiting"],
        paused_until=row["asks_paused_until"],
        ended_at=row["ended_at"],
        top_ups=tuple(_reaching(requirement, active)),
    )
    tenant = rules.tenants.get(row["tenant"])
    terms = Terms(
        asset=asset,
        country=row["country"],
        onramp=tenant is not None and tenant.stripe_secret_key is not None,
        cooldown=timedelta(seconds=policy.cooldown_seconds),
    )
    return Judged(row, tenant, policy, asset, position, plan_change(position, terms, now=now))


def _reaching(requirement: Requirement, active: Sequence[TopUp]) -> list[OpenTopUp]:
    return [
        OpenTopUp(t.id, t.status, t.asked)
        for t in active
        if (t.tenant, t.wallet) == (requirement.tenant, requirement.wallet)
        and any(d.holding == requirement.holding for d in t.destinations)
    ]


async def _apply(conn: AsyncConnection, rules: Rules, judged: Judged, *, group: str, stamp: Stamp) -> list[NewEvent]:
    row, before, change = judged.row, judged.position.status, judged.change
    values: dict[str, Any] = {"status": change.status.value, "waiting": change.waiting}
    if change.recovered:
        values["ended_at"] = None
    if any(row[name] != value for name, value in values.items()):
        await write_requirement(conn, row, values)
    events = []
    if name := find_wallet_event(before, change.status):
        events.append(await _wallet_event(conn, rules, judged, name=name, stamp=stamp))
    top_up = None
    if change.open is not None and judged.tenant is not None:
        top_up = await _open(conn, rules, judged, change.open, judged.tenant, group=group, stamp=stamp)
        events.append(await make_event(conn, top_up, "opened", stamp.new_id("evt")))
    if top_up is not None or before is not change.status:
        await record_decision(conn, _decision(judged, top_up, stamp))
    return events


def find_wallet_event(before: HoldingStatus, after: HoldingStatus) -> str | None:
    """`low`, `critical` or `recovered`; None where nothing new is to be told."""
    bad = (HoldingStatus.LOW, HoldingStatus.CRITICAL)
    if after is before or (before is HoldingStatus.CRITICAL and after is HoldingStatus.LOW):
        return None
    if after in bad:
        return after.value
    return "recovered" if before in bad else None


async def _wallet_event(conn: AsyncConnection, rules: Rules, judged: Judged, *, name: str, stamp: Stamp) -> NewEvent:
    row, position, asset = judged.row, judged.position, judged.asset.asset
    version = await grow_wallet_version(conn, row["tenant"], row["wallet"], now=stamp.now)
    return NewEvent(
        id=stamp.new_id("evt"),
        tenant=row["tenant"],
        type=f"wallet.{name}",
        subject_object="wallet",
        subject_id=row["wallet"],
        version=version,
        livemode=judged.tenant is not None and judged.tenant.livemode,
        data={
            "wallet": {"object": "wallet", "id": row["wallet"], "version": version},
            "holding": {
                "network": rules.network.name,
                "asset": asset.symbol,
                "decimals": asset.decimals,
                "address": row["address"],
                "balance": format_amount(position.balance, asset.decimals),
                "trigger": format_amount(position.requirement.trigger, asset.decimals),
                "status": judged.change.status.value,
                "as_of": render_block(position.at),
            },
            "ask": None if judged.change.why is Why.FINE else {"code": judged.change.why.value},
        },
    )


async def _open(
    conn: AsyncConnection, rules: Rules, judged: Judged, bill: Bill, tenant: Tenant, *, group: str, stamp: Stamp
) -> TopUp:
    top_up = open_for_low(
        bill,
        judged.position.requirement,
        judged.row,
        tenant=tenant,
        policy=judged.policy,
        network=rules.network,
        group=group,
        stamp=stamp,
    )
    await insert_top_up(conn, top_up, NeedKind.FUNDING, top_up.wallet)
    if rules.network.open_confirmations == 1:
        await defer_session(conn, top_up)
    return top_up


async def defer_session(conn: AsyncConnection, top_up: TopUp) -> None:
    """Have the onramp asked for a session once this transaction is committed."""
    await update_top_up(conn, top_up.id, {"session_deferred": True})
    await defer(conn, CREATE_SESSION_TASK, top_up=top_up.id)


def _decision(judged: Judged, top_up: TopUp | None, stamp: Stamp) -> dict[str, Any]:
    row, position, requirement = judged.row, judged.position, judged.position.requirement
    return {
        "id": stamp.new_id("dec"),
        "tenant": row["tenant"],
        "wallet": row["wallet"],
        "network": row["network"],
        "height": position.at.number,
        "hash": position.at.hash,
        "inputs": {
            "asset": row["asset"],
            "address": row["address"],
            "balance": str(position.balance),
            "trigger": str(requirement.trigger),
            "target": str(requirement.target),
            "buffer": str(requirement.buffer),
            "status": position.status.value,
            "waiting": position.waiting,
            "top_ups": [{"id": t.id, "status": t.status.value} for t in position.top_ups],
        },
        "policy_version": row["policy_version"],
        "outcome": judged.change.why.value,
        "top_up": None if top_up is None else top_up.id,
        "created_at": stamp.now,
    }
