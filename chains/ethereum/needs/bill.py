"""Adds up what was found: the amounts that must be there, and what is absurd. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from chains.ethereum.needs.gas import gas_outflows, layer1_outflow
from chains.ethereum.needs.layer1 import Layer1
from chains.ethereum.needs.pending import Queue
from chains.ethereum.needs.proposal import Proposal
from chains.ethereum.needs.words import checksummed
from chains.model import NATIVE, Fee
from chains.needs import Limits, Outflow, Verdict


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms a transaction is looked at."""

    fee: Fee
    limits: Limits
    pays_gas: bool


@dataclass(frozen=True, slots=True)
class Found:
    """What a look has come to, without costs. Assets are lower-case contracts, or `native`."""

    amounts: Mapping[str, int]
    verdict: Verdict
    detail: str
    exact: bool
    method: str
    gas: Any = None
    """The node's estimate, or its RpcError."""
    reads: frozenset[str] = frozenset()

    def but(self, **changes: Any) -> "Found":
        """The same with some things otherwise."""
        return replace(self, **changes)


def make_outflows(
    proposal: Proposal,
    found: Found,
    terms: Terms,
    *,
    limit: int | None,
    fees: Layer1 | None,
    queue: Queue | None,
    blob_price: int | None,
) -> tuple[Outflow, ...]:
    """What moves, what it costs, and what waiting transactions take before it."""
    outflows = [Outflow(_named(asset), amount, "required") for asset, amount in found.amounts.items() if amount]
    if limit is not None:
        outflows += gas_outflows(proposal, limit, terms.fee, blob_price)
    if fees is not None:
        outflows.append(layer1_outflow(fees))
    if queue is not None:
        kept = {asset: amount for asset, amount in queue.amounts.items() if asset == NATIVE or asset in found.amounts}
        outflows += [
            Outflow(_named(a), amount, "keep", {"pending": queue.count}) for a, amount in kept.items() if amount
        ]
    return tuple(outflows)


def absurd_of(amounts: Mapping[str, int], most: int) -> str | None:
    """The reason to refuse, when some amount is more than anybody can have."""
    for asset, amount in amounts.items():
        if amount > most:
            return f"absurd: it asks for more than {most} base units of {_named(asset)}"
    return None


def _named(asset: str) -> str:
    return asset if asset == NATIVE else checksummed(asset)
