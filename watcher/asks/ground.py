"""What an ask stands on, and what it comes to. Frozen, no I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chains.model import Holding, NetworkId
from config.errors import FieldError
from config.model import Network
from watcher.asks.analysis import Analysis
from watcher.asks.model import Mode
from watcher.model import BillLine


@dataclass(frozen=True, slots=True)
class Rate:
    """What one unit of an asset costs, as found beforehand."""

    value: str
    source: str
    units: int
    """Base units that the price comes to, rounded up."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What an ask stands on."""

    network: Network
    address: str
    country: str | None
    networks: Mapping[NetworkId, Network] = field(default_factory=dict)
    analysis: Analysis | None = None
    """Of the transaction that it proposes; None where it proposes none."""


@dataclass(frozen=True, slots=True)
class Wanting:
    """One need to be."""

    holding: Holding
    mode: Mode
    lines: tuple[BillLine, ...]
    gas_limit: int | None = None


@dataclass(frozen=True, slots=True)
class Understood:
    """What it comes to: needs in their places, or the reason why money would not help."""

    wants: tuple[Wanting, ...] = ()
    reason: Mapping[str, Any] | None = None


class NotUnderstood(Exception):
    """It has faults; nothing was stored."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        """All faults at once."""
        super().__init__("; ".join(f"{e.field}: {e.message}" for e in errors))
        self.errors = tuple(errors)
