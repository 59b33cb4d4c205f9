"""A decision to ask, made into a top-up. Pure but for the ids and the clock that it is handed."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from chains.amounts import format_amount
from chains.model import BlockRef, Holding
from config.model import Network, NetworkAsset, Policy, Tenant
from watcher.model import Bill, Destination, Requirement, TopUp, TopUpStatus
from watcher.render import render_bill, render_block, render_time
from watcher.top_ups import Stamp
from watcher.wallet_plan import WalletSpec

WALLET_SCOPE = "wallet"
"""The scope of an ask for a whole wallet, in place of a holding."""


def holding_scope(holding: Holding) -> str:
    """The scope of an ask for one holding: with the wallet's id, at most one open ask has it."""
    return f"{holding.network}/{holding.asset}"


def make_destination(
    network: Network, asset: NetworkAsset, holding: Holding, *, baseline: int | None = None, since: int | None = None
) -> Destination:
    """Where funds may arrive, with the words people know it by."""
    return Destination(network.name, asset.asset.symbol, asset.asset.decimals, holding, baseline, since)


def open_for_low(
    bill: Bill,
    requirement: Requirement,
    row: Mapping[str, Any],
    *,
    tenant: Tenant,
    policy: Policy,
    network: Network,
    group: str,
    stamp: Stamp,
) -> TopUp:
    """The ask for a holding that has fallen below its trigger; `row` is its requirement with its wallet's words."""
    reason = {
        "code": "below_trigger",
        "trigger": format_amount(requirement.trigger, bill.asset.asset.decimals),
        "policy": row["policy"],
        "policy_version": row["policy_version"],
    }
    return TopUp(
        **_begin(tenant, policy, stamp, proof=render_block(bill.at)),
        wallet=requirement.wallet,
        scope=holding_scope(requirement.holding),
        group=group,
        destinations=(
            make_destination(network, bill.asset, requirement.holding, baseline=bill.balance, since=bill.at.number),
        ),
        asked=bill.asked,
        needed=bill.needed,
        bill=render_bill([bill], network, method="balance"),
        reason=reason,
        link_mode=row["link_mode"],
        notify=row["notify"],
        decided=bill.at,
        session_due_height=bill.at.number + network.open_confirmations - 1,
    )


def open_for_new_wallet(
    spec: WalletSpec, destinations: tuple[Destination, ...], *, tenant: Tenant, policy: Policy, stamp: Stamp
) -> TopUp:
    """The one ask for a whole new wallet: several destinations, no amount; any rise answers it."""
    begun = _begin(tenant, policy, stamp, proof={"policy": policy.name})
    lives_from = max(stamp.now, spec.asks_paused_until or stamp.now)
    return TopUp(
        **{**begun, "expires_at": lives_from + timedelta(seconds=policy.expires_seconds)},
        wallet=spec.id,
        scope=WALLET_SCOPE,
        group=stamp.new_id("grp"),
        destinations=destinations,
        reason={"code": "wallet_created", "policy": policy.name, "policy_version": policy.version},
        link_mode=spec.link_mode,
        notify=spec.notify,
        decided=BlockRef(0, None),
        session_due_height=0,
    )


def _begin(tenant: Tenant, policy: Policy, stamp: Stamp, *, proof: Mapping[str, Any]) -> dict[str, Any]:
    """What every ask begins with."""
    return {
        "id": stamp.new_id("tu"),
        "tenant": tenant.id,
        "livemode": tenant.livemode,
        "status": TopUpStatus.OPEN,
        "version": 1,
        "expires_at": stamp.now + timedelta(seconds=policy.expires_seconds),
        "timeline": ({"step": "decided", "at": render_time(stamp.now), "proof": dict(proof)},),
        "created_at": stamp.now,
        "updated_at": stamp.now,
    }
