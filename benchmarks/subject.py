"""The daemon's detection as a neutral harness's subject: its chain adapter and its rule, without store and onramp.

`RPC_URL=… ADDRESSES=FILE THRESHOLD=WEI POLL_MS=250 .venv/bin/python -m benchmarks.subject` watches the coins of the
addresses in the file, one a line, and prints JSON lines: `ready` once each was read, then `low` and `recovered` with
address, block and the time in ms, and `retracted` for a `low` whose block was orphaned and whose reason is gone.
`WS_URL`, where there is one, wakes it at each head.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import aiohttp
import structlog

from chains.ethereum.adapter import EthereumChain
from chains.model import NATIVE, Asset, Balance, Holding, NetworkId, Step
from watcher.model import HoldingStatus, Requirement
from watcher.policy import find_status

PAGE: Final = 20_000


def tell(event: str, **more: object) -> None:
    """One line."""
    sys.stdout.write(json.dumps({"ev": event, **more}, separators=(",", ":")) + "\n")
    sys.stdout.flush()


class Subject:
    """How each address stands: only those that are low are remembered, each with the block that it was told of."""

    def __init__(self, threshold: int) -> None:
        self._threshold = threshold
        self._low: dict[str, str | None] = {}

    def judge(self, balance: Balance, orphaned: set[str | None]) -> None:
        """Tell what is new."""
        holding = balance.holding
        requirement = Requirement("", "", holding, self._threshold, self._threshold)
        low = find_status(requirement, balance.amount) is not HoldingStatus.OK
        before = self._low.get(holding.address)
        if low == (holding.address in self._low):
            return
        if low:
            self._low[holding.address] = balance.at.hash
        else:
            del self._low[holding.address]
        event = "low" if low else "retracted" if before in orphaned else "recovered"
        tell(event, address=holding.address, block=balance.at.number, t=time.time_ns() // 1_000_000)


def read_addresses(path: Path, network: NetworkId) -> Iterator[list[Holding]]:
    """Page by page."""
    page = []
    with path.open(encoding="ascii") as lines:
        for line in lines:
            if line.strip():
                page.append(Holding(network, NATIVE, line.strip()))
            if len(page) == PAGE:
                yield page
                page = []
    yield page


async def find_chain_id(url: str) -> int:
    """As the node says; once it answers."""
    body = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}
    async with aiohttp.ClientSession(trust_env=False) as http, http.post(url, json=body) as answer:
        return int((await answer.json(content_type=None))["result"], 16)


async def main() -> None:
    """Until it is ended."""
    url, threshold = os.environ["RPC_URL"], int(os.environ["THRESHOLD"])
    chain_id = await find_chain_id(url)
    network = NetworkId(f"eip155:{chain_id}")
    ws = [os.environ["WS_URL"]] if "WS_URL" in os.environ else []
    subject, orphaned, count, seen = Subject(threshold), set[str | None](), 0, 0
    chain = EthereumChain(
        network,
        chain_id,
        http_urls=[url],
        ws_urls=ws,
        assets=[Asset(network, NATIVE, "ETH", 18)],
        poll_seconds=int(os.environ.get("POLL_MS", "250")) / 1000,
    )
    async with chain:
        for page in read_addresses(Path(os.environ["ADDRESSES"]), network):
            chain.watch(page)
        count = len(chain.watched)
        async for step in chain.follow(None):
            balances = await read(chain, step)
            orphaned |= {block.hash for block in step.orphaned}
            for balance in balances:
                subject.judge(balance, orphaned)
            before, seen = seen, seen + len(balances)
            if before < count <= seen or (count == 0 and before == 0):
                tell("ready")


async def read(chain: EthereumChain, step: Step) -> tuple[Balance, ...]:
    """Balances of what may have changed, at the step's block."""
    return await chain.balances(sorted(step.dirty), step.block) if step.dirty else ()


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        import uvloop

        uvloop.run(main())
    except ImportError:
        asyncio.run(main())
