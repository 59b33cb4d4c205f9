"""What a backend asks for, understood: which holdings need how much, or why money would not help. Pure.

The shapes were checked at the edge (`watcher.asks.bodies`); here they meet the wallet, the network and the catalogue.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from chains.amounts import parse_amount
from chains.model import NATIVE, Holding
from config.errors import FieldError
from config.model import NetworkAsset
from watcher.asks.bodies import AskBody, CheckoutBody, Gas, PayIn, SwapBody, TransactionBody
from watcher.asks.ground import Ground, NotUnderstood, Rate, Understood, Wanting
from watcher.asks.model import Mode
from watcher.asks.proposed import add_costs, check_beside, understand_proposed
from watcher.asks.reasons import DETAILS, find_alternatives, write_reason
from watcher.model import BillLine
from watcher.policy import find_refusal

LIVES: Final = timedelta(hours=24)
MOST_FIAT_DECIMALS: Final = 18
LONGEST: Final = timedelta(days=90)
MOST_UNITS: Final = 2**128
"""Base units of one need: far more than there is of anything, and sums of them still fit the store."""


def find_end(written: datetime | None, now: datetime) -> datetime:
    """When an ask expires. Raises `NotUnderstood` for a time that is over, or further than 90 days away."""
    if written is None:
        return now + LIVES
    if not now < written <= now + LONGEST:
        raise NotUnderstood([FieldError("/expires_at", "out_of_range", "must be within the next 90 days")])
    return written


def understand(body: AskBody, ground: Ground, rates: Mapping[str, Rate | None]) -> Understood:
    """What a body comes to; `rates` by symbol. Raises `NotUnderstood`."""
    if isinstance(body, TransactionBody):
        return understand_transaction(body, ground)
    if isinstance(body, CheckoutBody):
        return understand_checkout(body, ground, rates)
    if isinstance(body, SwapBody):
        return understand_swap(body, ground)
    raise TypeError(type(body).__name__)


def understand_transaction(body: TransactionBody, ground: Ground) -> Understood:
    """The amounts that the caller states, and gas."""
    if body.transaction is not None:
        return understand_proposed(body, ground)
    errors: list[FieldError] = []
    _check_gas(body.gas, ground, errors)
    wants: list[Wanting] = []
    for i, entry in enumerate(body.needs):
        found = _read_amount(entry.asset, entry.amount, ground, f"/needs/{i}", errors)
        if found is not None:
            asset, units = found
            if any(w.holding.asset == asset.asset.reference for w in wants):
                errors.append(FieldError(f"/needs/{i}/asset", "repeated", "stands in another need already"))
            wants.append(_want(ground, asset, Mode.BALANCE, BillLine("required", units)))
    wants = add_gas(wants, body.gas, ground)
    if not wants and not errors:
        errors.append(FieldError("/needs", "required", "must name what is needed, or gas that is not paid by another"))
    if errors:
        raise NotUnderstood(errors)
    return Understood(tuple(wants))


def understand_checkout(body: CheckoutBody, ground: Ground, rates: Mapping[str, Rate | None]) -> Understood:
    """The price in its asset, or in the first that is sold of those that it may be paid in. `rates` by symbol."""
    errors: list[FieldError] = []
    mode = Mode.RECEIVED if body.mode == "whole_price" else Mode.BALANCE
    if body.transaction is not None:
        errors += check_beside(body)
    _check_gas(body.gas, ground, errors)
    if body.price.asset is not None:
        if body.pay_in is not None:
            errors.append(FieldError("/pay_in", "not_wanted", "belongs to a price in fiat"))
        found = _read_amount(body.price.asset, body.price.amount, ground, "/price", errors)
        if found is None or errors:
            raise NotUnderstood(errors)
        return _with_room(_want(ground, found[0], mode, BillLine("price", found[1])), body, ground)
    read_fiat(body.price.amount, errors)
    if errors:
        raise NotUnderstood(errors)
    assets = read_assets(body.pay_in or (), ground, "/pay_in")
    chosen = choose(assets, ground)
    if chosen is None:
        return Understood(reason=_explain(assets, ground))
    rate = rates.get(chosen.asset.symbol)
    if rate is None:
        return Understood(reason=write_reason("no_rate"))
    if _is_too_large(rate.units, "/price/amount", errors):
        raise NotUnderstood(errors)
    line = BillLine("rate", 0, {"value": rate.value, "source": rate.source, "fiat": body.price.fiat})
    return _with_room(_want(ground, chosen, mode, BillLine("price", rate.units), line), body, ground)


def _with_room(want: Wanting, body: CheckoutBody, ground: Ground) -> Understood:
    """The price, with room for what making the purchase costs."""
    if body.transaction is not None:
        return add_costs(want, ground)
    return Understood(tuple(add_gas([want], body.gas, ground)))


def understand_swap(body: SwapBody, ground: Ground) -> Understood:
    """The first that is sold of what the caller would pay with, in the caller's order."""
    errors: list[FieldError] = []
    _check_gas(body.gas, ground, errors)
    read = [_read_payment(entry, ground, f"/pay_in/{i}", errors) for i, entry in enumerate(body.pay_in)]
    found = [each for each in read if each is not None]
    names = [asset.asset.reference for asset, _ in found]
    if len(set(names)) < len(names):
        errors.append(FieldError("/pay_in", "repeated", "names an asset more than once"))
    if errors:
        raise NotUnderstood(errors)
    chosen = choose([asset for asset, _ in found], ground)
    if chosen is None:
        return Understood(reason=_explain([asset for asset, _ in found], ground))
    units = next(units for asset, units in found if asset is chosen)
    if units is None:
        want = _want(ground, chosen, Mode.RISE)
    else:
        want = _want(ground, chosen, Mode.BALANCE, BillLine("required", units))
    return Understood(tuple(add_gas([want], body.gas, ground)))


def understand_press(name: str, amount: str | None, ground: Ground, *, onramp: bool) -> tuple[NetworkAsset, int | None]:
    """The asset that a person adds, and how much. Raises `NotUnderstood`, also for what can't be bought."""
    errors: list[FieldError] = []
    asset = _find_asset(name, ground, "/asset", errors)
    units = None if asset is None or amount is None else read_units(amount, asset, "/amount", errors)
    refusal = None if asset is None else find_refusal(asset, ground.country)
    if refusal is not None:
        errors.append(FieldError("/asset", refusal.value, DETAILS[refusal.value]))
    if not onramp:
        errors.append(FieldError("/asset", "no_onramp", DETAILS["no_onramp"]))
    if asset is None or errors:
        raise NotUnderstood(errors)
    return asset, units


def choose(assets: Sequence[NetworkAsset], ground: Ground) -> NetworkAsset | None:
    """The first that Stripe sells there to this person."""
    return next((a for a in assets if find_refusal(a, ground.country) is None), None)


def read_assets(names: Sequence[str], ground: Ground, pointer: str) -> list[NetworkAsset]:
    """Assets by symbol or reference. Raises `NotUnderstood`."""
    errors: list[FieldError] = []
    found = [_find_asset(name, ground, f"{pointer}/{i}", errors) for i, name in enumerate(names)]
    if not names:
        errors.append(FieldError(pointer, "required", "names what it may be paid in, in order of preference"))
    assets = [asset for asset in found if asset is not None]
    if len({a.asset.reference for a in assets}) < len(assets):
        errors.append(FieldError(pointer, "repeated", "names an asset more than once"))
    if errors:
        raise NotUnderstood(errors)
    return assets


def add_gas(wants: Sequence[Wanting], gas: Gas | None, ground: Ground) -> list[Wanting]:
    """Room for gas, in the coin that pays it: as stated, or of one typical transaction."""
    if gas is not None and gas.payer == "other":
        return list(wants)
    limit = gas.limit if gas is not None and gas.limit is not None else ground.network.typical_gas
    fixed: tuple[BillLine, ...] = ()
    if gas is not None and gas.max_fee_per_gas is not None:
        stated = {"limit": limit, "max_fee_per_gas": gas.max_fee_per_gas}
        fixed = (BillLine("gas", limit * int(gas.max_fee_per_gas), stated),)
    native = next((i for i, w in enumerate(wants) if w.holding.asset == NATIVE), None)
    if native is None:
        at = Holding(ground.network.id, NATIVE, ground.address)
        return [*wants, Wanting(at, Mode.BALANCE, fixed, limit)]
    own = wants[native]
    if own.mode is Mode.RISE:
        return list(wants)  # whatever arrives pays for gas, too
    merged = Wanting(own.holding, own.mode, (*own.lines, *fixed), limit)
    return [merged if i == native else w for i, w in enumerate(wants)]


def _check_gas(gas: Gas | None, ground: Ground, errors: list[FieldError]) -> None:
    if gas is not None and gas.max_fee_per_gas is not None:
        limit = gas.limit if gas.limit is not None else ground.network.typical_gas
        _is_too_large(limit * int(gas.max_fee_per_gas), "/gas/max_fee_per_gas", errors)


def _is_too_large(units: int, pointer: str, errors: list[FieldError]) -> bool:
    if units <= MOST_UNITS:
        return False
    errors.append(FieldError(pointer, "too_large", "comes to more than 2^128 base units"))
    return True


def _want(ground: Ground, asset: NetworkAsset, mode: Mode, *lines: BillLine) -> Wanting:
    return Wanting(Holding(ground.network.id, asset.asset.reference, ground.address), mode, lines)


def _read_amount(
    name: str, amount: str, ground: Ground, pointer: str, errors: list[FieldError]
) -> tuple[NetworkAsset, int] | None:
    asset = _find_asset(name, ground, f"{pointer}/asset", errors)
    units = None if asset is None else read_units(amount, asset, f"{pointer}/amount", errors)
    return None if asset is None or units is None else (asset, units)


def _read_payment(
    entry: PayIn, ground: Ground, pointer: str, errors: list[FieldError]
) -> tuple[NetworkAsset, int | None] | None:
    asset = _find_asset(entry.asset, ground, f"{pointer}/asset", errors)
    if asset is None or entry.amount is None:
        return None if asset is None else (asset, None)
    units = read_units(entry.amount, asset, f"{pointer}/amount", errors)
    return None if units is None else (asset, units)


def read_units(text: str, asset: NetworkAsset, pointer: str, errors: list[FieldError]) -> int | None:
    """Base units of an amount above zero."""
    try:
        units = parse_amount(text, asset.asset.decimals)
    except ValueError as error:
        errors.append(FieldError(pointer, "not_a_decimal", str(error)))
        return None
    if units == 0:
        errors.append(FieldError(pointer, "not_positive", "must be more than zero"))
        return None
    return None if _is_too_large(units, pointer, errors) else units


def read_fiat(text: str, errors: list[FieldError]) -> None:
    """A price in money, of at most 18 decimals, above zero."""
    try:
        if parse_amount(text, MOST_FIAT_DECIMALS) == 0:
            errors.append(FieldError("/price/amount", "not_positive", "must be more than zero"))
    except ValueError as error:
        errors.append(FieldError("/price/amount", "not_a_decimal", str(error)))


def _find_asset(name: str, ground: Ground, pointer: str, errors: list[FieldError]) -> NetworkAsset | None:
    found = ground.network.find_asset(name)
    if found is None:
        known = ", ".join(a.asset.symbol for a in ground.network.assets)
        message = f"is not an asset of {ground.network.name}, which has {known}"
        errors.append(FieldError(pointer, "unknown_asset", message))
    return found


def _explain(assets: Sequence[NetworkAsset], ground: Ground) -> dict[str, Any]:
    """Why none of these can be bought, and what can."""
    refusals = {refusal.value for a in assets if (refusal := find_refusal(a, ground.country)) is not None}
    code = "not_sold_in_region" if "not_sold_in_region" in refusals else "not_sold_here"
    symbol = assets[0].asset.symbol if assets else None
    return write_reason(code, find_alternatives(symbol, ground.country, ground.network, ground.networks))
