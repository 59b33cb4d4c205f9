"""What a transaction costs now."""

from statistics import median_low

from chains.errors import Unavailable
from chains.ethereum.answers import quantity
from chains.rpc import RpcClient

_BLOCKS = 10


async def price_of_gas(rpc: RpcClient) -> int:
    """Wei a unit of gas: twice the next base fee and the median tip of the last ten blocks.

    EIP-1559's base fee can grow by 1/8 a block: twice it lasts six full blocks. Networks without a base fee
    answer `eth_gasPrice`.
    """
    history = await rpc.call("eth_feeHistory", [hex(_BLOCKS), "latest", [50]])
    fees = history.get("baseFeePerGas") if isinstance(history, dict) else None
    if not isinstance(fees, list) or not fees:
        raise Unavailable("no fee history")
    base = quantity(fees[-1])
    if base == 0:
        return quantity(await rpc.call("eth_gasPrice", []))
    tips = [quantity(row[0]) for row in history.get("reward") or () if row]
    return 2 * base + (median_low(tips) if tips else 0)
