"""What a wallet's registration comes to: addresses parsed, rules resolved, every fault at once. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from chains.addresses import parse_address
from chains.errors import BadAddress
from chains.model import NATIVE, Family, NetworkId
from config.errors import FieldError, escape
from config.model import CreatedFunding, LowFunding, Network, NetworkAsset, Policy, Settings, Tenant
from config.requirements import parse_funding
from watcher.levels import moves_with_fee, write_levels
from watcher.model import HoldingStatus
from watcher.policy import find_refusal

EIP155: Final = "eip155"
"""The key of an address that stands for every EVM network of the policy."""


class Refused(Exception):
    """The registration has faults; nothing was stored."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        """All faults at once."""
        super().__init__("; ".join(f"{e.field}: {e.message}" for e in errors))
        self.errors = tuple(errors)


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
    told_at: datetime | None = None
    """When its backend sent it; None: just now."""
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


def plan_registration(
    spec: WalletSpec, tenant: Tenant, settings: Settings, *, found: Sequence[FieldError] = ()
) -> Plan:
    """Addresses parsed and rules resolved. Raises `Refused` with every fault, those `found` already included. Pure."""
    errors = list(found)
    policy = tenant.policies.get(spec.policy)
    if policy is None:
        known = ", ".join(sorted(tenant.policies)) or "none"
        errors.append(FieldError("/policy", "unknown_policy", f"no such policy; configured are: {known}"))
        policy = Policy(spec.policy, version="", networks=tuple(settings.networks))
    addresses = _plan_addresses(spec, policy, settings, errors)
    low, created = policy.low, policy.created
    if spec.funding is not None:
        parsed = parse_funding(spec.funding, settings.networks, pointer="/funding")
        errors += parsed.errors
        low, created = parsed.low, parsed.created
        errors += _find_homeless(spec.funding, addresses, settings)
    if errors:
        raise Refused(errors)
    return Plan(policy, addresses, tuple(entry for entry in low if entry.network in addresses), created)


def _plan_addresses(
    spec: WalletSpec, policy: Policy, settings: Settings, errors: list[FieldError]
) -> dict[NetworkId, str]:
    addresses: dict[NetworkId, str] = {}
    for key, text in spec.addresses.items():
        pointer = "/addresses/" + escape(key)
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
    funding: Sequence[Mapping[str, Any]], addresses: Mapping[NetworkId, str], settings: Settings
) -> list[FieldError]:
    """Entries for networks on which the wallet has no address."""
    missing = [network for network in settings.networks.values() if network.id not in addresses]
    names = {name for network in missing for name in (network.name, network.id)}
    return [
        FieldError(pointer, "no_address", "the wallet has no address on this network")
        for i, entry in enumerate(funding)
        for pointer, name in _name_networks(entry, f"/funding/{i}")
        if isinstance(name, str) and name in names
    ]


def _name_networks(entry: Mapping[str, Any], pointer: str) -> list[tuple[str, Any]]:
    """What an entry names as networks, each with its place."""
    several = entry.get("networks")
    listed = several if isinstance(several, list) else []
    return [
        (f"{pointer}/network", entry.get("network")),
        *((f"{pointer}/networks/{i}", n) for i, n in enumerate(listed)),
    ]


def list_requirements(spec: WalletSpec, tenant: Tenant, plan: Plan, settings: Settings) -> list[dict[str, Any]]:
    """One row for each holding that has a level, and one to watch for each that a new wallet may be funded in."""
    rows: dict[tuple[NetworkId, str], dict[str, Any]] = {}
    for network, asset in list_sold(plan, settings, tenant):
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


def list_sold(
    plan: Plan, settings: Settings, tenant: Tenant, *, country: str | None = None
) -> list[tuple[Network, NetworkAsset]]:
    """What a new wallet's first funding may be bought in, by somebody in that country where it is known."""
    if plan.created is None or tenant.stripe_secret_key is None:
        return []
    networks = [settings.networks[n] for n in plan.created.networks if n in plan.addresses]
    named = plan.created.assets
    return [
        (n, asset)
        for n in networks
        for asset in n.assets
        if find_refusal(asset, country) is None and (not named or asset.asset.symbol in named)
    ]
