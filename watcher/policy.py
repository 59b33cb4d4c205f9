"""When is a wallet short, and what follows from it. Pure: facts in, a decision out; no I/O, no clock.

At the head of the chain `plan_change` says how a holding stands and whether to ask. At the closing depth
`plan_close` says whether an ask has been answered, or is needed no more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from chains.amounts import round_up
from chains.model import Holding
from config.model import Level, NetworkAsset
from watcher.model import Bill, BillLine, HoldingStatus, OpenTopUp, Position, Requirement, TopUpStatus

EU = frozenset(
    "AT BE BG HR CY CZ DK EE FI FR DE GR HU IE IT LV LT LU MT NL PL PT RO SK SI ES SE".split()  # noqa: SIM905  a table
)
"""Member states of the European Union (ISO 3166-1), where Stripe's EU column applies."""

LOWERED = "lowered_to_maximum"
"""What becomes of an amount that is more than can be bought at once."""


class Why(StrEnum):
    """The outcome of a decision: why an ask was opened, or why not."""

    FINE = "fine"
    OPENED = "opened"
    ASKED_ALREADY = "asked_already"
    COVERED_IN_FLIGHT = "covered_in_flight"
    COOLDOWN = "cooldown"
    WAITING_FOR_DROP = "waiting_for_drop"
    PAUSED = "paused"
    TELL_ONLY = "tell_only"
    NOT_SOLD_HERE = "not_sold_here"
    NOT_SOLD_IN_REGION = "not_sold_in_region"
    NO_ONRAMP = "no_onramp"


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A requirement that is not met at a block."""

    requirement: Requirement
    missing: int
    """Base units: target + gas buffer - balance."""


@dataclass(frozen=True, slots=True)
class Change:
    """What one position becomes at a block."""

    status: HoldingStatus
    waiting: bool
    recovered: bool
    """Far enough above the trigger that the next fall is a new one: forgets the cooldown."""
    why: Why
    open: Bill | None = None
    """The ask to open."""
    wanted: Bill | None = None
    """What the levels would ask for, though an open ask stands already; `open` itself where there is none."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What surrounds a decision without being on chain."""

    asset: NetworkAsset
    country: str | None
    onramp: bool
    """Whether the tenant has an onramp account at all."""
    cooldown: timedelta


def resolve_level(level: Level, transaction_cost: int | None) -> int | None:
    """Base units of a level: its amount, or what that many typical transactions cost now; None if that is unknown."""
    if level.amount is not None:
        return level.amount
    if level.transactions is None or transaction_cost is None:
        return None
    return level.transactions * transaction_cost


def find_shortfall(requirement: Requirement, balance: int) -> Shortfall | None:
    """A shortfall exists below the trigger; what is missing counts up to the target and the gas buffer."""
    if balance >= requirement.trigger:
        return None
    return Shortfall(requirement, requirement.target + requirement.buffer - balance)


def find_status(requirement: Requirement, balance: int) -> HoldingStatus:
    """How a known balance stands against the requirement."""
    if requirement.critical is not None and balance < requirement.critical:
        return HoldingStatus.CRITICAL
    return HoldingStatus.LOW if balance < requirement.trigger else HoldingStatus.OK


def find_refusal(asset: NetworkAsset, country: str | None) -> Why | None:
    """Why Stripe would not sell this asset to somebody there; None when it would, or when the country is not known."""
    onramp = asset.onramp
    if onramp is None or not (onramp.sold_us or onramp.sold_eu):
        return Why.NOT_SOLD_HERE
    if country is None:
        return None
    sold = onramp.sold_us if country == "US" else onramp.sold_eu and country in EU
    return None if sold else Why.NOT_SOLD_IN_REGION


def make_bill(position: Position, shortfall: Shortfall, asset: NetworkAsset) -> Bill:
    """What to ask for: the shortfall less what is in flight, rounded up to Stripe's precision, within the limits."""
    requirement = shortfall.requirement
    in_flight = _in_flight(position)
    missing = max(0, shortfall.missing - in_flight)
    asked, adjusted = fit_amount(missing, asset)
    lines = [BillLine("target", requirement.target)]
    if requirement.buffer:
        lines.append(BillLine("buffer", requirement.buffer))
    return Bill(
        asset=asset,
        at=position.at,
        lines=tuple(lines),
        needed=min(requirement.target + requirement.buffer, position.balance + in_flight + asked),
        balance=position.balance,
        in_flight=in_flight,
        missing=missing,
        asked=asked,
        adjusted=adjusted,
    )


def fit_amount(missing: int, asset: NetworkAsset) -> tuple[int, str | None]:
    """What can be asked for: rounded up to Stripe's precision, within the asset's limits; and what was adjusted."""
    precision = asset.onramp.decimals if asset.onramp else asset.asset.decimals
    asked = round_up(missing, asset.asset.decimals, to=precision)
    if asked < asset.minimum:
        return round_up(asset.minimum, asset.asset.decimals, to=precision), "raised_to_minimum"
    if asset.maximum is not None and asked > asset.maximum:
        return asset.maximum, LOWERED
    return asked, None


def plan_change(position: Position, terms: Terms, *, now: datetime) -> Change:
    """How a position stands at the head, and whether to ask. At most one open ask per holding, whatever comes."""
    requirement = position.requirement
    status = find_status(requirement, position.balance)
    change = Change(
        status=status,
        waiting=position.waiting and status is not HoldingStatus.OK,
        recovered=position.balance >= requirement.recovered_at,
        why=Why.FINE,
    )
    shortfall = find_shortfall(requirement, position.balance)
    if shortfall is None:
        return change
    silence = _reason_to_stay_silent(position, terms, now=now)
    bill = make_bill(position, shortfall, terms.asset)
    if silence is Why.ASKED_ALREADY:
        return replace(change, why=silence, wanted=bill)
    if silence is not None:
        return replace(change, why=silence)
    if bill.balance + bill.in_flight >= requirement.trigger:
        return replace(change, why=Why.COVERED_IN_FLIGHT)
    if any(t.status is TopUpStatus.OPEN for t in position.top_ups):  # for others only: it may be for the levels, too
        return replace(change, why=Why.ASKED_ALREADY, wanted=bill)
    return replace(change, why=Why.OPENED, open=bill, wanted=bill)


def _reason_to_stay_silent(position: Position, terms: Terms, *, now: datetime) -> Why | None:
    """The first rule that forbids an ask for a holding that is short, or None."""
    refusal = find_refusal(terms.asset, terms.country)
    cooling = position.ended_at is not None and now < position.ended_at + terms.cooldown
    rules = (
        (not position.requirement.ask, Why.TELL_ONLY),
        (not terms.onramp, Why.NO_ONRAMP),
        (refusal is not None, refusal),
        (position.waiting, Why.WAITING_FOR_DROP),
        (position.paused_until is not None and now < position.paused_until, Why.PAUSED),
        (any(_asks_already(t) for t in position.top_ups), Why.ASKED_ALREADY),
        (cooling, Why.COOLDOWN),
    )
    return next((why for applies, why in rules if applies), None)


def _asks_already(top_up: OpenTopUp) -> bool:
    """Whether it is open for the levels, or brings nobody knows how much."""
    return top_up.for_funding if top_up.status is TopUpStatus.OPEN else top_up.asked is None


def _in_flight(position: Position) -> int:
    return sum(t.asked or 0 for t in position.top_ups if t.status is TopUpStatus.SETTLING)


class Close(StrEnum):
    """What the closing depth says about an ask."""

    NOTHING = "nothing"
    RISEN = "risen"
    """The need is gone while the ask is unpaid, as far as we know: ask the onramp before saying so."""
    FALLEN = "fallen"
    """An earlier `RISEN` no longer holds."""
    LANDED = "landed"


@dataclass(frozen=True, slots=True)
class Followed:
    """What `plan_close` has to know of an active top-up."""

    status: TopUpStatus
    needed: int | None
    """balance_at_least, base units; None where it is not the balance that tells."""
    recovered_at: Mapping[Holding, int]
    """Where each holding counts as recovered, base units."""
    baselines: Mapping[Holding, int]
    """Each destination's balance when the ask was decided, with what was in flight; one not read since is absent."""
    risen: bool
    to_receive: int | None = None
    """received_at_least, base units; None where any rise will do, or the balance tells."""
    idle: bool = False
    """All that it was for was met or is over, whatever the balance has become since."""


def plan_close(ask: Followed, settled: Mapping[Holding, int]) -> Close:
    """Judge an active ask by balances at the closing depth. A holding that is absent from `settled` is unknown.

    A paid ask lands when its need is met; an unpaid one is only suspected of being needless: whether money is under
    way is for the onramp to say, and is asked before anything is retracted.
    """
    if ask.status is TopUpStatus.SETTLING:
        return Close.LANDED if _met(ask, settled) else Close.NOTHING
    gone = _gone(ask, settled)
    if gone is None or gone == ask.risen:
        return Close.NOTHING
    return Close.RISEN if gone else Close.FALLEN


def _met(ask: Followed, settled: Mapping[Holding, int]) -> bool:
    if ask.needed is None:
        return _rose(ask, settled, by=ask.to_receive or 1)
    return any(amount >= ask.needed for holding, amount in settled.items() if holding in ask.baselines)


def _gone(ask: Followed, settled: Mapping[Holding, int]) -> bool | None:
    """Whether an unpaid ask has lost its reason; None when the balances that would tell are not known."""
    if ask.idle:
        return True
    known = [holding for holding in ask.baselines if holding in settled]
    if not known:
        return None
    if ask.to_receive is not None:
        return False  # a purchase is not needless because there is money already
    if ask.needed is None:
        rose = _rose(ask, settled, by=1)
        return rose if rose or len(known) == len(ask.baselines) else None
    return all(settled[holding] >= ask.recovered_at.get(holding, ask.needed) for holding in known)


def _rose(ask: Followed, settled: Mapping[Holding, int], *, by: int) -> bool:
    return any(settled[h] >= baseline + by for h, baseline in ask.baselines.items() if h in settled)


def find_outcome(asked: int | None, received: Sequence[int]) -> str:
    """`full` or `partial`, by what transactions of the onramp brought; `full` when nothing was asked in particular."""
    return "partial" if asked is not None and received and sum(received) < asked else "full"
