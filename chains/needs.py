"""What a proposed transaction needs of its sender: the words that every family of chains answers with. No I/O here."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from chains.errors import ChainError
from chains.model import BlockRef


class BadTransaction(ChainError, ValueError):
    """What was proposed is not a transaction of this network."""

    def __init__(self, field: str, code: str, message: str) -> None:
        """`field` names the part that is wrong; `code` is machine-readable; `message` is for people."""
        super().__init__(message)
        self.field = field
        self.code = code
        self.message = message


class Verdict(StrEnum):
    """What stands between a transaction and its success."""

    FUNDS = "funds"
    """It works once these amounts are there."""
    ALLOWANCE = "allowance"
    """An approval is missing, whatever the balance."""
    REVERTS = "reverts"
    """It fails however much is there."""
    DEADLINE = "deadline"
    """Its time is over."""
    UNKNOWN = "unknown"
    """It could not be run to its end."""


@dataclass(frozen=True, slots=True)
class Outflow:
    """An amount that must be there, and why."""

    asset: str
    """`native`, a contract or a mint: an asset's `reference`."""
    amount: int
    """Base units that must be there."""
    what: str
    """`required`, `gas`, `l1_fee`, `rent`, `priority_fee` or `keep`."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What else a bill tells of it, such as a gas limit."""


@dataclass(frozen=True, slots=True)
class TransactionNeeds:
    """What one transaction needs, at one block."""

    at: BlockRef
    outflows: tuple[Outflow, ...]
    verdict: Verdict
    detail: str
    """The reason, for people; never a secret."""
    exact: bool
    """Proven: with these amounts it succeeds, with one base unit less of any it fails."""
    method: str
    """`simulate`, `trace`, `call` or `decode`."""
    reads: frozenset[str]
    """Addresses it depends on: when a block touches one, look again."""
    unknown_assets: tuple[str, ...]
    """Tokens that it takes, that are not of the known ones, and of which too little is there."""
    calls: int
    """Node calls that it cost."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a stranger's transaction may cost and ask."""

    known: Collection[str]
    """References of assets that may be needed."""
    most_calls: int = 200
    seconds: float = 10
    most_units: int = 2**128
    """Base units of one asset; more is refused."""
