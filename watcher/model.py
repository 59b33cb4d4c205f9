"""The watcher's own words: levels of a holding, needs, top-ups, bills. Frozen, in base units, no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from chains.model import BlockRef, Holding
from config.model import NetworkAsset


class HoldingStatus(StrEnum):
    """How a holding stands against its requirement, best first."""

    OK = "ok"
    UNKNOWN = "unknown"
    LOW = "low"
    CRITICAL = "critical"

    @property
    def short(self) -> bool:
        """Below its trigger."""
        return self in (HoldingStatus.LOW, HoldingStatus.CRITICAL)


def worst(statuses: list[HoldingStatus]) -> HoldingStatus:
    """A wallet's status: the worst of its holdings', in the order `ok unknown low critical`."""
    order = list(HoldingStatus)
    return max(statuses, key=order.index, default=HoldingStatus.OK)


class NeedKind(StrEnum):
    """Who wants money."""

    FUNDING = "funding"
    NEW_WALLET = "new_wallet"
    TRANSACTION = "transaction"
    CHECKOUT = "checkout"
    SWAP = "swap"
    ADD_FUNDS = "add_funds"


class TopUpStatus(StrEnum):
    """The life of one ask: `open → settling → landed`, or one of the other ends."""

    OPEN = "open"
    SETTLING = "settling"
    LANDED = "landed"
    RETRACTED = "retracted"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    REJECTED = "rejected"
    FAILED = "failed"

    @property
    def active(self) -> bool:
        """Money may be asked for, or is on its way."""
        return self in (TopUpStatus.OPEN, TopUpStatus.SETTLING)


class SessionState(StrEnum):
    """What we know of one attempt at the onramp."""

    CREATING = "creating"
    """Stored before the call; the outcome is not known yet."""
    CREATED = "created"
    NONE = "none"
    """Known not to exist: refused, or not found by listing. A new attempt may follow."""


class Outcome(StrEnum):
    """What a landed top-up brought."""

    FULL = "full"
    PARTIAL = "partial"
    OTHER_ASSET = "other_asset"
    OTHER_FUNDS = "other_funds"


@dataclass(frozen=True, slots=True)
class BillLine:
    """One reason for an amount."""

    what: str
    """`required other_asks gas l1_fee rent priority_fee keep buffer target price rate`."""
    amount: int
    """Base units."""
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bill:
    """What one holding needs and why, all of one block. `asked` is what the link is for."""

    asset: NetworkAsset
    at: BlockRef
    lines: tuple[BillLine, ...]
    needed: int
    balance: int
    in_flight: int
    missing: int
    asked: int | None
    """None: the person chooses."""
    adjusted: str | None = None
    """`raised_to_minimum`, `lowered_to_maximum`, or None."""
    to_receive: int | None = None
    """What must arrive on top of the balance, where the balance alone does not say that it has landed."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """A wallet's holding and the amounts it is held against, at the fee of the moment."""

    tenant: str
    wallet: str
    holding: Holding
    trigger: int
    """Base units; below it the holding is low."""
    target: int
    """Base units; a low holding is filled to it."""
    buffer: int = 0
    """Base units added to the target: gas for what the user does next. Zero for tokens."""
    critical: int | None = None
    hysteresis_percent: int = 10
    ask: bool = True

    @property
    def recovered_at(self) -> int:
        """A low holding counts as recovered from here on: some way from trigger to target, so that it can't flap."""
        return self.trigger + -(-(self.target - self.trigger) * self.hysteresis_percent // 100)


@dataclass(frozen=True, slots=True)
class OpenTopUp:
    """What a decision has to know of a top-up that is open or settling."""

    id: str
    status: TopUpStatus
    asked: int | None
    """Base units; None where the person chooses."""
    whole_wallet: bool = False
    """A new wallet's first funding, which reaches many holdings."""
    late: bool = False
    """Paid after it had ended."""
    for_funding: bool = True
    """Whether the wallet's own levels are among what it is for."""
    awaited: frozenset[Any] = frozenset()
    """Keys of the needs that it is for."""
    ended: bool = False
    """Some ask that it was for is over."""
    arrived: bool = False
    """It is paid, and the balance shows more than was there before: it may be counted twice until it has landed."""
    needed: int | None = None
    """It lands once the balance is so high, base units, wherever that came from; None where something must arrive."""

    @property
    def by_balance(self) -> bool:
        """Whether the balance alone tells that it has landed."""
        return self.needed is not None


@dataclass(frozen=True, slots=True)
class Position:
    """Everything known about one requirement when a block is decided on. The inputs of `policy.plan_change`."""

    requirement: Requirement
    balance: int
    """Base units at `at`."""
    at: BlockRef
    status: HoldingStatus
    """Before this block."""
    waiting: bool
    """`initial: wait_for_drop`: silent until the holding has been at its trigger once."""
    paused_until: datetime | None
    ended_at: datetime | None
    """When the last ask for this holding ended, if it hasn't recovered since: the cooldown counts from here."""
    top_ups: tuple[OpenTopUp, ...] = ()
    """Of this wallet, reaching this holding, open or settling."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where an ask's funds may arrive."""

    network_name: str
    symbol: str
    decimals: int
    holding: Holding
    baseline: int | None
    """Base units when the ask was decided, with what was paid and on its way; None until the holding was read."""
    since: int | None
    """Height of the baseline. Balances from before it say nothing about the ask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopUp:
    """One ask, as it stands in the store."""

    id: str
    tenant: str
    wallet: str
    scope: str
    status: TopUpStatus
    version: int
    group: str
    livemode: bool
    destinations: tuple[Destination, ...]
    asked: int | None = None
    """Base units; None for a new wallet's first funding."""
    needed: int | None = None
    """Landed once the balance is at least this, base units; None where any rise will do."""
    to_receive: int | None = None
    """Landed once so much has arrived on top of the baseline, base units."""
    bill: Mapping[str, Any] | None = None
    reason: Mapping[str, Any]
    link_mode: str
    notify: bool
    decided: BlockRef
    session_due_height: int
    session_deferred: bool = False
    withheld: bool = False
    """Its link waits for the end of a pause."""
    risen_at: datetime | None = None
    expires_at: datetime
    overdue_at: datetime | None = None
    overdue: bool = False
    late: bool = False
    superseded_by: str | None = None
    received: tuple[Mapping[str, Any], ...] | None = None
    outcome: str | None = None
    failure: str | None = None
    timeline: tuple[Mapping[str, Any], ...]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Session:
    """One attempt at the onramp, as it stands in the store."""

    top_up: str
    attempt: int
    tenant: str
    idempotency_key: str
    body: Mapping[str, Any] = field(repr=False)
    state: SessionState
    stripe_id: str | None
    status: str | None
    livemode: bool
    link: str | None = field(repr=False)
    transaction: str | None
    refusal: str | None
    tries: int
    faults: int
    called_at: datetime | None
    next_look_at: datetime | None
    looks: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event about to be recorded, in the transaction of what it tells of."""

    id: str
    tenant: str
    type: str
    subject_object: str
    subject_id: str
    version: int
    livemode: bool
    data: Mapping[str, Any]
