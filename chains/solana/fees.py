"""What a transaction costs now."""

from typing import Final

from chains.errors import Unavailable
from chains.model import Fee
from chains.rpc import RpcClient

SIGNATURE_FEE: Final = 5_000
"""Lamports a signature; fixed by the protocol."""
_MICRO: Final = 10**6
"""Micro-lamports in a lamport: priority is priced in micro-lamports a compute unit."""


def make_fee(price: int) -> Fee:
    """Of transactions with one signature, at `price` micro-lamports a compute unit."""
    return Fee(price, per=_MICRO, fixed=SIGNATURE_FEE)


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
