"""What Stripe is told of a top-up. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from chains.amounts import format_amount
from config.model import NetworkAsset, Settings
from notifier.model import Destination, SessionRequest
from notifier.onramp import Onramp
from watcher.model import TopUp
from watcher.opening import WALLET_SCOPE


@dataclass(frozen=True, slots=True)
class Onramps:
    """The tenants' accounts, and what every session of ours is marked with."""

    by_tenant: Mapping[str, Onramp]
    installation: str
    settings: Settings


def make_request(top_up: TopUp, attempt: int, onramps: Onramps, *, customer_ip_address: str | None) -> SessionRequest:
    """What Stripe is told: destinations and currencies locked, the amount only when one asset is asked for."""
    sold: list[tuple[Destination, str]] = []
    assets: list[NetworkAsset] = []
    for d in top_up.destinations:
        network = onramps.settings.networks.get(d.holding.network)
        asset = network.find_asset(d.holding.asset) if network else None
        if asset is not None and asset.onramp is not None:
            where = Destination(asset.onramp.network, asset.onramp.wallet_key, d.holding.address)
            sold.append((where, asset.onramp.currency))
            assets.append(asset)
    if top_up.scope == WALLET_SCOPE and not top_up.reason.get("assets"):
        sold = [(where, "") for where, _ in sold]  # the person chooses what to buy
    amount = None
    if top_up.asked is not None and assets:
        amount = Decimal(format_amount(top_up.asked, assets[0].asset.decimals))
    return SessionRequest(
        top_up=top_up.id,
        attempt=attempt,
        tenant=top_up.tenant,
        installation=onramps.installation,
        destinations=tuple(dict.fromkeys(where for where, _ in sold)),
        currencies=tuple(dict.fromkeys(currency for _, currency in sold if currency)),
        amount=amount,
        customer_ip_address=customer_ip_address,
    )
