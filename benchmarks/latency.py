"""From a transaction that empties a wallet to the link at the backend's webhook: the whole daemon, on a local node.

`.venv/bin/python -m benchmarks.latency [WALLETS]` prints medians and 99th percentiles of both legs, and their ratio.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from scripts.local_world import build_world
from tests.acceptance.test_kill import PLAN, address_of, register
from tests.nodes.anvil import COIN
from tests.nodes.processes import until


async def main(wallets: int) -> None:
    """Spend one after another; clocks are ours: when the node took the transaction, when each event arrived."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        world = await build_world(stack, folder, PLAN)
        rich = (await world.anvil.accounts())[0]
        for number in range(wallets):
            await world.give(address_of(number), "ETH", COIN // 10)
            await register(world, number)
        spent: dict[str, float] = {}
        seen: dict[tuple[str, str], float] = {}

        async def watch() -> bool:
            for event in world.events():
                name = (
                    event["data"].get("top_up", event["data"].get("wallet", {})).get("wallet") or event["subject"]["id"]
                )
                seen.setdefault((event["type"], name), time.perf_counter())
            return sum(kind == "top_up.link_ready" for kind, _ in seen) == len(spent)

        for number in range(wallets):
            spend = {"from": address_of(number), "to": rich, "value": hex(COIN * 7 // 100)}
            await world.anvil.rpc("eth_sendTransaction", spend)
            spent[f"w-{number}"] = time.perf_counter()
            await until(watch, seconds=30, what="the link", every=0.002)
    low = [(seen["wallet.low", name] - at) * 1000 for name, at in spent.items()]
    link = [(seen["top_up.link_ready", name] - at) * 1000 for name, at in spent.items()]
    for what, values in (("mined to wallet.low", low), ("mined to the link", link)):
        p99 = sorted(values)[int(len(values) * 0.99) - 1]
        print(f"{what}: median {statistics.median(values):.0f} ms, p99 {p99:.0f} ms, of {len(values)}")
    print(f"ratio {statistics.median(link) / statistics.median(low):.1f}: the link against the first word of it")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 50))
