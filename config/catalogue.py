"""The shipped catalogue, joined with what the operator says of a network."""

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from chains.addresses import parse_address
from chains.amounts import parse_amount
from chains.errors import BadAddress
from chains.model import NATIVE, Asset, Family, NetworkId
from chains.rpc_budget import Budget
from chains.rpc_endpoint import find_host
from config.errors import FieldError, escape
from config.model import Brake, Network, NetworkAsset, OnrampAsset
from config.schema import AssetEntry, AssetLimits, CatalogueEntry, NetworkEntry, StripeNames


@cache
def read_catalogue() -> dict[str, CatalogueEntry]:
    """Every known network by its name."""
    raw = tomllib.loads((files("config") / "catalogue.toml").read_text())
    return {name: CatalogueEntry.model_validate(entry) for name, entry in raw.items()}


def build_network(
    name: str, entry: NetworkEntry, errors: list[FieldError], brake: Brake | None = None
) -> Network | None:
    """A network, by its catalogue name or CAIP-2 id, ready for use; faults are added to `errors`."""
    pointer = f"/networks/{name}"
    name, known = next(((n, e) for n, e in read_catalogue().items() if name in (n, e.id)), (name, None))
    if known is None:
        names = ", ".join(sorted(read_catalogue()))
        errors.append(FieldError(pointer, "unknown_network", f"is not in the catalogue, which has {names}"))
        return None
    family = Family(known.family)
    network_id = NetworkId(known.id)
    _check_urls(entry, pointer, errors)
    strange = entry.limits.keys() - {a.symbol for a in (*known.assets, *entry.assets)}
    errors += [FieldError(f"{pointer}/limits/{s}", "unknown_asset", f"is not an asset of {name}") for s in strange]
    for i, own in enumerate(entry.assets):
        if own.reference is None:
            message = "names the token's contract or mint"
            errors.append(FieldError(f"{pointer}/assets/{i}/reference", "required", message))
    built = [
        _build_asset(asset, entry.limits.get(asset.symbol), network_id, pointer=pointer, errors=errors)
        for asset in (*known.assets, *entry.assets)
    ]
    assets = tuple(asset for asset in built if asset is not None)
    _check_unique(assets, f"{pointer}/assets", errors)
    return Network(
        id=network_id,
        name=name,
        family=family,
        test=known.test,
        chain_id=known.chain_id,
        genesis_hash=known.genesis_hash,
        http_urls=tuple(u.get_secret_value() for u in entry.http),
        ws_urls=tuple(u.get_secret_value() for u in entry.ws),
        assets=assets,
        typical_gas=entry.typical_gas or known.typical_gas,
        open_confirmations=entry.open_confirmations,
        close_confirmations=entry.close_confirmations or known.close,
        poll_seconds=entry.poll_seconds or known.poll_seconds,
        stale_seconds=entry.stale_seconds or known.stale_seconds,
        max_head_age_seconds=known.max_head_age_seconds,
        shards=entry.shards,
        sweep_calls_per_minute=entry.sweep_calls_per_minute,
        brake=brake or Brake(),
        budgets=_build_budgets(entry, pointer, errors),
    )


def _build_budgets(entry: NetworkEntry, pointer: str, errors: list[FieldError]) -> dict[str, Budget]:
    """By host, or `*` for the endpoints that are not named."""
    hosts = {find_host(url) for each in entry.http if names_host(url := each.get_secret_value())}
    for name in entry.budgets.keys() - hosts - {"*"}:
        message = "is not the host of an endpoint of this network (with its port, when the URL names one), nor *"
        place = "" if "/" in name else f"/{escape(name)}"  # a URL may hold a key
        errors.append(FieldError(f"{pointer}/budgets{place}", "unknown_endpoint", message))
    return {
        host: Budget(each.calls_per_second, each.credits_per_second, each.credits, each.most_in_batch)
        for host, each in entry.budgets.items()
    }


def _check_urls(entry: NetworkEntry, pointer: str, errors: list[FieldError]) -> None:
    for field, urls, schemes in (("http", entry.http, ("http://", "https://")), ("ws", entry.ws, ("ws://", "wss://"))):
        for i, url in enumerate(urls):
            if not (url.get_secret_value().startswith(schemes) and names_host(url.get_secret_value())):
                message = f"must be a URL that begins with {' or '.join(schemes)}"
                errors.append(FieldError(f"{pointer}/{field}/{i}", "bad_url", message))


def names_host(url: str) -> bool:
    """Whether a URL has a host, and a port that exists if it names one."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _check_unique(assets: tuple[NetworkAsset, ...], pointer: str, errors: list[FieldError]) -> None:
    for key in ("symbol", "reference"):
        values = [getattr(a.asset, key) for a in assets]
        twice = sorted({v for v in values if values.count(v) > 1})
        errors += [FieldError(pointer, "repeated", f"has the {key} {value} more than once") for value in twice]
    sold = [(a.onramp.currency, a.onramp.network) for a in assets if a.onramp is not None]
    errors += [
        FieldError(pointer, "repeated", f"has two assets that Stripe calls {currency} on {network}; it sells only one")
        for currency, network in sorted({s for s in sold if sold.count(s) > 1})
    ]


def _build_asset(
    entry: AssetEntry, limits: AssetLimits | None, network: NetworkId, *, pointer: str, errors: list[FieldError]
) -> NetworkAsset | None:
    reference = NATIVE
    if entry.reference is not None:
        try:
            reference = parse_address(Family(network.partition(":")[0]), entry.reference, allow_off_curve=True)
        except BadAddress as error:
            errors.append(FieldError(f"{pointer}/assets/{entry.symbol}/reference", error.code, str(error)))
            return None
    own, where = limits or AssetLimits(), f"{pointer}/limits/{entry.symbol}"
    lowest = entry.minimum if own.minimum is None else own.minimum
    highest = entry.maximum if own.maximum is None else own.maximum
    minimum = _parse(lowest, entry, f"{where}/minimum", errors)
    maximum = _parse(highest, entry, f"{where}/maximum", errors)
    if minimum is not None and maximum is not None and maximum < minimum:
        errors.append(FieldError(f"{where}/maximum", "less_than_minimum", "must not be less than the minimum"))
    asset = Asset(network, reference, entry.symbol, entry.decimals)
    onramp = None if entry.stripe is None else _build_onramp(entry.stripe, entry.decimals)
    return NetworkAsset(asset, onramp, minimum=minimum or 0, maximum=maximum)


def _build_onramp(names: StripeNames, decimals: int) -> OnrampAsset:
    return OnrampAsset(
        currency=names.currency,
        network=names.network,
        wallet_key=names.wallet_key or names.network,
        decimals=min(names.decimals, decimals),
        sold_us="us" in names.sold,
        sold_eu="eu" in names.sold,
    )


def _parse(value: Any, entry: AssetEntry, pointer: str, errors: list[FieldError]) -> int | None:
    if value is None:
        return None
    try:
        return parse_amount(value, entry.decimals)
    except ValueError as error:
        errors.append(FieldError(pointer, "not_a_decimal", str(error)))
        return None
