"""How much a bulk read saves: N balances by the Ethereum adapter, and one call a balance, on the same node in one run.

`.venv/bin/python -m benchmarks.bulk_reads [N]`
"""

import asyncio
import resource
import sys
import time

from chains.ethereum.adapter import EthereumChain
from chains.model import NATIVE, Asset, Holding, NetworkId
from tests.nodes.anvil import Anvil

NETWORK = NetworkId("eip155:31337")
SINGLE = 500
"""Balances read one call each: enough for a rate."""


async def main(count: int) -> None:
    """Print both rates and their ratio."""
    asset = Asset(NETWORK, NATIVE, "ETH", 18)
    holdings = [
        Holding(NETWORK, NATIVE, "0x" + (0xA0 << 152 | number).to_bytes(20, "big").hex()) for number in range(count)
    ]
    async with Anvil() as anvil:
        made = EthereumChain(NETWORK, 31337, http_urls=[anvil.http], assets=[asset], close_confirmations=1)
        async with made as chain:
            chain.watch(holdings)
            step = await anext(aiter(chain.follow(None)))
            began = time.perf_counter()
            read = await chain.balances(holdings, step.block)
            bulk = (time.perf_counter() - began) / len(read)
            began = time.perf_counter()
            for holding in holdings[:SINGLE]:
                await anvil.rpc("eth_getBalance", holding.address, "latest")
            single = (time.perf_counter() - began) / min(SINGLE, count)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"bulk: {bulk * 1e6:.1f} us a balance over {count}; one call each: {single * 1e6:.0f} us")
    print(f"ratio {single / bulk:.0f}; peak memory of this process {peak} MB")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000))
