"""A proposed transaction, understood: what it was found to need, as needs. Pure."""

from dataclasses import replace
from typing import Final

from chains.amounts import format_amount
from chains.model import NATIVE, Holding
from chains.needs import Outflow, Verdict
from config.errors import FieldError
from config.model import Network, NetworkAsset
from watcher.asks.analysis import Analysis
from watcher.asks.bodies import CheckoutBody, TransactionBody
from watcher.asks.ground import Ground, NotUnderstood, Understood, Wanting
from watcher.asks.model import Mode
from watcher.asks.reasons import find_hindrance
from watcher.model import BillLine

MOST_PURCHASES: Final = 100
"""Purchases of the largest size that a transaction may be worth."""
MOST_COINS: Final = 10**9
"""The same where there is no largest purchase: whole units."""


def understand_proposed(body: TransactionBody, ground: Ground) -> Understood:
    """What the analysis found. Raises `NotUnderstood` for what can't stand beside a transaction."""
    errors = check_beside(body)
    if body.needs:
        errors.append(FieldError("/needs", "not_wanted", "are found out where the transaction itself is given"))
    if errors:
        raise NotUnderstood(errors)
    analysis = ground.analysis or Analysis(Verdict.UNKNOWN)
    return Understood(tuple(make_wants(analysis, ground)), find_hindrance(analysis))


def check_beside(body: TransactionBody | CheckoutBody) -> list[FieldError]:
    """The gas of a transaction that is given stands in it; only who pays is stated beside it."""
    if body.gas is not None and body.gas.limit is not None:
        return [FieldError("/gas/limit", "not_wanted", "belongs into the transaction, which is given")]
    return []


def refuse_absurd(analysis: Analysis, network: Network) -> Analysis:
    """A transaction that takes more than anybody is asked to buy is none that money should be found for."""
    for reference in sorted({o.asset for o in analysis.outflows}):
        asset = network.find_asset(reference)
        total = sum(o.amount for o in analysis.outflows if o.asset == reference)
        if asset is not None and total > find_most(asset):
            most = format_amount(find_most(asset), asset.asset.decimals)
            detail = f"absurd: it takes more than {most} {asset.asset.symbol}"
            return replace(analysis, verdict=Verdict.REVERTS, detail=detail, exact=False, outflows=())
    return analysis


def find_most(asset: NetworkAsset) -> int:
    """Base units of an asset that one transaction may take: many times what can be bought at once."""
    if asset.maximum is not None:
        return MOST_PURCHASES * asset.maximum
    return MOST_COINS * int(10**asset.asset.decimals)


def make_wants(analysis: Analysis, ground: Ground) -> list[Wanting]:
    """One need for each asset that flows out; none where money would not help."""
    if analysis.hopeless:
        return []
    lines: dict[str, list[BillLine]] = {}
    for o in analysis.outflows:
        asset = ground.network.find_asset(o.asset)
        if asset is not None and o.amount:
            lines.setdefault(asset.asset.reference, []).append(_make_line(o))
    return [
        Wanting(Holding(ground.network.id, asset, ground.address), Mode.BALANCE, tuple(found))
        for asset, found in sorted(lines.items(), key=lambda each: each[0] == NATIVE)
    ]


def add_costs(want: Wanting, ground: Ground) -> Understood:
    """A purchase whose transaction is known: the price as it was told, and beside it what the transaction costs.

    Nothing until that is known, or where it would fail.
    """
    analysis = ground.analysis or Analysis(Verdict.UNKNOWN)
    if analysis.hopeless or not analysis.found:
        return Understood(reason=find_hindrance(analysis))
    found = make_wants(analysis, ground)
    others = [w for w in found if w.holding != want.holding]
    same = next((w for w in found if w.holding == want.holding), None)
    costs = () if same is None else tuple(line for line in same.lines if line.what != "required")
    return Understood((replace(want, lines=(*want.lines, *costs)), *others))


def _make_line(outflow: Outflow) -> BillLine:
    return BillLine(outflow.what, outflow.amount, outflow.extra)
