"""How things look to a wallet backend: the shapes of the API's answers and of events. Pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from chains.amounts import format_amount
from chains.model import BlockRef
from config.errors import FieldError
from config.model import Network
from watcher.model import Bill, SessionState, TopUp, TopUpStatus
from watcher.model import Session as OnrampAttempt
from watcher.policy import LOWERED

JSON = dict[str, Any]


def render_time(at: datetime | None) -> str | None:
    """RFC 3339 in UTC, to the millisecond."""
    return None if at is None else at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def render_faults(errors: Sequence[FieldError]) -> list[JSON]:
    """What is wrong, each with its place."""
    return [{"field": e.field, "code": e.code, "message": e.message} for e in errors]


def render_block(at: BlockRef) -> JSON:
    """`as_of`: where and when a balance is true."""
    return {"height": at.number, "hash": at.hash, "time": render_time(at.time)}


def render_bill(bills: Sequence[Bill], network: Network, *, method: str) -> JSON:
    """The bill of one ask; stored with it as it was decided, so that it never changes afterwards."""
    return {"exact": True, "method": method, "assets": [render_asset_bill(bill, network) for bill in bills]}


def render_asset_bill(bill: Bill, network: Network) -> JSON:
    """One asset's part of a bill."""
    asset = bill.asset.asset

    def amount(units: int) -> str:
        return format_amount(units, asset.decimals)

    entry: JSON = {
        "network": network.name,
        "asset": asset.symbol,
        "decimals": asset.decimals,
        "as_of": render_block(bill.at),
        "lines": [{"what": line.what, "amount": amount(line.amount), **line.extra} for line in bill.lines],
        "needed": amount(bill.needed),
        "balance": amount(bill.balance),
        "in_flight": amount(bill.in_flight),
        "missing": amount(bill.missing),
        "asked": None if bill.asked is None else amount(bill.asked),
    }
    if bill.adjusted is not None:
        entry["adjusted"] = {"code": bill.adjusted}
    if bill.to_receive is not None:
        entry["landed_when"] = {"received_at_least": amount(bill.to_receive)}
    elif bill.asked is None:
        entry["landed_when"] = {"any_rise": True}
    else:
        entry["landed_when"] = {"balance_at_least": amount(bill.needed)}
    return entry


def note_lowered(bill: Mapping[str, Any] | None) -> JSON | None:
    """The bill of a top-up that some more want than can be bought at once."""
    if bill is None:
        return None
    return {**bill, "assets": [{**entry, "adjusted": {"code": LOWERED}} for entry in bill["assets"]]}


def note_needed(bill: Mapping[str, Any] | None, needed: int) -> JSON | None:
    """The bill of one asset's top-up that lands at another balance than when it was opened."""
    if bill is None:
        return None
    (entry,) = bill["assets"]
    lands = {"balance_at_least": format_amount(needed, entry["decimals"])}
    return {**bill, "assets": [{**entry, "landed_when": lands}]}


def is_lowered(bill: Mapping[str, Any] | None) -> bool:
    """Whether a top-up is for less than was wanted."""
    entries = [] if bill is None else bill["assets"]
    return any(entry.get("adjusted", {}).get("code") == LOWERED for entry in entries)


def find_link_status(top_up: TopUp, attempt: OnrampAttempt | None) -> str:
    """`pending` until there is a link, `ready`, `withheld` during a pause, and `gone` when the ask is over."""
    if top_up.status is not TopUpStatus.OPEN:
        return "gone"
    if attempt is not None and attempt.link is not None:
        return "ready"
    return "withheld" if top_up.withheld else "pending"


def render_onramp(attempt: OnrampAttempt | None) -> JSON | None:
    """The latest attempt; None before the first."""
    if attempt is None or attempt.state is SessionState.NONE:
        return None
    return {
        "provider": "stripe",
        "session": attempt.stripe_id,
        "status": attempt.status,
        "livemode": attempt.livemode,
    }


def render_top_up(
    top_up: TopUp,
    attempt: OnrampAttempt | None,
    *,
    subjects: Sequence[Mapping[str, str]],
    with_link: bool = False,
) -> JSON:
    """A top-up as the API shows it. `link` is there only for those that may see it, and while it is of use."""
    link_status = find_link_status(top_up, attempt)
    decimals = top_up.destinations[0].decimals if len(top_up.destinations) == 1 else None
    return {
        "object": "top_up",
        "id": top_up.id,
        "status": top_up.status.value,
        "version": top_up.version,
        "wallet": top_up.wallet,
        "for": [dict(subject) for subject in subjects],
        "group": top_up.group,
        "destinations": [
            {"network": d.network_name, "asset": d.symbol, "decimals": d.decimals, "address": d.holding.address}
            for d in top_up.destinations
        ],
        "asked": None if top_up.asked is None or decimals is None else format_amount(top_up.asked, decimals),
        "bill": top_up.bill,
        "reason": dict(top_up.reason),
        "onramp": render_onramp(attempt),
        "link": attempt.link if with_link and attempt is not None and link_status == "ready" else None,
        "link_status": link_status,
        "link_mode": top_up.link_mode,
        "notify": top_up.notify,
        "expires_at": render_time(top_up.expires_at),
        "late": top_up.late,
        "overdue": top_up.overdue,
        "superseded_by": top_up.superseded_by,
        "received": None if top_up.received is None else [dict(r) for r in top_up.received],
        "outcome": top_up.outcome,
        "failure": None if top_up.failure is None else {"code": top_up.failure},
        "timeline": [dict(step) for step in top_up.timeline],
        "metadata": {},
        "created_at": render_time(top_up.created_at),
        "updated_at": render_time(top_up.updated_at),
    }
