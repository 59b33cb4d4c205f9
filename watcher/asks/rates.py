"""What a price in fiat comes to in each asset that it may be paid in, found before anything is locked."""

from config.errors import FieldError
from config.model import Settings
from notifier.rates import RateSource, find_units
from watcher.asks.bodies import AskBody, CheckoutBody
from watcher.asks.ground import NotUnderstood, Rate


async def find_rates(body: AskBody, settings: Settings, source: RateSource | None) -> dict[str, Rate | None]:
    """By symbol; None where there is no rate, or no fresh one. Raises `NotUnderstood` for a price that is none."""
    if not isinstance(body, CheckoutBody) or body.price.fiat is None or source is None:
        return {}
    network = settings.find_network(body.network)
    named = [network.find_asset(name) for name in body.pay_in or ()] if network is not None else []
    found: dict[str, Rate | None] = {}
    for each in named:
        if each is None:
            continue
        rate = await source.rate(body.price.fiat, each.asset.symbol)
        try:
            units = None if rate is None else find_units(body.price.amount, rate.value, each.asset.decimals)
        except ValueError as error:
            raise NotUnderstood([FieldError("/price/amount", "not_a_decimal", str(error))]) from None
        symbol = each.asset.symbol
        found[symbol] = None if rate is None or units is None else Rate(format(rate.value, "f"), rate.source, units)
    return found
