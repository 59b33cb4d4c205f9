"""What a transaction costs now."""

from typing import Final

from chains.errors import Unavailable
from chains.rpc import RpcClient

SIGNATURE_FEE: Final = 5_000
"""Lamports a signature; fixed by the protocol."""
_MICRO: Final = 10**6
"""Micro-lamports in a lamport: priority is priced in micro-lamports a compute unit."""


def cost(units: int, price: int) -> int:
    """Lamports of a transaction with one signature, rounded up as the runtime does."""
    return SIGNATURE_FEE - (-price * units // _MICRO)


async def recent_price(rpc: RpcClient) -> int:
    """Micro-lamports a compute unit: the upper quartile of what the last 150 slots took at least. 0 where none asks.

    Raises `Unavailable`.
    """
    rows = await rpc.call("getRecentPrioritizationFees", [])
    try:
        prices = sorted(int(row["prioritizationFee"]) for row in rows)
    except (KeyError, TypeError, ValueError):
        raise Unavailable("malformed priority fees") from None
    return prices[len(prices) * 3 // 4] if prices else 0
