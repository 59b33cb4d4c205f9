"""Asks and their needs. Frozen, in base units, no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from chains.model import Holding, NetworkId
from watcher.model import BillLine, NeedKind

ASK_KINDS = (NeedKind.TRANSACTION, NeedKind.CHECKOUT, NeedKind.SWAP)
"""What a backend opens under an id of its own."""


class Mode(StrEnum):
    """What ends a need."""

    BALANCE = "balance"
    """The holding has the amount."""
    RECEIVED = "received"
    """The amount has arrived on top of what was there: a whole price, added funds."""
    RISE = "rise"
    """Anything has arrived: the person chooses how much."""


class State(StrEnum):
    """How an ask stands, and each of its needs."""

    UNKNOWN = "unknown"
    """Not read yet, or the network can't be read: neither yes nor no."""
    COVERED = "covered"
    SHORT = "short"
    NOT_FUNDS = "not_funds"
    """Something is in the way that money can't move."""
    DONE = "done"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def living(self) -> bool:
        """It counts: against the balance, and against what other asks may have."""
        return self in LIVING


LIVING = (State.UNKNOWN, State.COVERED, State.SHORT, State.NOT_FUNDS)


class NeedKey(NamedTuple):
    """Which need."""

    tenant: str
    kind: NeedKind
    id: str
    holding: Holding


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """How much of one holding something wants."""

    key: NeedKey
    wallet: str
    place: int = 0
    """Among the needs of its ask."""
    mode: Mode = Mode.BALANCE
    lines: tuple[BillLine, ...] = ()
    """Why that amount. The line `gas` follows the fee."""
    gas_limit: int | None = None
    """Units of gas, or of compute on Solana, that it leaves room for; the line comes with the first fee read."""
    state: State = State.UNKNOWN
    refusal: str | None = None
    """Why Stripe would not sell this asset to this person."""
    since: int | None = None
    """Height from which balances say something about it."""
    closed_at: datetime | None = None
    """Nothing is asked for it any more: it was met at the closing depth, or its top-up was refused or withdrawn."""
    bill: Mapping[str, Any] | None = None
    expires_at: datetime
    created_at: datetime

    @property
    def amount(self) -> int:
        """Base units; 0 in mode `rise`."""
        return sum(line.amount for line in self.lines if line.what != "rate")

    @property
    def has_gas(self) -> bool:
        """Whether it leaves room for gas, which a buffer belongs to."""
        return self.gas_limit is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A transaction, checkout or swap, as it stands in the store."""

    tenant: str
    kind: NeedKind
    id: str
    wallet: str
    network: NetworkId
    status: State
    reason: Mapping[str, Any] | None = None
    body: Mapping[str, Any]
    """As the backend wrote it."""
    notify: bool = True
    received: tuple[Mapping[str, Any], ...] | None = None
    transaction_hash: str | None = None
    expires_at: datetime
    version: int = 1
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Link:
    """A top-up is for a need."""

    top_up: str
    need: NeedKey
    state: State
    closed: bool
