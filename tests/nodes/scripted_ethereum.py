"""An Ethereum node that does as it is told: an HTTP server with a chain in memory, faults and refusals by script."""

import asyncio
import json
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final, Self

from aiohttp import web

from chains.ethereum.planted.code import runtime
from chains.ethereum.reader import PLANTED_AT
from tests.nodes.anvil import CHAIN_ID, free_port

GENESIS_TIME: Final = 1_700_000_000
MINER: Final = "0x" + "00" * 20


class Fault(Enum):
    """What goes wrong with one answer."""

    RATE_LIMITED = auto()
    UNAVAILABLE = auto()
    LIMIT_IN_200 = auto()
    HTML = auto()
    CUT_OFF = auto()
    EMPTY = auto()
    WRONG_ID = auto()
    NULL = auto()
    DROPPED = auto()
    SILENT = auto()
    MISSING_ITEM = auto()
    TWICE_AN_ITEM = auto()


class Refused(Exception):
    """A JSON-RPC error to answer with."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message}


@dataclass
class ScriptedBlock:
    """A block and the state after it."""

    number: int
    hash: str
    parent: str
    balances: dict[tuple[str | None, str], int]
    """By token (None: the coin) and address, both lower case."""
    transactions: list[dict[str, Any]] = field(default_factory=list)
    withdrawals: list[dict[str, Any]] = field(default_factory=list)
    logs: list[dict[str, Any]] = field(default_factory=list)
    traces: list[Any] | None = None


class ScriptedEthereum:
    """One such node. An async context manager."""

    def __init__(self, chain_id: int = CHAIN_ID) -> None:
        self.chain_id = chain_id
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.blocks = [ScriptedBlock(0, make_hash(0, "g"), "0x" + "00" * 32, {})]
        self.lag = 0
        """Blocks that `latest` is behind."""
        self.codes: set[str] = set()
        self.refused: dict[str, Refused] = {"debug_traceBlockByHash": Refused(-32601, "the method does not exist")}
        self.fixed: dict[str, Any] = {}
        """Results given whatever the parameters are."""
        self.overrides = "taken"
        """Or `refused`, or `ignored`."""
        self.largest = 10_000
        """Addresses that one call may ask for."""
        self.faults: deque[Fault] = deque()
        self.fault_on: Callable[[str], bool] = lambda method: method != "eth_chainId"
        self.retry_after = "7"
        self.calls: Counter[str] = Counter()
        self._runner: web.AppRunner | None = None
        self._held = asyncio.Event()

    async def __aenter__(self) -> Self:
        application = web.Application(client_max_size=2**26)
        application.router.add_post("/{key:.*}", self._answer)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._held.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def head(self) -> ScriptedBlock:
        """What `latest` answers."""
        return self.blocks[-1 - self.lag]

    def mine(
        self, balances: dict[str, int] | None = None, *, token: str | None = None, fork: str = "", **parts: Any
    ) -> ScriptedBlock:
        """One block after which these addresses have these balances."""
        parent = self.blocks[-1]
        state = {**parent.balances, **{(token, address.lower()): units for address, units in (balances or {}).items()}}
        block = ScriptedBlock(parent.number + 1, make_hash(parent.number + 1, fork), parent.hash, state, **parts)
        self.blocks.append(block)
        return block

    def drop(self, depth: int) -> None:
        """Forget the last blocks."""
        del self.blocks[-depth:]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        asked = body if isinstance(body, list) else [body]
        for item in asked:
            self.calls[item["method"]] += 1
        fault = self.faults.popleft() if self.faults and self.fault_on(asked[0]["method"]) else None
        answers = [self._answer_one(item) for item in asked]
        return await self._spoil(request, fault, answers if isinstance(body, list) else answers[0])

    async def _spoil(self, request: web.Request, fault: Fault | None, answer: Any) -> web.StreamResponse:
        if fault is Fault.SILENT:
            await self._held.wait()
        if fault is Fault.DROPPED and request.transport is not None:
            request.transport.close()
        if fault in (Fault.RATE_LIMITED, Fault.UNAVAILABLE):
            status = 429 if fault is Fault.RATE_LIMITED else 503
            return web.Response(status=status, headers={"Retry-After": self.retry_after}, text="slow down")
        if fault in (Fault.HTML, Fault.EMPTY, Fault.CUT_OFF):
            texts = {Fault.HTML: "<html>Bad gateway</html>", Fault.EMPTY: "", Fault.CUT_OFF: json.dumps(answer)[:-9]}
            return web.Response(text=texts[fault], content_type="text/html")
        items = answer if isinstance(answer, list) else [answer]
        if fault is Fault.LIMIT_IN_200:
            items[0].pop("result", None)
            items[0]["error"] = {"code": -32005, "message": "daily request count exceeded"}
        if fault is Fault.NULL:
            items[0]["result"] = None
        if fault is Fault.WRONG_ID:
            items[0]["id"] += 1_000_000
        if fault is Fault.MISSING_ITEM:
            items.pop()
        if fault is Fault.TWICE_AN_ITEM:
            items[-1] = dict(items[0])
        return web.json_response(answer)

    def _answer_one(self, item: dict[str, Any]) -> dict[str, Any]:
        envelope = {"jsonrpc": "2.0", "id": item["id"]}
        try:
            if item["method"] in self.refused:
                raise self.refused[item["method"]]
            if item["method"] in self.fixed:
                return {**envelope, "result": self.fixed[item["method"]]}
            return {**envelope, "result": self._result(item["method"], item["params"])}
        except Refused as refusal:
            return {**envelope, "error": refusal.error}

    def _result(self, method: str, params: list[Any]) -> Any:  # noqa: PLR0911  a table of methods
        match method, params:
            case "eth_chainId", _:
                return hex(self.chain_id)
            case "eth_getBlockByNumber", [number, _]:
                return self._numbered(number)
            case "eth_getBlockByHash", [hash_, _]:
                found = next((block for block in self.blocks if block.hash == hash_), None)
                return self._block(found) if found else None
            case "eth_getLogs", [query]:
                wanted = {address.lower() for address in query["address"]}
                return [log for log in self._at(query).logs if log["address"].lower() in wanted]
            case "eth_getBalance", [address, at]:
                return hex(self._at(at).balances.get((None, address.lower()), 0))
            case "eth_getCode", [address, _]:
                return "0x00" if address.lower() in self.codes else "0x"
            case "eth_feeHistory", _:
                return {"baseFeePerGas": ["0x64", "0x6e"], "reward": [["0x5"], ["0x7"], ["0x9"]]}
            case "eth_call", [call, at, *overrides]:
                return self._call(self._at(at), call, *overrides)
            case "debug_traceBlockByHash", [hash_, _]:
                return self._at({"blockHash": hash_}).traces
        raise Refused(-32601, "the method does not exist")

    def _numbered(self, number: str) -> Any:
        if number in ("safe", "finalized"):
            return self._block(self.blocks[max(0, self.head.number - 8)])
        if number == "latest":
            return self._block(self.head)
        index = int(number, 16)
        return self._block(self.blocks[index]) if index <= self.head.number else None

    def _call(self, block: ScriptedBlock, call: dict[str, str], overrides: Any = None) -> str:
        if overrides is not None:
            if self.overrides == "refused":
                raise Refused(-32602, "too many arguments, want at most 2")
            if self.overrides == "ignored":
                return "0x"
            return self._planted(block, bytes.fromhex(call["data"][2:]), overrides[PLANTED_AT]["code"])
        if call["data"].startswith("0x70a08231"):
            units = block.balances.get((call["to"].lower(), "0x" + call["data"][-40:].lower()), 0)
            return "0x" + units.to_bytes(32).hex()
        return "0x"

    def _planted(self, block: ScriptedBlock, data: bytes, code: str) -> str:
        if code == runtime("CodeScanner"):
            return "0x" + "".join("01" if "0x" + part in self.codes else "00" for part in split(data))
        token = None if data[:20] == bytes(20) else "0x" + data[:20].hex()
        addresses = split(data[20:])
        if len(addresses) > self.largest:
            raise Refused(-32603, "EVM error OutOfGas")
        return "0x" + "".join(block.balances.get((token, "0x" + part), 0).to_bytes(32).hex() for part in addresses)

    def _at(self, at: Any) -> ScriptedBlock:
        if isinstance(at, str):
            return self.blocks[int(at, 16)]
        for block in self.blocks[: len(self.blocks) - self.lag]:
            if block.hash == at["blockHash"]:
                return block
        raise Refused(-32000, "header not found")

    def _block(self, block: ScriptedBlock) -> dict[str, Any]:
        return {
            "number": hex(block.number),
            "hash": block.hash,
            "parentHash": block.parent,
            "timestamp": hex(GENESIS_TIME + 12 * block.number),
            "miner": MINER,
            "transactions": block.transactions,
            "withdrawals": block.withdrawals,
        }


def make_hash(number: int, fork: str = "") -> str:
    """A hash that shows its number and its fork."""
    return "0x" + (fork.encode().hex() + format(number, "08x")).rjust(64, "0")


def split(data: bytes) -> list[str]:
    """40-digit addresses of packed calldata."""
    return [data[start : start + 20].hex() for start in range(0, len(data), 20)]
