"""What a price in fiat comes to in each asset that it may be paid in, found before anything is locked."""

from config.model import Settings
from watcher.asks.bodies import AskBody
from watcher.asks.spec import Rate


async def find_rates(body: AskBody, settings: Settings, source: object | None) -> dict[str, Rate | None]:
    """By symbol; None where there is no rate, or no fresh one."""
    del body, settings, source
    return {}
