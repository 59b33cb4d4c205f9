"""A wallet registered, replaced or removed: every row that it means, in one transaction, live within a block."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, update
from sqlalchemy.ext.asyncio import AsyncConnection

from chains.model import Holding, NetworkId
from config.errors import FieldError
from config.model import Network, NetworkAsset, Settings, Tenant
from watcher.apply import defer_session
from watcher.asks.lifecycle import cancel_asks_elsewhere
from watcher.clock import Stamp
from watcher.model import NeedKind, NewEvent, TopUpStatus
from watcher.opening import make_destination, open_for_new_wallet
from watcher.store.asks import COUNTED, find_links
from watcher.store.tables import wallet
from watcher.store.top_ups import find_active, insert_top_up, link_funding, settle_needs
from watcher.store.wallets import (
    IP_KEPT,
    claim_wallet,
    find_addresses,
    find_user,
    save_addresses,
    save_requirements,
    save_wallet,
    tell_nudge,
    tell_watching,
)
from watcher.top_ups import NeedState, make_event, move_top_up
from watcher.wallet_plan import Plan, WalletSpec, list_requirements, list_sold, plan_registration


class AddressIsSet(Exception):
    """A wallet's address on a network is write-once: it changes only by the replace call."""

    def __init__(self, networks: Sequence[str]) -> None:
        """`networks`: catalogue names."""
        super().__init__("the address is set already on " + ", ".join(networks))
        self.networks = tuple(networks)


@dataclass(frozen=True, slots=True)
class Registered:
    """What came of it."""

    created: bool
    changed: bool
    events: tuple[NewEvent, ...] = ()
    """To be recorded last in the transaction."""


async def register_wallet(
    conn: AsyncConnection, spec: WalletSpec, tenant: Tenant, settings: Settings, stamp: Stamp
) -> Registered:
    """Create or replace. Raises `Refused`, `AddressIsSet`; the events are to be recorded last in the transaction."""
    user = await find_user(conn, tenant.id, spec.user) if spec.user is not None else None
    stranger = spec.user is not None and user is None
    found = [FieldError("/user", "unknown_user", "no such user; PUT /v1/users/{id} first")] if stranger else []
    plan = plan_registration(spec, tenant, settings, found=found)
    before = await claim_wallet(conn, tenant.id, spec.id)
    alive = before is not None and before["deleted_at"] is None
    if alive and before is not None and before["body"] == dict(spec.body):
        mine = (wallet.c.tenant == tenant.id, wallet.c.id == spec.id)
        await conn.execute(update(wallet).where(*mine).values(**_customer_ip(spec, before, stamp)))
        return Registered(created=False, changed=False)
    known = await find_addresses(conn, tenant.id, spec.id)
    if clashing := [n for n, address in plan.addresses.items() if known.get(n, address) != address]:
        raise AddressIsSet([settings.networks[n].name for n in clashing])
    await save_wallet(conn, _wallet_row(spec, tenant, before, stamp))
    await save_addresses(conn, tenant.id, spec.id, plan.addresses, now=stamp.now)
    rows = list_requirements(spec, tenant, plan, settings)
    kept = await save_requirements(conn, tenant.id, spec.id, rows, now=stamp.now)
    events: list[NewEvent] = []
    if alive:
        pair = (tenant.id, spec.id)
        events += await cancel_asks_elsewhere(conn, pair, plan.addresses, settings.networks, stamp)
        events += await withdraw(conn, pair, kept, TopUpStatus.RETRACTED, stamp, networks=plan.addresses)
    if not alive:
        country = user["country"] if user is not None else None
        sold = list_sold(plan, settings, tenant, country=country)
        events += await _ask_for_new_wallet(conn, spec, plan, sold, tenant=tenant, stamp=stamp)
    await tell_watching(conn, {*plan.addresses, *known})
    await tell_nudge(conn, plan.addresses)
    return Registered(created=not alive, changed=True, events=tuple(events))


async def remove_wallet(
    conn: AsyncConnection, wallet_id: str, tenant: Tenant, settings: Settings, stamp: Stamp
) -> tuple[NewEvent, ...] | None:
    """Stop watching, cancel asks and withdraw unpaid top-ups; None when there is no such wallet. A tombstone stays."""
    before = await claim_wallet(conn, tenant.id, wallet_id)
    if before is None or before["deleted_at"] is not None:
        return None
    known = await find_addresses(conn, tenant.id, wallet_id)
    await save_requirements(conn, tenant.id, wallet_id, [], now=stamp.now)
    await save_addresses(conn, tenant.id, wallet_id, {}, now=stamp.now)
    mine = (wallet.c.tenant == tenant.id, wallet.c.id == wallet_id)
    dead = {"deleted_at": stamp.now, "updated_at": stamp.now, "version": before["version"] + 1}
    dead |= {"customer_ip_address": None, "customer_ip_until": None}
    await conn.execute(update(wallet).where(*mine).values(**dead))
    events = await withdraw(conn, (tenant.id, wallet_id), (), TopUpStatus.CANCELLED, stamp, networks=())
    events += await cancel_asks_elsewhere(conn, (tenant.id, wallet_id), (), settings.networks, stamp)
    await tell_watching(conn, known)
    return tuple(events)


def _wallet_row(spec: WalletSpec, tenant: Tenant, before: RowMapping | None, stamp: Stamp) -> dict[str, Any]:
    return {
        "tenant": tenant.id,
        "id": spec.id,
        "user_id": spec.user,
        "label": spec.label,
        "policy": spec.policy,
        "funding": None if spec.funding is None else [dict(entry) for entry in spec.funding],
        "link_mode": spec.link_mode,
        "notify": spec.notify,
        "initial": spec.initial,
        "allow_off_curve": spec.allow_off_curve,
        "asks_paused_until": spec.asks_paused_until,
        **_customer_ip(spec, before, stamp),
        "metadata": dict(spec.metadata),
        "body": dict(spec.body),
        "version": 1 if before is None else before["version"] + 1,
        "created_at": stamp.now,
        "updated_at": stamp.now,
        "deleted_at": None,
    }


def _customer_ip(spec: WalletSpec, before: RowMapping | None, stamp: Stamp) -> dict[str, Any]:
    """The address given now, or the one given earlier, for the rest of its day."""
    until = (spec.told_at or stamp.now) + IP_KEPT
    if spec.customer_ip_address is not None and until > stamp.now:
        return {"customer_ip_address": spec.customer_ip_address, "customer_ip_until": until}
    if before is None:
        return {"customer_ip_address": None, "customer_ip_until": None}
    return {name: before[name] for name in ("customer_ip_address", "customer_ip_until")}


async def _ask_for_new_wallet(
    conn: AsyncConnection,
    spec: WalletSpec,
    plan: Plan,
    sold: Sequence[tuple[Network, NetworkAsset]],
    *,
    tenant: Tenant,
    stamp: Stamp,
) -> list[NewEvent]:
    """The guide's first request: one link for the whole wallet. While asks are paused, the link waits."""
    destinations = tuple(
        make_destination(n, a, Holding(n.id, a.asset.reference, plan.addresses[n.id])) for n, a in sold
    )
    if plan.created is None or not destinations or spec.initial == "wait_for_drop":
        return []
    top_up = open_for_new_wallet(spec, destinations, plan.created, tenant=tenant, policy=plan.policy, stamp=stamp)
    await insert_top_up(conn, top_up)
    await link_funding(conn, top_up, NeedKind.NEW_WALLET)
    top_up = await defer_session(conn, top_up, now=stamp.now)
    return [await make_event(conn, top_up, "opened", stamp.new_id("evt"))]


async def withdraw(
    conn: AsyncConnection,
    mine: tuple[str, str],
    kept: Collection[Holding],
    status: TopUpStatus,
    stamp: Stamp,
    *,
    networks: Collection[NetworkId],
) -> list[NewEvent]:
    """End the open top-ups none of whose holdings is wanted any more: not by levels, and by no need on `networks`."""
    events: list[NewEvent] = []
    found = [t for t in await find_active(conn, [mine]) if t.status is TopUpStatus.OPEN]
    links = await find_links(conn, [t.id for t in found])
    needed = {
        x.top_up for x in links if x.need.kind in COUNTED and x.state.living and x.need.holding.network in networks
    }
    for top_up in found:
        if any(d.holding in kept for d in top_up.destinations):
            continue
        if top_up.id in needed:
            await settle_needs(conn, top_up.id, NeedState[TopUpStatus.CANCELLED], now=stamp.now)
        else:
            events.append((await move_top_up(conn, top_up, status, stamp))[1])
    return events
