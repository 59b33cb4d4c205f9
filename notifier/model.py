"""The words for asking people for money: onramp sessions, events, deliveries. No I/O here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True)
class Destination:
    """Where bought funds may go, in Stripe's own words."""

    network: str
    """Stripe's network value: `ethereum`, `base`, `solana`."""
    wallet_key: str
    """Stripe's key of that network in `wallet_addresses`: the same, but `base_network` for base."""
    address: str


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """One ask for one onramp session. Everything that Stripe is told, nothing else."""

    top_up: str
    attempt: int
    tenant: str
    installation: str
    destinations: tuple[Destination, ...]
    """At least one; their networks become the locked list."""
    currencies: tuple[str, ...] = ()
    """Stripe's currency values, locked when given: `usdc`, `eth`. Empty: the user chooses."""
    amount: Decimal | None = None
    """In the asset's unit, at most Stripe's precision; only with exactly one destination and one currency."""
    customer_ip_address: str | None = None


class SessionStatus(StrEnum):
    """Stripe's statuses of a `crypto.onramp_session`; a value that isn't here is kept as `UNKNOWN`."""

    INITIALIZED = "initialized"
    REQUIRES_PAYMENT = "requires_payment"
    FULFILLMENT_PROCESSING = "fulfillment_processing"
    FULFILLMENT_COMPLETE = "fulfillment_complete"
    REJECTED = "rejected"
    UNKNOWN = "unknown"

    @property
    def paid(self) -> bool:
        """The person has paid; the crypto is delivered or on its way."""
        return self in (SessionStatus.FULFILLMENT_PROCESSING, SessionStatus.FULFILLMENT_COMPLETE)

    @property
    def terminal(self) -> bool:
        """Nothing follows this status."""
        return self in (SessionStatus.FULFILLMENT_COMPLETE, SessionStatus.REJECTED)


@dataclass(frozen=True, slots=True)
class OnrampSession:
    """Stripe's object behind a link, as last answered. Its client_secret is dropped on arrival."""

    id: str
    status: SessionStatus
    livemode: bool
    link: str | None = field(repr=False)
    """`redirect_url`: whoever holds it can open the session, so it is in no repr and no log."""
    created_at: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)
    transaction: str | None = None
    """On-chain transaction, set by Stripe at `fulfillment_complete`; None when it doesn't look like one."""
    currency: str | None = None
    network: str | None = None
    amount: Decimal | None = None
    """What Stripe says was bought, in the asset's unit. Progress, not proof."""
    destinations: frozenset[tuple[str, str]] = frozenset()
    """Where it may go: Stripe's key in `wallet_addresses`, and the address."""
    currencies: frozenset[str] = frozenset()
    """Those it is locked to; empty when the person chooses."""


@dataclass(frozen=True, slots=True)
class StripeEvent:
    """A verified Stripe webhook: enough to know which session to ask about, and no secrets."""

    id: str
    type: str
    livemode: bool
    session: str | None
    """`cos_…` when the event is about an onramp session, else None."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a tenant wants its events."""

    id: str
    url: str = field(repr=False)
    """It may carry a key in its path, query or user part."""
    secrets: tuple[str, ...] = field(repr=False)
    """`whsec_…`, newest first; each attempt is signed with all of them."""
    events: tuple[str, ...] = ("*",)
    """Patterns such as `top_up.*`."""
    include_links: bool = False
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class OutgoingEvent:
    """One event as it leaves: its id is its `webhook-id` for ever."""

    id: str
    type: str
    created_at: datetime
    livemode: bool
    subject: Mapping[str, str]
    """`{"object": "top_up", "id": "tu_…"}`"""
    version: int
    data: Mapping[str, Any] = field(repr=False)


class Verdict(StrEnum):
    """What one delivery attempt came to."""

    DELIVERED = "delivered"
    RETRY = "retry"
    GONE = "gone"
    """410: the receiver wants no more."""
    REFUSED = "refused"
    """The address may not be dialled at all: never retried."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """The outcome of one delivery attempt; never an exception."""

    verdict: Verdict
    status_code: int | None = None
    detail: str = ""
    """A short reason without URL, secret or body."""
    retry_after_seconds: int | None = None
