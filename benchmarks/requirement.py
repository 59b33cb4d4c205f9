"""What it costs to say what a transaction needs, on local nodes, beside the node's bare simulation of the same.

`.venv/bin/python -m benchmarks.requirement [RUNS] [ethereum|solana]` prints tables: median and p90, node calls and
sequential round trips of each kind of transaction, where the time goes, and what falls short of the aims.
"""

import asyncio
import sys
from collections.abc import Sequence

from benchmarks import ethereum_needs, solana_needs


async def main(runs: int, chains: Sequence[str]) -> None:
    """Print what was measured."""
    if "ethereum" in chains:
        print("\n".join(["### Ethereum (anvil)", "", *ethereum_needs.render(await ethereum_needs.measure(runs)), ""]))
    if "solana" in chains:
        print("\n".join(["### Solana (Surfpool)", "", *solana_needs.render(await solana_needs.measure(runs))]))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 30, sys.argv[2:] or ("ethereum", "solana")))
