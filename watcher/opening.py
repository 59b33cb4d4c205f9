"""A decision to ask, made into a top-up. Pure but for the ids and the clock that it is handed."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from chains.model import BlockRef, Holding
from config.model import CreatedFunding, Network, NetworkAsset, Policy, Tenant
from watcher.clock import Stamp
from watcher.model import Bill, Destination, TopUp, TopUpStatus
from watcher.render import note_needed, render_bill, render_block, render_time
from watcher.store.places import Place
from watcher.store.top_ups import write_destinations
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


def open_for_holding(
    bill: Bill,
    place: Place,
    destination: Destination,
    *,
    tenant: Tenant,
    network: Network,
    reason: Mapping[str, Any],
    notify: bool,
    group: str,
    expires_at: datetime,
    stamp: Stamp,
) -> TopUp:
    """The ask for one holding, for its levels and all who need something there."""
    by_balance = bill.to_receive is None and bill.asked is not None
    return TopUp(
        **_begin(tenant, stamp, expires_at=expires_at, proof=render_block(bill.at)),
        wallet=place.wallet,
        scope=holding_scope(place.holding),
        group=group,
        destinations=(destination,),
        asked=bill.asked,
        needed=bill.needed if by_balance else None,
        to_receive=bill.to_receive,
        bill=render_bill([bill], network, method="balance"),
        reason=reason,
        link_mode=place.words["link_mode"],
        notify=notify,
        decided=bill.at,
        session_due_height=bill.at.number + network.open_confirmations - 1,
    )


def measure_anew(top_up: TopUp, there: int, at: BlockRef) -> dict[str, Any]:
    """What changes of an ask that the balance tells of: from now on it must bring all that it asks for."""
    needed = there + (top_up.asked or 0)
    (destination,) = top_up.destinations
    return {
        "needed": needed,
        "destinations": write_destinations([replace(destination, baseline=there, since=at.number)]),
        "bill": note_needed(top_up.bill, needed),
        "risen_at": None,
    }


def open_for_press(
    place: Place,
    destination: Destination,
    asked: int | None,
    *,
    tenant: Tenant,
    notify: bool,
    expires_at: datetime,
    stamp: Stamp,
) -> TopUp:
    """The ask for money that a person adds: so much on top of what is there, or as much as they choose."""
    return TopUp(
        **_begin(tenant, stamp, expires_at=expires_at, proof={"pressed": True}),
        wallet=place.wallet,
        scope=holding_scope(place.holding),
        group=stamp.new_id("grp"),
        destinations=(destination,),
        asked=asked,
        to_receive=asked,
        reason={"code": "add_funds", "policy": place.words["policy"]},
        link_mode=place.words["link_mode"],
        notify=notify,
        decided=BlockRef(0, None),
        session_due_height=0,
    )


def open_for_new_wallet(
    spec: WalletSpec,
    destinations: tuple[Destination, ...],
    created: CreatedFunding,
    *,
    tenant: Tenant,
    policy: Policy,
    stamp: Stamp,
) -> TopUp:
    """The one ask for a whole new wallet: several destinations, no amount unless it is named; any rise answers it."""
    named = {"assets": list(created.assets)} if created.assets else {}
    lives_from = max(stamp.now, spec.asks_paused_until or stamp.now)
    expires_at = lives_from + timedelta(seconds=policy.expires_seconds)
    return TopUp(
        **_begin(tenant, stamp, expires_at=expires_at, proof={"policy": policy.name}),
        wallet=spec.id,
        scope=WALLET_SCOPE,
        group=stamp.new_id("grp"),
        destinations=destinations,
        asked=created.amount if len(destinations) == 1 else None,
        reason={"code": "wallet_created", "policy": policy.name, "policy_version": policy.version, **named},
        link_mode=spec.link_mode,
        notify=spec.notify,
        decided=BlockRef(0, None),
        session_due_height=0,
    )


def _begin(tenant: Tenant, stamp: Stamp, *, expires_at: datetime, proof: Mapping[str, Any]) -> dict[str, Any]:
    """What every ask begins with."""
    return {
        "id": stamp.new_id("tu"),
        "tenant": tenant.id,
        "livemode": tenant.livemode,
        "status": TopUpStatus.OPEN,
        "version": 1,
        "expires_at": expires_at,
        "timeline": ({"step": "decided", "at": render_time(stamp.now), "proof": dict(proof)},),
        "created_at": stamp.now,
        "updated_at": stamp.now,
    }
