"""The `funding` list, as policies in the configuration and wallets over the API both write it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from chains.amounts import parse_amount
from chains.model import NATIVE, NetworkId
from config.errors import FieldError, escape
from config.model import CreatedFunding, Level, LowFunding, Network, NetworkAsset

MOST_ENTRIES: Final = 64
MOST_TRANSACTIONS: Final = 1_000_000
_LOW_KEYS: Final = {"when", "network", "asset", "trigger", "target", "critical", "gas_buffer", "ask"}
_CREATED_KEYS: Final = {"when", "networks", "assets", "amount"}


@dataclass(frozen=True, slots=True)
class FundingResult:
    """What a list says, or everything that is wrong with it."""

    low: tuple[LowFunding, ...] = ()
    created: CreatedFunding | None = None
    errors: tuple[FieldError, ...] = ()


@dataclass(slots=True)
class _Reading:
    """One list being read."""

    networks: Mapping[NetworkId, Network]
    low: list[LowFunding] = field(default_factory=list)
    created: CreatedFunding | None = None
    errors: list[FieldError] = field(default_factory=list)

    def fault(self, pointer: str, code: str, message: str) -> None:
        self.errors.append(FieldError(pointer, code, message))

    def find_network(self, name: object, pointer: str) -> Network | None:
        found = next((n for n in self.networks.values() if name in (n.name, n.id)), None)
        if found is None:
            known = ", ".join(n.name for n in self.networks.values()) or "none"
            self.fault(pointer, "unknown_network", f"is not a configured network; configured are: {known}")
        return found


def parse_funding(entries: object, networks: Mapping[NetworkId, Network], *, pointer: str) -> FundingResult:
    """Read a list of `{"when": "low", …}` and `{"when": "created", …}` entries, with every fault at its place.

    Amounts are decimal strings in the asset's unit, or `{"transactions": n}` for a native coin's.
    """
    reading = _Reading(networks)
    if not isinstance(entries, list) or len(entries) > MOST_ENTRIES:
        reading.fault(pointer, "not_a_list", f"must be a list of at most {MOST_ENTRIES} entries")
        return FundingResult(errors=tuple(reading.errors))
    for i, entry in enumerate(entries):
        _read_entry(reading, entry, f"{pointer}/{i}")
    return FundingResult(tuple(reading.low), reading.created, tuple(reading.errors))


def _read_entry(reading: _Reading, entry: object, pointer: str) -> None:
    if not isinstance(entry, dict):
        reading.fault(pointer, "not_an_object", "must be an object")
        return
    when = entry.get("when")
    known = {"low": _LOW_KEYS, "created": _CREATED_KEYS}.get(when) if isinstance(when, str) else None
    if known is None:
        reading.fault(f"{pointer}/when", "not_one_of", 'must be "low" or "created"')
        return
    for key in entry:
        if key not in known:
            reading.fault(f"{pointer}/{escape(key)}", "unknown_field", f'is not a field of a "{when}" entry')
    if when == "low":
        _read_low(reading, entry, pointer)
    else:
        _read_created(reading, entry, pointer)


def _read_created(reading: _Reading, entry: Mapping[str, Any], pointer: str) -> None:
    names = entry.get("networks")
    if not isinstance(names, list) or not names:
        reading.fault(f"{pointer}/networks", "required", "must be a list of network names")
        return
    found = [_find_sold(reading, name, f"{pointer}/networks/{i}") for i, name in enumerate(names)]
    networks = [n for n in found if n is not None]
    ids = [n.id for n in networks]
    if len(set(ids)) < len(ids):
        reading.fault(f"{pointer}/networks", "repeated", "names a network more than once")
    if reading.created is not None:
        reading.fault(pointer, "repeated", "is the second entry for new wallets")
    assets = _read_assets(reading, entry.get("assets"), networks, f"{pointer}/assets")
    amount = _read_first_amount(reading, entry.get("amount"), networks, assets, f"{pointer}/amount")
    reading.created = CreatedFunding(tuple(ids), assets, amount)


def _read_assets(reading: _Reading, names: object, networks: Sequence[Network], pointer: str) -> tuple[str, ...]:
    """Symbols, each sold on one of the networks at least; none where the person chooses."""
    if names is None:
        return ()
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        reading.fault(pointer, "not_a_list", "must be a list of symbols")
        return ()
    for i, name in enumerate(names):
        here = [a for n in networks for a in n.assets if a.asset.symbol == name]
        if not here:
            reading.fault(f"{pointer}/{i}", "unknown_asset", "is the symbol of no asset of these networks")
        elif all(a.onramp is None for a in here):
            reading.fault(f"{pointer}/{i}", "not_sold_here", f"Stripe does not sell {name} on any of these networks")
    if len(set(names)) < len(names):
        reading.fault(pointer, "repeated", "names an asset more than once")
    return tuple(names)


def _read_first_amount(
    reading: _Reading, value: object, networks: Sequence[Network], assets: Sequence[str], pointer: str
) -> int | None:
    """How much a new wallet is asked for: only where one asset on one network says what is counted."""
    if value is None:
        return None
    if len(networks) != 1 or len(assets) != 1:
        reading.fault(pointer, "not_one_asset", "needs exactly one network and one asset")
        return None
    asset = next((a for a in networks[0].assets if a.asset.symbol == assets[0]), None)
    if asset is None:
        return None
    try:
        units = parse_amount(value, asset.asset.decimals)
    except ValueError as error:
        reading.fault(pointer, "not_a_decimal", str(error))
        return None
    if units == 0:
        reading.fault(pointer, "not_positive", "must be more than zero")
    return units


def _find_sold(reading: _Reading, name: object, pointer: str) -> Network | None:
    network = reading.find_network(name, pointer)
    if network is not None and all(a.onramp is None for a in network.assets):
        reading.fault(pointer, "not_sold_here", f"Stripe sells nothing on {network.name}: it can only be watched")
    return network


def _read_low(reading: _Reading, entry: Mapping[str, Any], pointer: str) -> None:
    network = reading.find_network(entry.get("network"), f"{pointer}/network")
    asset = _find_asset(reading, network, entry.get("asset"), f"{pointer}/asset")
    ask = entry.get("ask", True)
    if not isinstance(ask, bool):
        reading.fault(f"{pointer}/ask", "not_a_boolean", "must be true or false")
    if network is None or asset is None:
        return
    if ask is True and asset.onramp is None:
        message = f'Stripe does not sell {asset.asset.symbol} on {network.name}; set "ask": false to watch it only'
        reading.fault(f"{pointer}/asset", "not_sold_here", message)
    levels = {
        name: _read_level(reading, entry.get(name), asset, f"{pointer}/{name}", required=name in ("trigger", "target"))
        for name in ("trigger", "target", "critical", "gas_buffer")
    }
    trigger, target, critical = levels["trigger"], levels["target"], levels["critical"]
    if trigger is None or target is None:
        return
    if _not_less(trigger, target):
        reading.fault(f"{pointer}/trigger", "not_less", "must be less than the target")
    if critical is not None and _not_less(critical, trigger):
        reading.fault(f"{pointer}/critical", "not_less", "must be less than the trigger")
    if levels["gas_buffer"] is not None and asset.asset.reference != NATIVE:
        reading.fault(f"{pointer}/gas_buffer", "not_native", "belongs to the coin that gas is paid in")
    if any((e.network, e.asset) == (network.id, asset.asset.reference) for e in reading.low):
        reading.fault(pointer, "repeated", f"is the second entry for {asset.asset.symbol} on {network.name}")
    reading.low.append(
        LowFunding(
            network=network.id,
            asset=asset.asset.reference,
            trigger=trigger,
            target=target,
            critical=critical,
            buffer=levels["gas_buffer"],
            ask=ask is True,
        )
    )


def _find_asset(reading: _Reading, network: Network | None, name: object, pointer: str) -> NetworkAsset | None:
    if not isinstance(name, str):
        reading.fault(pointer, "required", "must name an asset")
        return None
    if network is None:
        return None
    found = network.find_asset(name)
    if found is None:
        known = ", ".join(a.asset.symbol for a in network.assets)
        reading.fault(pointer, "unknown_asset", f"is not an asset of {network.name}, which has {known}")
    return found


def _read_level(reading: _Reading, value: object, asset: NetworkAsset, pointer: str, *, required: bool) -> Level | None:
    if value is None:
        if required:
            reading.fault(pointer, "required", "is missing")
        return None
    if isinstance(value, dict):
        return _read_transactions(reading, value, asset, pointer)
    try:
        return Level(amount=parse_amount(value, asset.asset.decimals))
    except ValueError as error:
        reading.fault(pointer, "not_a_decimal", str(error))
        return None


def _read_transactions(reading: _Reading, value: Mapping[str, Any], asset: NetworkAsset, pointer: str) -> Level | None:
    count = value.get("transactions")
    if set(value) != {"transactions"} or type(count) is not int or not 0 < count <= MOST_TRANSACTIONS:
        reading.fault(pointer, "not_a_level", 'must be {"transactions": n} with a whole number n above 0')
        return None
    if asset.asset.reference != NATIVE:
        reading.fault(pointer, "not_native", "can be counted in transactions only for the coin that gas is paid in")
        return None
    return Level(transactions=count)


def _not_less(low: Level, high: Level) -> bool:
    """Levels of one kind are compared here; an amount and a count of transactions only at the fee of the moment."""
    if high.amount == 0:
        return True
    if low.amount is not None and high.amount is not None:
        return low.amount >= high.amount
    return low.transactions is not None and high.transactions is not None and low.transactions >= high.transactions
