"""From a session request to the exact parameters of Stripe's create call. Pure, and from an allow-list only.

Rules: docs.stripe.com/api/crypto/onramp_sessions/create. Stripe refuses a parameter that it doesn't know, and the SDK
silently drops an empty list, which would turn "only these" into "anything": both are stopped here.
"""

import ipaddress
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from notifier.errors import OnrampRefused
from notifier.model import Destination, SessionRequest

PARAMETERS: Final = frozenset(
    {
        "wallet_addresses",
        "lock_wallet_address",
        "destination_networks",
        "destination_network",
        "destination_currencies",
        "destination_currency",
        "destination_amount",
        "customer_ip_address",
        "metadata",
    }
)
"""All that is ever sent."""
DECIMALS: Final[Mapping[str, int]] = {
    "avax": 18,
    "btc": 8,
    "eth": 18,
    "matic": 18,
    "sol": 9,
    "usdc": 6,
    "usdt": 6,
    "xlm": 7,
}
"""Decimals that Stripe takes in an amount of a currency."""
WALLET_KEYS: Final[Mapping[str, str]] = {"base": "base_network"}
"""Where the key of a network in `wallet_addresses` is not the network's own name."""
MOST_METADATA_CHARACTERS: Final = 500


def make_body(request: SessionRequest) -> dict[str, Any]:
    """JSON-safe parameters: strings, true, lists and maps of them. Raises `OnrampRefused` naming code and parameter."""
    _check_destinations(request.destinations)
    _check_currencies(request.currencies)
    networks = [d.network for d in request.destinations]
    body: dict[str, Any] = {
        "wallet_addresses": {d.wallet_key: d.address for d in request.destinations},
        "lock_wallet_address": True,
        "destination_networks": networks,
        "metadata": _make_metadata(request),
    }
    if request.currencies:
        body["destination_currencies"] = list(request.currencies)
    if len(networks) == 1 and len(request.currencies) == 1:
        body |= {"destination_network": networks[0], "destination_currency": request.currencies[0]}
    if request.amount is not None:
        body["destination_amount"] = _format_amount(request, request.amount)
    if request.customer_ip_address is not None:
        body["customer_ip_address"] = _check_ip(request.customer_ip_address)
    return body


def check_body(body: Mapping[str, Any]) -> dict[str, Any]:
    """A stored body, once more before it is sent: nothing outside the allow-list, nothing that the SDK would drop."""
    if strange := body.keys() - PARAMETERS:
        raise OnrampRefused("the body has a parameter that is never sent", param=min(strange))
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(body), allow_nan=False))
    except (TypeError, ValueError):
        raise OnrampRefused("the body is not plain JSON") from None
    for name, value in plain.items():
        if value is None or value in ([], {}, ""):
            raise OnrampRefused("an empty value would be dropped, and with it what it locks", param=name)
    return plain


def _check_destinations(destinations: tuple[Destination, ...]) -> None:
    if not destinations:
        raise _refuse("no_wallet_address_to_lock", "a session needs a destination", "wallet_addresses")
    if len({d.network for d in destinations}) != len(destinations):
        raise _refuse("invalid_wallet_address_parameters", "one address for each network", "wallet_addresses")
    for d in destinations:
        if d.wallet_key != WALLET_KEYS.get(d.network, d.network):
            raise _refuse(
                "wallet_addresses_not_all_networks_supported",
                f"{d.wallet_key} is not the wallet key of {d.network}",
                "wallet_addresses",
            )
        if not d.address:
            raise _refuse("wallet_address_invalid", "an address is empty", "wallet_addresses")


def _check_currencies(currencies: tuple[str, ...]) -> None:
    if len(set(currencies)) != len(currencies) or not all(currencies):
        raise _refuse("invalid_parameter", "a currency is empty or named twice", "destination_currencies")


def _format_amount(request: SessionRequest, amount: Decimal) -> str:
    if len(request.destinations) != 1 or len(request.currencies) != 1:
        raise _refuse(
            "incomplete_destination_currency_and_network_pair",
            "an amount needs exactly one network and one currency",
            "destination_amount",
        )
    if not amount.is_finite() or amount <= 0:
        raise _refuse("invalid_destination_amount", "an amount must be positive", "destination_amount")
    text = format(amount, "f")
    decimals = len(text.partition(".")[2].rstrip("0"))
    most = DECIMALS.get(request.currencies[0], decimals)
    if decimals > most:
        message = f"{request.currencies[0]} takes {most} decimals, not {decimals}"
        raise _refuse("invalid_destination_amount", message, "destination_amount")
    whole, point, fraction = text.partition(".")
    return whole + (point + fraction[:most] if fraction[:most] else "")


def _make_metadata(request: SessionRequest) -> dict[str, str]:
    metadata = {
        "top_up": request.top_up,
        "attempt": str(request.attempt),
        "tenant": request.tenant,
        "installation": request.installation,
    }
    for name, value in metadata.items():
        if not 0 < len(value) <= MOST_METADATA_CHARACTERS:
            raise OnrampRefused(f"metadata must have 1 to {MOST_METADATA_CHARACTERS} characters", param=name)
    return metadata


def _check_ip(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise OnrampRefused("not an IP address", code="customer_ip_address", param="customer_ip_address") from None


def _refuse(code: str, message: str, param: str) -> OnrampRefused:
    return OnrampRefused(message, code=f"crypto_onramp_{code}", param=param)
