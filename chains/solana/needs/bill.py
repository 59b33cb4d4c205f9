"""A finding as a list of what must be there and why. No I/O."""

from collections.abc import Iterator
from dataclasses import replace

from chains.model import NATIVE, BlockRef
from chains.needs import Limits, Outflow, TransactionNeeds, Verdict
from chains.solana.needs.fee import Charge, charge_of
from chains.solana.needs.finding import Finding
from chains.solana.needs.proposal import Proposal
from chains.solana.needs.snapshot import Snapshot


def make_needs(
    proposal: Proposal, snapshot: Snapshot, finding: Finding, limits: Limits, calls: int
) -> TransactionNeeds:
    """The answer: amounts over the limit are refused, unknown tokens are named and not asked for."""
    finding = _bounded(_reachable(finding), limits)
    charge = charge_of(proposal)
    agrees = not finding.fee or finding.fee == charge.total
    known = [taken for taken in finding.tokens if taken.mint in limits.known]
    lacking = (taken for taken in finding.tokens if taken.have < taken.amount)
    unknown = sorted({taken.mint for taken in lacking if taken.mint not in limits.known})
    tokens = (
        Outflow(taken.mint, taken.amount, "required", {} if taken.is_associated else {"account": taken.account})
        for taken in known
    )
    return TransactionNeeds(
        at=BlockRef(snapshot.slot, None),
        outflows=(*tokens, *_coin(finding, charge)),
        verdict=finding.verdict,
        detail=finding.detail,
        exact=finding.exact and agrees,
        method=finding.method,
        reads=snapshot.reads,
        unknown_assets=tuple(unknown),
        calls=calls,
    )


def _coin(finding: Finding, charge: Charge) -> Iterator[Outflow]:
    taken = finding.coin - finding.fee - finding.rent - finding.keep
    base = min(charge.base, finding.fee)
    if taken:
        yield Outflow(NATIVE, taken, "required")
    if base:
        yield Outflow(NATIVE, base, "gas", {"signatures": charge.signatures})
    if finding.fee > base:
        yield Outflow(NATIVE, finding.fee - base, "priority_fee", {"units": charge.units, "price": charge.price})
    if finding.rent:
        yield Outflow(NATIVE, finding.rent, "rent")
    if finding.keep:
        yield Outflow(NATIVE, finding.keep, "keep")


def _bounded(finding: Finding, limits: Limits) -> Finding:
    if any(amount > limits.most_units for amount in (finding.coin, *(taken.amount for taken in finding.tokens))):
        return _without_amounts(finding, Verdict.UNKNOWN, "it takes more than anybody has")
    return finding


def _without_amounts(finding: Finding, verdict: Verdict, detail: str) -> Finding:
    return replace(finding, verdict=verdict, detail=detail, coin=0, fee=0, rent=0, keep=0, tokens=(), exact=False)


def _reachable(finding: Finding) -> Finding:
    """Tokens bought arrive in the wallet's associated account: another one that lacks some can't be helped by that."""
    for taken in finding.tokens:
        if not taken.is_associated and taken.have < taken.amount:
            why = f"takes tokens out of {taken.account}, which isn't the wallet's associated account"
            return _without_amounts(finding, Verdict.REVERTS, why)
    return replace(finding, tokens=tuple(each for each in finding.tokens if each.is_associated))
