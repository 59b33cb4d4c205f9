"""Every type of webhook that is known, by its name."""

from collections.abc import Mapping
from typing import Final

from watcher.inbound import asks, wallets
from watcher.inbound.model import Kind

KINDS: Final[Mapping[str, Kind]] = {**wallets.KINDS, **asks.KINDS}
