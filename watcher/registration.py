"""A wallet registered, replaced or removed: every row that it means, in one transaction, live within a block."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import RowMapping, update
from sqlalchemy.ext.asyncio import AsyncConnection

from chains.addresses import parse_address
from chains.errors import BadAddress
from chains.model import NATIVE, Family, Holding, NetworkId
from config.errors import FieldError
from config.model import CreatedFunding, LowFunding, Network, NetworkAsset, Policy, Settings, Tenant
from config.requirements import parse_funding
from watcher.decide import defer_session
from watcher.levels import moves_with_fee, write_levels
from watcher.model import Destination, HoldingStatus, NeedKind, NewEvent, TopUpStatus
from watcher.opening import make_destination, open_for_new_wallet
from watcher.policy import find_refusal
from watcher.store.tables import wallet
from watcher.store.top_ups import find_active, insert_top_up
from watcher.store.wallets import (
    claim_wallet,
    find_addresses,
    save_addresses,
    save_requirements,
    save_wallet,
    tell_watching,
    user_exists,
)
from watcher.top_ups import Stamp, make_event, move_top_up

IP_KEPT: Final = timedelta(hours=24)
"""An IP address goes to Stripe with the ask that it came for, and is forgotten after this."""
EIP155: Final = "eip155"
"""The key of an address that stands for every EVM network of the policy."""


class Refused(Exception):
    """The registration has faults; nothing was stored."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        """All faults at once."""
        super().__init__("; ".join(f"{e.field}: {e.message}" for e in errors))
        self.errors = tuple(errors)


class AddressIsSet(Exception):
    """A wallet's address on a network is write-once: it changes only by the replace call."""

    def __init__(self, networks: Sequence[str]) -> None:
        """`networks`: catalogue names."""
        super().__init__("the address is set already on " + ", ".join(networks))
        self.networks = tuple(networks)


@dataclass(frozen=True, slots=True)
class WalletSpec:
    """A wallet as its backend describes it, shapes checked, meaning not yet."""

    id: str
    addresses: Mapping[str, str]
    policy: str
    funding: Sequence[Mapping[str, Any]] | None = None
    user: str | None = None
    label: str | None = None
    link_mode: str = "eager"
    notify: bool = True
    initial: str = "ask"
    allow_off_curve: bool = False
    asks_paused_until: datetime | None = None
    customer_ip_address: str | None = field(default=None, repr=False)
    metadata: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    """The body as it came, without the IP address: what tells a repeated write from another one."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A registration understood: the addresses and rules that it comes to."""

    policy: Policy
    addresses: Mapping[NetworkId, str]
    low: tuple[LowFunding, ...]
    created: CreatedFunding | None


@dataclass(frozen=True, slots=True)
class Registered:
    """What came of it."""

    created: bool
    changed: bool
    events: tuple[NewEvent, ...] = ()
    """To be recorded last in the transaction."""


def plan_registration(spec: WalletSpec, tenant: Tenant, settings: Settings) -> Plan:
    """Addresses parsed and rules resolved. Raises `Refused` with every fault. Pure."""
    errors: list[FieldError] = []
    policy = tenant.policies.get(spec.policy)
    if policy is None:
        known = ", ".join(sorted(tenant.policies)) or "none"
        raise Refused([FieldError("/policy", "unknown_policy", f"no such policy; configured are: {known}")])
    addresses = _plan_addresses(spec, policy, settings, errors)
    low, created = policy.low, policy.created
    if spec.funding is not None:
        parsed = parse_funding(spec.funding, settings.networks, pointer="/funding")
        errors += parsed.errors
        low, created = parsed.low, parsed.created
        errors += _find_homeless(spec.funding, low, addresses, settings)
    if errors:
        raise Refused(errors)
    return Plan(policy, addresses, tuple(entry for entry in low if entry.network in addresses), created)


def _plan_addresses(
    spec: WalletSpec, policy: Policy, settings: Settings, errors: list[FieldError]
) -> dict[NetworkId, str]:
    addresses: dict[NetworkId, str] = {}
    for key, text in spec.addresses.items():
        pointer = f"/addresses/{key}"
        networks = _find_networks(key, policy, settings)
        if not networks:
            errors.append(FieldError(pointer, "unknown_network", "is not a configured network"))
        for network in networks:
            tokens = {a.asset.reference for a in network.assets if a.asset.reference != NATIVE}
            try:
                address = parse_address(network.family, text, allow_off_curve=spec.allow_off_curve, refused=tokens)
            except BadAddress as error:
                errors.append(FieldError(pointer, error.code, str(error)))
                break
            if addresses.setdefault(network.id, address) != address:
                message = f"gives {network.name} another address than the rest of the body"
                errors.append(FieldError(pointer, "ambiguous_address", message))
    if not spec.addresses:
        errors.append(FieldError("/addresses", "required", "names at least one network"))
    return addresses


def _find_networks(key: str, policy: Policy, settings: Settings) -> list[Network]:
    if key == EIP155:
        named = [settings.networks[n] for n in policy.networks if n in settings.networks]
        return [network for network in named if network.family is Family.EVM]
    found = settings.find_network(key)
    return [] if found is None else [found]


def _find_homeless(
    funding: Sequence[Mapping[str, Any]],
    low: Sequence[LowFunding],
    addresses: Mapping[NetworkId, str],
    settings: Settings,
) -> list[FieldError]:
    """Entries for networks on which the wallet has no address."""
    missing = {settings.networks[entry.network].name for entry in low if entry.network not in addresses}
    missing |= {entry.network for entry in low if entry.network not in addresses}
    return [
        FieldError(f"/funding/{i}/network", "no_address", "the wallet has no address on this network")
        for i, entry in enumerate(funding)
        if entry.get("network") in missing
    ]


async def register_wallet(
    conn: AsyncConnection, spec: WalletSpec, tenant: Tenant, settings: Settings, stamp: Stamp
) -> Registered:
    """Create or replace. Raises `Refused`, `AddressIsSet`; the events are to be recorded last in the transaction."""
    plan = plan_registration(spec, tenant, settings)
    if spec.user is not None and not await user_exists(conn, tenant.id, spec.user):
        raise Refused([FieldError("/user", "unknown_user", "no such user; PUT /v1/users/{id} first")])
    before = await claim_wallet(conn, tenant.id, spec.id)
    alive = before is not None and before["deleted_at"] is None
    if alive and before is not None and before["body"] == dict(spec.body):
        return Registered(created=False, changed=False)
    known = await find_addresses(conn, tenant.id, spec.id)
    if clashing := [n for n, address in plan.addresses.items() if known.get(n, address) != address]:
        raise AddressIsSet([settings.networks[n].name for n in clashing])
    await save_wallet(conn, _wallet_row(spec, tenant, before, stamp))
    await save_addresses(conn, tenant.id, spec.id, plan.addresses, now=stamp.now)
    rows = _requirement_rows(spec, tenant, plan, settings)
    gone = await save_requirements(conn, tenant.id, spec.id, rows)
    events = await _withdraw(conn, tenant.id, spec.id, gone, TopUpStatus.RETRACTED, stamp) if alive else []
    if not alive:
        events += await _ask_for_new_wallet(conn, spec, tenant, plan, settings, stamp)
    await tell_watching(conn, {*plan.addresses, *known})
    return Registered(created=not alive, changed=True, events=tuple(events))


async def remove_wallet(
    conn: AsyncConnection, wallet_id: str, tenant: Tenant, stamp: Stamp
) -> tuple[NewEvent, ...] | None:
    """Stop watching and withdraw unpaid asks; None when there is no such wallet. A tombstone stays."""
    before = await claim_wallet(conn, tenant.id, wallet_id)
    if before is None or before["deleted_at"] is not None:
        return None
    known = await find_addresses(conn, tenant.id, wallet_id)
    gone = await save_requirements(conn, tenant.id, wallet_id, [])
    await save_addresses(conn, tenant.id, wallet_id, {}, now=stamp.now)
    mine = (wallet.c.tenant == tenant.id, wallet.c.id == wallet_id)
    dead = {"deleted_at": stamp.now, "updated_at": stamp.now, "version": before["version"] + 1}
    dead |= {"customer_ip_address": None, "customer_ip_until": None}
    await conn.execute(update(wallet).where(*mine).values(**dead))
    events = await _withdraw(conn, tenant.id, wallet_id, gone, TopUpStatus.CANCELLED, stamp)
    await tell_watching(conn, known)
    return tuple(events)


def _wallet_row(spec: WalletSpec, tenant: Tenant, before: RowMapping | None, stamp: Stamp) -> dict[str, Any]:
    with_ip = spec.customer_ip_address is not None
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
        "customer_ip_address": spec.customer_ip_address,
        "customer_ip_until": stamp.now + IP_KEPT if with_ip else None,
        "metadata": dict(spec.metadata),
        "body": dict(spec.body),
        "version": 1 if before is None else before["version"] + 1,
        "created_at": stamp.now,
        "updated_at": stamp.now,
        "deleted_at": None,
    }


def _requirement_rows(spec: WalletSpec, tenant: Tenant, plan: Plan, settings: Settings) -> list[dict[str, Any]]:
    """One row for each holding that has a level, and one to watch for each that a new wallet may be funded in."""
    rows: dict[tuple[NetworkId, str], dict[str, Any]] = {}
    for network, asset in _sold_to_new(plan, settings, tenant):
        rows[network.id, asset.asset.reference] = {"level": {}, "by_fee": False, "ask": False, "watch_only": True}
    for entry in plan.low:
        levels = write_levels(entry, plan.policy)
        fee = moves_with_fee(levels)
        rows[entry.network, entry.asset] = {
            "level": levels,
            "by_fee": fee,
            "ask": entry.ask,
            "watch_only": False,
        }
    return [
        {
            **row,
            "tenant": tenant.id,
            "wallet": spec.id,
            "network": network,
            "asset": asset,
            "address": plan.addresses[network],
            "status": HoldingStatus.UNKNOWN.value,
            "waiting": spec.initial == "wait_for_drop",
            "policy": plan.policy.name,
            "policy_version": plan.policy.version,
        }
        for (network, asset), row in rows.items()
    ]


def _sold_to_new(plan: Plan, settings: Settings, tenant: Tenant) -> list[tuple[Network, NetworkAsset]]:
    """What a new wallet's first funding may be bought in."""
    if plan.created is None or tenant.stripe_secret_key is None:
        return []
    networks = [settings.networks[n] for n in plan.created.networks if n in plan.addresses]
    return [(n, asset) for n in networks for asset in n.assets if find_refusal(asset, None) is None]


async def _ask_for_new_wallet(
    conn: AsyncConnection, spec: WalletSpec, tenant: Tenant, plan: Plan, settings: Settings, stamp: Stamp
) -> list[NewEvent]:
    """The guide's first request: one link for the whole wallet."""
    destinations: list[Destination] = [
        make_destination(n, a, Holding(n.id, a.asset.reference, plan.addresses[n.id]), None)
        for n, a in _sold_to_new(plan, settings, tenant)
    ]
    if not destinations or spec.initial == "wait_for_drop":
        return []
    top_up = open_for_new_wallet(
        spec.id,
        tuple(destinations),
        tenant=tenant,
        policy=plan.policy,
        link_mode=spec.link_mode,
        notify=spec.notify,
        stamp=stamp,
    )
    await insert_top_up(conn, top_up, NeedKind.NEW_WALLET, spec.id)
    await defer_session(conn, top_up)
    return [await make_event(conn, top_up, "opened", stamp.new_id("evt"))]


async def _withdraw(
    conn: AsyncConnection, tenant: str, wallet_id: str, gone: Sequence[Holding], status: TopUpStatus, stamp: Stamp
) -> list[NewEvent]:
    """End the open asks none of whose holdings is wanted any more."""
    events = []
    for ask in await find_active(conn, [(tenant, wallet_id)]):
        if ask.status is TopUpStatus.OPEN and all(d.holding in gone for d in ask.destinations):
            events.append((await move_top_up(conn, ask, status, stamp))[1])
    return events
