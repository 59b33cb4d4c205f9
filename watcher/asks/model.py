"""Asks and their needs. Frozen, in base units, no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from chains.model import Holding, NetworkId
from watcher.asks.analysis import Analysis
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


GIVEN_UP = "given_up"
"""Why nothing is asked for a need: its top-up was withdrawn, refused, or not answered in time."""
ASK_BLOCKED = "ask_blocked"
"""The same: something else that its ask needs can't be bought."""


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
    """Why nothing is asked for it: Stripe would not sell this asset to this person, or one of the above."""
    since: int | None = None
    """Height from which balances say something about it."""
    closed_at: datetime | None = None
    """Nothing is asked for it any more: it was met at the closing depth, or it is over."""
    bill: Mapping[str, Any] | None = None
    expires_at: datetime
    created_at: datetime

    @property
    def amount(self) -> int:
        """Base units; 0 in mode `rise`."""
        return sum(line.amount for line in self.lines if line.what != "rate")

    @property
    def arrived(self) -> int:
        """Base units that the onramp has brought for a purchase that is not complete."""
        return -sum(line.amount for line in self.lines if line.what == "received")

    @property
    def asking(self) -> bool:
        """Something may be asked for it."""
        return self.closed_at is None and self.refusal is None

    @property
    def reserved(self) -> int:
        """Base units of the balance that are its own for as long as it lives."""
        return self.amount if self.closed_at is not None or self.mode is Mode.BALANCE else self.arrived

    @property
    def unsold(self) -> bool:
        """It is short, and can't be bought."""
        return self.state is State.SHORT and self.refusal not in (None, GIVEN_UP, ASK_BLOCKED)

    @property
    def has_gas(self) -> bool:
        """Whether it leaves room for gas, which a buffer belongs to."""
        return self.gas_limit is not None or any(line.what == "gas" for line in self.lines)


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
    analysis: Analysis | None = None
    """Of the transaction that it proposes; None where it proposes none."""
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
