"""What a transaction costs now."""

from statistics import median_low
from typing import Any, Final

from chains.errors import Unavailable
from chains.ethereum.answers import quantity
from chains.rpc import Request, RpcClient

_BLOCKS = 10

HISTORY: Final[Request] = ("eth_feeHistory", [hex(_BLOCKS), "latest", [50]])
"""What the price is read from."""


async def price_of_gas(rpc: RpcClient) -> int:
    """Wei a unit of gas: twice the next base fee and the median tip of the last ten blocks.

    EIP-1559's base fee can grow by 1/8 a block: twice it lasts six full blocks. Networks without a base fee
    answer `eth_gasPrice`.
    """
    return await read_price(rpc, await rpc.call(*HISTORY))


async def read_price(rpc: RpcClient, history: Any) -> int:
    """The price, from the answer to `HISTORY`."""
    fees = history.get("baseFeePerGas") if isinstance(history, dict) else None
    if not isinstance(fees, list) or not fees:
        raise Unavailable("no fee history")
    base = quantity(fees[-1])
    if base == 0:
        return quantity(await rpc.call("eth_gasPrice", []))
    tips = [quantity(row[0]) for row in history.get("reward") or () if row]
    return 2 * base + (median_low(tips) if tips else 0)
