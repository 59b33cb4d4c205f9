"""Why money would not help, and what would. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from chains.model import NetworkId
from chains.needs import Verdict
from config.model import Network
from watcher.asks.analysis import Analysis
from watcher.asks.model import Need
from watcher.policy import find_refusal

DETAILS: Final = {
    "not_sold_here": "Stripe does not sell this asset on this network",
    "not_sold_in_region": "Stripe does not sell this asset on this network where this person is",
    "no_onramp": "No onramp account is configured for this backend",
    "reverts": "The transaction would fail however much was there",
    "deadline": "The time of the transaction is over",
    "allowance": "An approval is missing",
    "unknown_asset": "It needs more than is there of tokens that are not configured on this network",
    "no_rate": "There is no rate, or no fresh one, to turn the price into an amount",
}
MOST_ALTERNATIVES: Final = 16
MOST_NAMED: Final = 5
"""Tokens named in one sentence."""


def find_hindrance(analysis: Analysis) -> dict[str, Any] | None:
    """Why a transaction would fail however much of what is sold was there; None where it would not."""
    if analysis.verdict in (Verdict.REVERTS, Verdict.DEADLINE):
        code = analysis.verdict.value
        return write_reason(code, detail=analysis.detail or DETAILS[code])
    if analysis.lacks:
        named = ", ".join(analysis.lacks[:MOST_NAMED])
        return write_reason("unknown_asset", detail=f"{DETAILS['unknown_asset']}: {named}")
    return None


def find_allowance(analysis: Analysis | None) -> dict[str, Any] | None:
    """The approval that a transaction lacks beside money, or instead of it."""
    if analysis is None or analysis.verdict is not Verdict.ALLOWANCE:
        return None
    return write_reason("allowance", detail=analysis.detail or DETAILS["allowance"])


def make_reason(need: Need | None, network: Network, networks: Mapping[NetworkId, Network]) -> dict[str, Any]:
    """The reason of an ask that a need can't be bought for."""
    code = need.refusal if need is not None and need.refusal is not None else "not_sold_here"
    asset = None if need is None else network.find_asset(need.key.holding.asset)
    symbol = asset.asset.symbol if asset is not None else None
    return write_reason(code, find_alternatives(symbol, None, network, networks))


def write_reason(
    code: str, alternatives: list[dict[str, str]] | None = None, *, detail: str | None = None
) -> dict[str, Any]:
    """`reason` as the API shows it."""
    return {"code": code, "detail": detail or DETAILS.get(code, code), "alternatives": alternatives or []}


def find_alternatives(
    symbol: str | None, country: str | None, network: Network, networks: Mapping[NetworkId, Network]
) -> list[dict[str, str]]:
    """What is sold instead: other assets of the network, then the same asset elsewhere."""
    here = [(network, a) for a in network.assets if a.asset.symbol != symbol]
    elsewhere = [(n, a) for n in networks.values() if n.id != network.id for a in n.assets if a.asset.symbol == symbol]
    sold = [(n, a) for n, a in (*here, *elsewhere) if find_refusal(a, country) is None]
    return [{"network": n.name, "asset": a.asset.symbol} for n, a in sold[:MOST_ALTERNATIVES]]
