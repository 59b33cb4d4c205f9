"""The words for what a proposed transaction needs of its sender. No I/O here."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from chains.model import BlockRef


class Verdict(StrEnum):
    """What would become of the transaction."""

    FUNDS = "funds"
    """It works once the amounts are there."""
    ALLOWANCE = "allowance"
    """An approval is missing, whatever the amounts."""
    REVERTS = "reverts"
    """It fails, however much is there."""
    DEADLINE = "deadline"
    """It would have worked earlier."""
    UNKNOWN = "unknown"
    """The node could not tell."""


@dataclass(frozen=True, slots=True)
class Outflow:
    """One amount that must be there for the transaction to work. Those of one asset add up."""

    asset: str
    """The asset's reference: `native`, a contract or a mint."""
    amount: int
    """Base units that must be there, whatever is there now."""
    what: str
    """`required`, `gas`, `l1_fee`, `rent`, `priority_fee` or `keep`."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """How the amount came about, such as a gas limit and its price."""


@dataclass(frozen=True, slots=True)
class TransactionNeeds:
    """What a transaction needs, and how that was found."""

    at: BlockRef
    """The block or slot it is true for."""
    outflows: tuple[Outflow, ...]
    verdict: Verdict
    detail: str
    """The reason for people; never a secret."""
    exact: bool
    """Whether it was proven that these amounts are enough, and one unit less of any is not."""
    method: str
    """`simulate`, `trace`, `call` or `decode`."""
    reads: frozenset[str]
    """Addresses it depends on: when a block touches one, look again."""
    unknown_assets: tuple[str, ...]
    """Tokens it needs that are not of the known list."""
    calls: int
    """Requests that the node was asked."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one look may cost, and what it may find."""

    known: Collection[str]
    """References of the assets that may be needed."""
    most_calls: int = 200
    seconds: float = 10
    most_units: int = 2**128
    """An amount above it is absurd: a hostile token's word, not a need."""
