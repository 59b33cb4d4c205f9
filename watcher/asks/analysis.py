"""What was found out about a proposed transaction, kept with its ask. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from chains.model import BlockRef
from chains.needs import Outflow, TransactionNeeds, Verdict

MOST_DETAIL: Final = 300
"""Characters of a reason: some of it may have been written by a stranger's contract."""
_MOVING: Final = ("gas", "l1_fee", "priority_fee")
"""What moves with the network's fees from block to block."""
MOVED_PERCENT: Final = 10
"""Costs are written anew when they have moved by more than this: less is what the buffer is for."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """The answer of a network to one transaction, at one block; or that there is none yet."""

    verdict: Verdict
    detail: str = ""
    exact: bool = False
    method: str = ""
    at: BlockRef | None = None
    """None: it was not read yet."""
    lacks: tuple[str, ...] = ()
    """Tokens that it needs more of than are there, and that are not configured: references."""
    outflows: tuple[Outflow, ...] = ()
    looked_at: datetime | None = None
    """When it was last looked at, or tried to."""

    @property
    def found(self) -> bool:
        """Whether the network has given an answer."""
        return self.verdict is not Verdict.UNKNOWN

    @property
    def hopeless(self) -> bool:
        """Whether it would fail however much was there: nothing is asked for it."""
        return self.verdict in (Verdict.REVERTS, Verdict.DEADLINE) or bool(self.lacks)


def make_analysis(needs: TransactionNeeds, *, now: datetime) -> Analysis:
    """As the chain said it, in words that can be shown."""
    return Analysis(
        verdict=needs.verdict,
        detail=_clean(needs.detail),
        exact=needs.exact,
        method=needs.method,
        at=needs.at,
        lacks=tuple(sorted(needs.unknown_assets)),
        outflows=needs.outflows,
        looked_at=now,
    )


def _clean(detail: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in detail[:MOST_DETAIL])


def has_changed(before: tuple[Outflow, ...], after: tuple[Outflow, ...]) -> bool:
    """Whether it needs something else now; costs that have hardly moved are the same."""
    firm_before, moving_before = _split(before)
    firm_after, moving_after = _split(after)
    if firm_before != firm_after or moving_before.keys() != moving_after.keys():
        return True
    return any(abs(moving_after[a] - n) * 100 > n * MOVED_PERCENT for a, n in moving_before.items())


def _split(outflows: tuple[Outflow, ...]) -> tuple[dict[tuple[str, str], int], dict[str, int]]:
    """Amounts by asset and reason, and by asset those that move with fees."""
    firm: dict[tuple[str, str], int] = {}
    moving: dict[str, int] = {}
    for o in outflows:
        if o.what in _MOVING:
            moving[o.asset] = moving.get(o.asset, 0) + o.amount
        else:
            firm[o.asset, o.what] = firm.get((o.asset, o.what), 0) + o.amount
    return firm, moving


def write_analysis(analysis: Analysis) -> dict[str, Any]:
    """As JSON; base units are text."""
    at = analysis.at
    return {
        "verdict": analysis.verdict.value,
        "detail": analysis.detail,
        "exact": analysis.exact,
        "method": analysis.method,
        "at": None if at is None else {"height": at.number, "hash": at.hash},
        "lacks": list(analysis.lacks),
        "outflows": [
            {"asset": o.asset, "amount": str(o.amount), "what": o.what, "extra": dict(o.extra)}
            for o in analysis.outflows
        ],
        "looked_at": None if analysis.looked_at is None else analysis.looked_at.isoformat(),
    }


def read_analysis(written: Mapping[str, Any]) -> Analysis:
    """The other way round."""
    at, looked_at = written["at"], written["looked_at"]
    return Analysis(
        verdict=Verdict(written["verdict"]),
        detail=written["detail"],
        exact=written["exact"],
        method=written["method"],
        at=None if at is None else BlockRef(at["height"], at["hash"]),
        lacks=tuple(written["lacks"]),
        outflows=tuple(Outflow(o["asset"], int(o["amount"]), o["what"], o["extra"]) for o in written["outflows"]),
        looked_at=None if looked_at is None else datetime.fromisoformat(looked_at),
    )
