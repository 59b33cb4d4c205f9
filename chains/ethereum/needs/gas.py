"""What a transaction costs beside what it moves: gas, blobs, layer 1. No I/O."""

from collections.abc import Sequence
from typing import Any, Final

from chains.errors import RpcError, Unavailable
from chains.ethereum.answers import quantity
from chains.ethereum.needs.layer1 import Layer1
from chains.ethereum.needs.pending import BLOB_GAS
from chains.ethereum.needs.proposal import Proposal
from chains.model import NATIVE, Fee
from chains.needs import Outflow

PLAIN_GAS: Final = 21_000
"""What a plain transfer takes, always."""
MARGIN_PER_CENT: Final = 15
"""Added to an estimate, for state that moves until it is mined."""
_PER_AUTHORIZATION: Final = 25_000
"""Gas set aside for an EIP-7702 authorization that could not be estimated with."""


def gas_limit(proposal: Proposal, estimate: Any) -> int | None:
    """The limit that the wallet has chosen, or the estimate with its margin; None when there was none."""
    if proposal.gas is not None:
        return proposal.gas
    if estimate is None or isinstance(estimate, RpcError):
        return None
    try:
        gas = quantity(estimate)
    except Unavailable:
        return None
    unsigned = sum(1 for item in proposal.authorizations if "r" not in item)
    return gas if gas == PLAIN_GAS else with_margin(gas + unsigned * _PER_AUTHORIZATION)


def with_margin(amount: int) -> int:
    """The amount and 15 %, rounded up."""
    return -(-amount * (100 + MARGIN_PER_CENT) // 100)


def gas_outflows(proposal: Proposal, limit: int, fee: Fee, blob_price: int | None) -> Sequence[Outflow]:
    """Gas at the price that the sender must be able to pay, and blobs at theirs."""
    price = proposal.max_price
    cost = fee.cost(limit) if price is None else price * limit
    extra = {"limit": limit, "price": fee.price if price is None else price, "estimated": proposal.gas is None}
    outflows = [Outflow(NATIVE, cost, "gas", extra)]
    if proposal.blobs:
        price = proposal.max_blob_price if proposal.max_blob_price is not None else blob_price or 0
        size = BLOB_GAS * len(proposal.blobs)
        outflows.append(Outflow(NATIVE, price * size, "gas", {"blob_gas": size, "price": price}))
    return outflows


def layer1_outflow(fees: Layer1) -> Outflow:
    """Layer 1's fee moves with its base fee, so the margin is added to it too."""
    data = with_margin(fees.data or 0)
    operator = with_margin(fees.operator)
    return Outflow(NATIVE, data + operator, "l1_fee", {"data": data, "operator": operator})
