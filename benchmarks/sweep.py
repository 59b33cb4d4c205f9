"""All balances at one block, read as a full read of the daemon does, beside a bare scanner, by turns in one run.

`.venv/bin/python -m benchmarks.sweep [ADDRESSES] [ACCOUNTS]`: so many addresses on anvil, so many accounts on Surfpool.
The bare scanner sends the same calls and makes numbers of the answers; it knows no addresses and compares nothing.
"""

import asyncio
import resource
import struct
import sys
import time
from base64 import b64decode
from contextlib import aclosing
from statistics import median
from typing import Final

import aiohttp
from solders.pubkey import Pubkey

from chains.ethereum.adapter import EthereumChain
from chains.ethereum.planted.code import runtime
from chains.ethereum.reader import PLANTED_AT
from chains.model import NATIVE, Asset, Balance, BlockRef, Holding, NetworkId
from chains.solana.adapter import SolanaChain
from tests.nodes.anvil import CHAIN_ID, Anvil
from tests.nodes.solana import SolanaNode

EVM: Final = NetworkId(f"eip155:{CHAIN_ID}")
CLUSTER: Final = NetworkId("solana:local")
CHUNK: Final = 5_000
ACCOUNTS: Final = 100
AT_ONCE: Final = 8
ROUNDS: Final = 3


def address(number: int) -> str:
    """One of many."""
    return f"0x{(0xA0 << 152) + number:040x}"


async def scan(url: str, addresses: list[str], block_hash: str) -> int:
    """The bare scanner on EVM. Gives the sum, so that each answer was made a number."""
    override = {PLANTED_AT: {"code": runtime("BalanceScanner")}}
    at, total = {"blockHash": block_hash, "requireCanonical": True}, 0
    async with aiohttp.ClientSession(trust_env=False) as http:
        for start in range(0, len(addresses), CHUNK):
            data = "0x" + "00" * 20 + "".join(each[2:] for each in addresses[start : start + CHUNK])
            body = {"jsonrpc": "2.0", "id": 1, "method": "eth_call"}
            async with http.post(url, json={**body, "params": [{"to": PLANTED_AT, "data": data}, at, override]}) as got:
                words = bytes.fromhex((await got.json(content_type=None))["result"][2:])
            total += sum(int.from_bytes(words[i : i + 32]) for i in range(0, len(words), 32))
    return total


async def sweep_ethereum(count: int) -> None:
    """A daemon that knows them all is asked for a full read, again and again."""
    addresses = [address(number) for number in range(count)]
    ours, bare = [], []
    async with Anvil() as anvil:
        head = await anvil.rpc("eth_getBlockByNumber", "latest", False)
        at = BlockRef(int(head["number"], 16), head["hash"])
        chain = EthereumChain(EVM, CHAIN_ID, http_urls=[anvil.http], assets=[Asset(EVM, NATIVE, "ETH", 18)])
        async with chain:
            chain.recall(Balance(Holding(EVM, NATIVE, each), 0, at) for each in addresses)
            async with aclosing(chain.follow(None)) as steps:
                await anext(steps)
            for _ in range(ROUNDS):
                async with aclosing(chain.follow(None)) as steps:
                    began = time.perf_counter()
                    step = await anext(steps)
                    ours.append(time.perf_counter() - began)
                began = time.perf_counter()
                await scan(anvil.http, addresses, str(step.block.hash))
                bare.append(time.perf_counter() - began)
                if step.dirty:
                    raise RuntimeError("nothing has changed")
    report("EVM", count, ours, bare)


async def scan_accounts(url: str, keys: list[str]) -> int:
    """The bare scanner on Solana."""
    total, turns = 0, asyncio.Semaphore(AT_ONCE)
    options = {"encoding": "base64", "commitment": "confirmed"}

    async def one(http: aiohttp.ClientSession, part: list[str]) -> int:
        body = {"jsonrpc": "2.0", "id": 1, "method": "getMultipleAccounts", "params": [part, options]}
        async with turns, http.post(url, json=body) as got:
            values = (await got.json(content_type=None))["result"]["value"]
        return sum(each["lamports"] + len(b64decode(each["data"][0])) for each in values if each)

    async with aiohttp.ClientSession(trust_env=False) as http:
        parts = [keys[start : start + ACCOUNTS] for start in range(0, len(keys), ACCOUNTS)]
        total += sum(await asyncio.gather(*(one(http, part) for part in parts)))
    return total


async def sweep_solana(count: int) -> None:
    """The adapter's own bulk read."""
    keys = [str(Pubkey(struct.pack(">QQQQ", 7, 7, 7, number))) for number in range(count)]
    holdings = [Holding(CLUSTER, NATIVE, key) for key in keys]
    ours, bare = [], []
    async with SolanaNode() as node:
        chain = SolanaChain(CLUSTER, None, http_urls=[node.rpc_url], assets=[Asset(CLUSTER, NATIVE, "SOL", 9)])
        async with chain:
            slot = BlockRef(await node.slot(), None)
            for _ in range(ROUNDS):
                began = time.perf_counter()
                await chain.balances(holdings, slot)
                ours.append(time.perf_counter() - began)
                began = time.perf_counter()
                await scan_accounts(node.rpc_url, keys)
                bare.append(time.perf_counter() - began)
    report("Solana", count, ours, bare)


def report(name: str, count: int, ours: list[float], bare: list[float]) -> None:
    """Medians, and the median of the ratios round by round."""
    mine, theirs = median(ours), median(bare)
    ratio = median(a / b for a, b in zip(ours, bare, strict=True))
    print(f"{name}: {count:,} in {mine:.2f} s, {count / mine:,.0f} a second; bare {theirs:.2f} s; ratio {ratio:.2f}")


async def main(addresses: int, accounts: int) -> None:
    """Both."""
    await sweep_ethereum(addresses)
    await sweep_solana(accounts)
    print(f"peak memory of this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")


if __name__ == "__main__":
    asyncio.run(main(*(int(each) for each in (sys.argv[1:3] if len(sys.argv) > 2 else ("100000", "20000")))))
