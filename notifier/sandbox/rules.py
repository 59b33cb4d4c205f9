"""What Stripe takes in a create call, rule by rule (docs.stripe.com/api/crypto/onramp_sessions/create)."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from eth_utils.address import is_checksum_address
from solders.pubkey import Pubkey

from notifier.sandbox.errors import StripeRefusal, refuse, unknown_parameter

WALLET_KEYS: Final = {
    "avalanche": "avalanche",
    "base": "base_network",
    "bitcoin": "bitcoin",
    "celo": "celo",
    "ethereum": "ethereum",
    "optimism": "optimism",
    "polygon": "polygon",
    "solana": "solana",
    "stellar": "stellar",
    "sui": "sui",
    "tempo": "tempo",
    "worldchain": "worldchain",
}
"""Every network, and its key in `wallet_addresses`: all the same but base."""
EVM_KEYS: Final = frozenset(
    {"avalanche", "base_network", "celo", "ethereum", "optimism", "polygon", "tempo", "worldchain"}
)
DECIMALS: Final = {
    "avax": 18,
    "btc": 8,
    "eth": 18,
    "matic": 18,
    "ripusd": 18,
    "sol": 9,
    "usdc": 6,
    "usdt": 6,
    "wld": 18,
    "xlm": 7,
}
SOLD: Final = frozenset(
    {
        ("usdc", "ethereum"),
        ("usdc", "solana"),
        ("usdc", "polygon"),
        ("usdc", "avalanche"),
        ("usdc", "base"),
        ("usdc", "stellar"),
        ("eth", "ethereum"),
        ("eth", "base"),
        ("sol", "solana"),
        ("btc", "bitcoin"),
        ("matic", "polygon"),
        ("avax", "avalanche"),
        ("xlm", "stellar"),
    }
)
"""Pairs in Stripe's availability table; its enums name more."""
SOURCE_CURRENCIES: Final = frozenset({"usd", "eur"})
PARAMETERS: Final = frozenset(
    {
        "wallet_addresses",
        "lock_wallet_address",
        "destination_networks",
        "destination_network",
        "destination_currencies",
        "destination_currency",
        "destination_amount",
        "source_amount",
        "source_currency",
        "customer_ip_address",
        "kyc_details",
        "settlement_speed",
        "metadata",
        "expand",
    }
)
MOST_METADATA: Final = 50
_AMOUNT = re.compile(r"-?[0-9]{1,60}(?:\.([0-9]{1,40}))?", re.ASCII)
_EVM_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
SOURCE_DECIMALS: Final = 2


@dataclass(frozen=True, slots=True)
class Wanted:
    """A create call that Stripe would take."""

    wallet_addresses: Mapping[str, str] = field(default_factory=dict)
    lock_wallet_address: bool = False
    networks: tuple[str, ...] | None = None
    network: str | None = None
    currencies: tuple[str, ...] | None = None
    currency: str | None = None
    destination_amount: Decimal | None = None
    source_amount: Decimal | None = None
    source_currency: str | None = None
    settlement_speed: str = "instant"
    metadata: Mapping[str, str] = field(default_factory=dict)
    kyc_details_provided: bool = False


def check_create(params: Mapping[str, Any]) -> Wanted:
    """The call understood. Raises `StripeRefusal` for the first rule that it breaks."""
    for name in params:
        if name not in PARAMETERS:
            raise unknown_parameter(name)
    networks = _read_list(params, "destination_networks", WALLET_KEYS)
    currencies = _read_list(params, "destination_currencies", DECIMALS)
    network = _read_enum(params, "destination_network", WALLET_KEYS)
    currency = _read_enum(params, "destination_currency", DECIMALS)
    source_currency = _read_enum(params, "source_currency", SOURCE_CURRENCIES)
    speed = _read_enum(params, "settlement_speed", ("instant", "standard")) or "instant"
    wallets = _read_wallets(params, networks, network)
    lock = _read_flag(params, "lock_wallet_address")
    if lock and not wallets:
        raise refuse("crypto_onramp_no_wallet_address_to_lock", "There is no wallet address to lock.")
    _check_singulars(networks, network, currencies, currency)
    destination, source = _read_amounts(params, network, currency, source_currency)
    _check_pairs(networks, network, currencies, currency)
    _check_ip(params)
    return Wanted(
        wallet_addresses=wallets,
        lock_wallet_address=lock,
        networks=networks,
        network=network or (networks[0] if networks else None),
        currencies=currencies,
        currency=currency or (currencies[0] if currencies else None),
        destination_amount=destination,
        source_amount=source,
        source_currency=source_currency,
        settlement_speed=speed,
        metadata=_read_metadata(params),
        kyc_details_provided="kyc_details" in params,
    )


def _read_list(params: Mapping[str, Any], name: str, known: Any) -> tuple[str, ...] | None:
    if name not in params:
        return None
    value = params[name]
    if value in ("", [], {}):
        raise refuse("parameter_invalid_empty", f"You passed an empty list for '{name}'.", name)
    if not isinstance(value, list):
        raise refuse("parameter_invalid", f"Invalid array: '{name}'.", name)
    for i, item in enumerate(value):
        if not isinstance(item, str) or item not in known:
            raise refuse("parameter_invalid", f"Invalid {name}: must be one of {', '.join(known)}", f"{name}[{i}]")
    return tuple(dict.fromkeys(value))


def _read_enum(params: Mapping[str, Any], name: str, known: Any) -> str | None:
    if name not in params:
        return None
    value = params[name]
    if not isinstance(value, str) or value not in known:
        raise refuse("parameter_invalid", f"Invalid {name}: must be one of {', '.join(sorted(known))}", name)
    return value


def _read_flag(params: Mapping[str, Any], name: str) -> bool:
    value = params.get(name, "false")
    if value not in ("true", "false"):
        raise refuse("parameter_invalid", f"Invalid boolean: {name}", name)
    return bool(value == "true")


def _read_wallets(params: Mapping[str, Any], networks: tuple[str, ...] | None, network: str | None) -> dict[str, str]:
    value = params.get("wallet_addresses", {})
    if not isinstance(value, dict) or ("wallet_addresses" in params and not value):
        raise refuse("parameter_invalid", "Invalid hash: wallet_addresses", "wallet_addresses")
    allowed = {WALLET_KEYS[n] for n in networks or ((network,) if network else ())}
    for key, address in value.items():
        where = f"wallet_addresses[{key}]"
        if key not in WALLET_KEYS.values():
            raise unknown_parameter(where)
        if key not in allowed:
            message = "Not all networks in the wallet_addresses hash are among the supported destination networks."
            raise refuse("crypto_onramp_wallet_addresses_not_all_networks_supported", message, "wallet_addresses")
        if not isinstance(address, str) or not _is_address(key, address):
            raise refuse("crypto_onramp_wallet_address_invalid", f"Invalid wallet address for {key}.", where)
    return dict(value)


def _is_address(key: str, address: str) -> bool:
    if key in EVM_KEYS:
        digits = address[2:]
        plain = digits in (digits.lower(), digits.upper())
        return _EVM_ADDRESS.fullmatch(address) is not None and (plain or is_checksum_address(address))
    if key == "solana":
        try:
            Pubkey.from_string(address)
        except ValueError:
            return False
        return True
    return address.isascii() and address.isprintable() and 20 <= len(address) <= 128  # noqa: PLR2004  no finer check


def _check_singulars(
    networks: tuple[str, ...] | None, network: str | None, currencies: tuple[str, ...] | None, currency: str | None
) -> None:
    if networks is not None and network is not None and network not in networks:
        code = "crypto_onramp_conflicting_destination_network"
        raise refuse(code, "destination_network is not among destination_networks.", "destination_network")
    if currencies is not None and currency is not None and currency not in currencies:
        code = "crypto_onramp_conflicting_destination_currency"
        raise refuse(code, "destination_currency is not among destination_currencies.", "destination_currency")


def _read_amounts(
    params: Mapping[str, Any], network: str | None, currency: str | None, source_currency: str | None
) -> tuple[Decimal | None, Decimal | None]:
    if "destination_amount" in params and "source_amount" in params:
        code = "crypto_onramp_invalid_source_destination_pair"
        raise refuse(code, "Set either source_amount or destination_amount, not both.")
    if "destination_amount" in params:
        if currency is None:
            code = "crypto_onramp_missing_destination_currency"
            raise refuse(code, "destination_amount needs destination_currency.", "destination_currency")
        if network is None:
            raise _incomplete()
        code = "crypto_onramp_invalid_destination_amount"
        return _read_amount(params, "destination_amount", DECIMALS[currency], code), None
    if "source_amount" in params:
        if source_currency is None:
            code = "crypto_onramp_missing_source_currency"
            raise refuse(code, "source_amount needs source_currency.", "source_currency")
        return None, _read_amount(params, "source_amount", SOURCE_DECIMALS, "crypto_onramp_invalid_source_amount")
    return None, None


def _read_amount(params: Mapping[str, Any], name: str, decimals: int, code: str) -> Decimal:
    value = params[name]
    match = _AMOUNT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise refuse("parameter_invalid", f"Invalid decimal: {name}", name)
    if len((match[1] or "").rstrip("0")) > decimals:
        raise refuse(code, f"{name} has more than {decimals} decimals.", name)
    amount = Decimal(value)
    if amount <= 0:
        raise refuse(code, f"{name} must be positive.", name)
    return amount


def _incomplete() -> StripeRefusal:
    code = "crypto_onramp_incomplete_destination_currency_and_network_pair"
    return refuse(code, "Set destination_currency and destination_network together.")


def _check_pairs(
    networks: tuple[str, ...] | None, network: str | None, currencies: tuple[str, ...] | None, currency: str | None
) -> None:
    if (network is None) != (currency is None):
        raise _incomplete()
    if network is not None and currency is not None and (currency, network) not in SOLD:
        code = "crypto_onramp_invalid_destination_currency_and_network_pair"
        raise refuse(code, f"{currency} is not sold on {network}.")
    if networks is not None or currencies is not None:
        offered = [(c, n) for c in currencies or DECIMALS for n in networks or WALLET_KEYS]
        if not any(pair in SOLD for pair in offered):
            code = "crypto_onramp_invalid_destination_currencies_and_networks"
            raise refuse(code, "The lists have no currency and network that are sold together.")


def _check_ip(params: Mapping[str, Any]) -> None:
    if "customer_ip_address" not in params:
        return
    try:
        ipaddress.ip_address(params["customer_ip_address"])
    except ValueError:
        raise refuse("customer_ip_address", "Invalid IP address.", "customer_ip_address") from None


def _read_metadata(params: Mapping[str, Any]) -> dict[str, str]:
    value = params.get("metadata", {})
    if value == "":
        return {}
    if not isinstance(value, dict) or len(value) > MOST_METADATA:
        raise refuse("parameter_invalid", f"metadata is a hash of at most {MOST_METADATA} keys.", "metadata")
    for key, text in value.items():
        if not isinstance(text, str) or not 0 < len(key) <= 40 or len(text) > 500:  # noqa: PLR2004  Stripe's limits
            message = "Metadata keys have at most 40 characters, values 500."
            raise refuse("parameter_invalid", message, f"metadata[{key}]")
    return {key: text for key, text in value.items() if text}
