"""What one block costs the daemon, by the number of wallets: CPU of reading 1,500 logs and 300 transactions.

`.venv/bin/python -m benchmarks.block_cost [FEW] [MANY]`: the same block, as the node sends it, against a registry of
each size; thirty of its addresses are watched in both. Timed are JSON, look-ups, and the holdings that come out.
"""

import hashlib
import json
import sys
import time
from statistics import median
from typing import Any, Final

from chains.ethereum import dirty
from chains.ethereum.registry import Registry
from chains.model import NATIVE, Asset, Holding, NetworkId

NETWORK: Final = NetworkId("eip155:31337")
TOKEN: Final = "0x" + "70" * 20
ASSETS: Final = (Asset(NETWORK, NATIVE, "ETH", 18), Asset(NETWORK, TOKEN, "USDC", 6))
LOGS: Final = 1_500
TRANSACTIONS: Final = 300
HITS: Final = 30
ROUNDS: Final = 60


def address(number: int) -> str:
    """One of the watched."""
    return make_address(f"watched {number}")


def make_address(seed: str) -> str:
    """Any, but always the same."""
    return "0x" + hashlib.sha256(seed.encode()).hexdigest()[:40]


def make_block() -> tuple[str, str]:
    """Block and logs as text; every fiftieth log and the first few transactions name somebody watched."""
    strangers = (make_address(f"stranger {n}") for n in range(10**6))
    transactions = [
        {"from": address(n) if n < HITS else next(strangers), "to": next(strangers), "input": "0x" + "ab" * 68}
        for n in range(TRANSACTIONS)
    ]
    logs = []
    for n in range(LOGS):
        ends = [next(strangers), address(n // 50) if n % 50 == 0 else next(strangers)]
        topics = [dirty.TRANSFER, *("0x" + end[2:].rjust(64, "0") for end in ends)]
        logs.append({"address": TOKEN, "topics": topics, "data": "0x" + "00" * 32, "logIndex": hex(n)})
    return json.dumps({"transactions": transactions, "miner": next(strangers)}), json.dumps(logs)


def fill(count: int) -> Registry:
    """A registry of so many wallets, each with the coin and a token."""
    registry = Registry(NETWORK, ASSETS)
    for number in range(count):
        registry.add([Holding(NETWORK, asset.reference, address(number)) for asset in ASSETS])
    return registry


def look(registry: Registry, block: str, logs: str) -> int:
    """One block, as the detector takes it in. Gives how many holdings it touched."""
    touched = dirty.Touched()
    read: Any = json.loads(block)
    dirty.from_block(registry, read, touched)
    dirty.from_logs(registry, json.loads(logs), {TOKEN: 1}, {}, touched)
    return len(list(registry.holdings(touched.keys)))


def main(few: int, many: int) -> None:
    """By turns, so that what else runs here hits both."""
    block, logs = make_block()
    sizes = {count: fill(count) for count in (few, many)}
    costs: dict[int, list[float]] = {count: [] for count in sizes}
    for _ in range(ROUNDS):
        for count, registry in sizes.items():
            began = time.process_time()
            found = look(registry, block, logs)
            costs[count].append((time.process_time() - began) * 1000)
            if found < HITS:
                raise RuntimeError(f"{found} of {HITS} were found")
    for count, spent in costs.items():
        print(f"{count:>9,} wallets: median {median(spent):.2f} ms of CPU a block, least {min(spent):.2f} ms")
    print(
        f"ratio {median(costs[many]) / median(costs[few]):.2f}; of the least {min(costs[many]) / min(costs[few]):.2f}"
    )


if __name__ == "__main__":
    main(*(int(each) for each in (sys.argv[1:3] if len(sys.argv) > 2 else ("1000", "1000000"))))
