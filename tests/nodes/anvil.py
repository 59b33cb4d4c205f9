"""A real local Ethereum node as a process of its own, with what tests need to drive it."""

import asyncio
import itertools
import json
import os
import random
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
from eth_abi.abi import encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

ROOT: Final = Path(__file__).resolve().parents[2]
BINARY: Final = ROOT / "node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
ARTIFACTS: Final[dict[str, dict[str, str]]] = json.loads(
    Path(__file__).with_name("contracts").joinpath("artifacts.json").read_text(encoding="ascii")
)
CHAIN_ID: Final = 31337
COIN: Final = 10**18
_PORTS: Final = range(20_000, 30_000)


def free_port() -> int:
    """A port that nobody listens on, below the ephemeral range (where a connect loop can meet itself)."""
    for port in random.sample(_PORTS, 50):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port")


def selector_data(signature: str, *values: Any) -> str:
    """Calldata of a function such as `transfer(address,uint256)`; argument types without tuples."""
    types = [kind for kind in signature[signature.index("(") + 1 : -1].split(",") if kind]
    return "0x" + keccak(text=signature)[:4].hex() + encode(types, values).hex()


class NodeError(Exception):
    """The node refused a request."""


class Anvil:
    """One anvil. An async context manager: entering starts it, leaving kills it."""

    def __init__(self, *arguments: str, port: int | None = None, state: Path | None = None) -> None:
        """With `state`, the chain survives `stop` and `start`; `kill` loses what came after the last stop."""
        self.port = port or free_port()
        self.http = f"http://127.0.0.1:{self.port}"
        self.ws = f"ws://127.0.0.1:{self.port}"
        self._arguments = [*arguments, *(["--state", str(state)] if state else [])]
        self._process: subprocess.Popen[bytes] | None = None
        self._session: aiohttp.ClientSession | None = None
        self._ids = itertools.count(1)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20))
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.kill()
        if self._session is not None:
            await self._session.close()

    async def start(self) -> None:
        """Start the process, and wait until it answers."""
        command = [str(BINARY), "-q", "-p", str(self.port), "--auto-impersonate", *self._arguments]
        self._process = subprocess.Popen(  # noqa: ASYNC220  starting it takes no time
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=lambda: os.nice(10),  # noqa: PLW1509  no threads hold locks that nice() needs
        )
        for _ in range(400):
            try:
                await self.rpc("eth_chainId")
            except (aiohttp.ClientError, OSError):
                if self._process.poll() is not None:
                    raise RuntimeError("anvil ended at its start") from None
                await asyncio.sleep(0.05)
            else:
                return
        raise RuntimeError("anvil did not answer within 20 s")

    async def stop(self) -> None:
        """End it in order, so that it writes its state."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            await asyncio.to_thread(self._process.wait, 20)
            self._process = None

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    async def rpc(self, method: str, *params: Any) -> Any:
        """The result of one call. Raises NodeError with the node's words."""
        if self._session is None:
            raise RuntimeError("not started")
        body = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(params)}
        try:
            answer = await self.post(body)
        except aiohttp.ServerDisconnectedError:  # a pooled connection from before a restart
            answer = await self.post(body)
        if "error" in answer:
            raise NodeError(f"{method}: {answer['error']}")
        return answer["result"]

    async def post(self, body: Any) -> Any:
        """The raw answer to a raw request, such as a batch."""
        assert self._session is not None
        async with self._session.post(self.http, json=body) as response:
            return await response.json(content_type=None)

    async def accounts(self) -> list[str]:
        """The ten unlocked, funded accounts."""
        return list(await self.rpc("eth_accounts"))

    async def submit(self, sender: str, to: str | None, data: str = "0x", value: int = 0, **more: Any) -> str:
        """Send a transaction from any account, and return its hash without waiting."""
        transaction = {"from": sender, "data": data, "value": hex(value), "gas": hex(3_000_000), **more}
        if to is not None:
            transaction["to"] = to
        return str(await self.rpc("eth_sendTransaction", transaction))

    async def send(self, sender: str, to: str | None, data: str = "0x", value: int = 0, **more: Any) -> dict[str, Any]:
        """Send a transaction and wait for its receipt; with automatic mining that is at once."""
        return await self.receipt(await self.submit(sender, to, data, value, **more))

    async def receipt(self, hash_: str) -> dict[str, Any]:
        """The receipt of a transaction, once it is mined."""
        for _ in range(400):
            receipt = await self.rpc("eth_getTransactionReceipt", hash_)
            if receipt:
                return dict(receipt)
            await asyncio.sleep(0.02)
        raise TimeoutError(hash_)

    async def deploy(self, sender: str, name: str, types: Sequence[str] = (), values: Sequence[Any] = ()) -> str:
        """Deploy a contract of `tests/nodes/contracts`, and return its address (EIP-55)."""
        create = ARTIFACTS[name]["create"] + encode(list(types), list(values)).hex()
        receipt = await self.send(sender, None, create)
        assert int(receipt["status"], 16) == 1, receipt
        return str(to_checksum_address(receipt["contractAddress"]))

    async def call(self, to: str, data: str, at: Any = "latest") -> int:
        """A view's answer as one number."""
        return int(await self.rpc("eth_call", {"to": to, "data": data}, at), 16)

    async def balance(self, address: str, token: str | None = None, at: Any = "latest") -> int:
        """The truth: one balance by the plainest call."""
        if token is None:
            return int(await self.rpc("eth_getBalance", address, at), 16)
        return await self.call(token, selector_data("balanceOf(address)", address), at)

    async def mine(self) -> None:
        """One block."""
        await self.rpc("evm_mine")
