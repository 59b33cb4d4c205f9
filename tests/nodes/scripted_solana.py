"""A Solana node that does as it is told: HTTP and websocket on one port, accounts in memory, faults by script."""

import asyncio
import json
from base64 import b64encode
from collections import deque
from enum import Enum, auto
from typing import Any, Final, Self

import aiohttp
from aiohttp import web
from solders.pubkey import Pubkey

from tests.nodes.solana_process import free_ports

GENESIS: Final = "7t9tciifC1gPtgUofjiKHrtZJB31u6sZMHc16R5uKU8M"
SYSTEM: Final = "11111111111111111111111111111111"


class Fault(Enum):
    """What goes wrong with one HTTP answer."""

    RATE_LIMITED = auto()
    UNAVAILABLE = auto()
    UNHEALTHY = auto()
    """Error -32005 without `data`, which some clients choke on."""
    BEHIND = auto()
    """Error -32016: the slot asked for is not reached."""
    HTML = auto()
    NULL = auto()
    WRONG_ID = auto()
    CUT_OFF = auto()
    DROPPED = auto()
    LOWER_SLOT = auto()
    SHORT = auto()
    """One account fewer than asked for."""
    BAD_BASE64 = auto()


class ScriptedSolana:
    """One such node. An async context manager. Its slot rises by one with each getSlot, unless it is `frozen`."""

    def __init__(self, genesis: str = GENESIS) -> None:
        self.genesis = genesis
        self.port = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}/?api-key=secret"
        self.ws_url = f"ws://127.0.0.1:{self.port}/ws?api-key=secret"
        self.slot = 1000
        self.frozen = False
        self.accounts: dict[str, dict[str, Any]] = {}
        self.faults: deque[Fault] = deque()
        """Of the next answers to anything but the question for the genesis hash."""
        self.always: Fault | None = None
        self.slips: deque[int] = deque()
        """By how many slots the next answers that tell one are too high."""
        self.asked: list[str] = []
        self.identifies = True
        """Whether it tells its genesis hash."""
        self.acknowledges = True
        self.tells_slots = True
        self.refuses: set[str] = set()
        self.most_per_socket: int | None = None
        self.refused = 0
        """Accounts that can't be subscribed."""
        self.sockets: list[web.WebSocketResponse] = []
        self.connections = 0
        self.subscribed: dict[str, tuple[web.WebSocketResponse, int]] = {}
        self._next_subscription = 1
        self._runner: web.AppRunner | None = None
        self._ticker: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/", self._http)
        app.router.add_post("/ws", self._http)
        app.router.add_get("/ws", self._ws)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self._ticker = asyncio.create_task(self._tell_slots())
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
        await self.drop_sockets()
        if self._runner is not None:
            await self._runner.cleanup()

    def hold(self, address: str, lamports: int, *, owner: str = SYSTEM, data: bytes = b"") -> None:
        """Put an account there."""
        self.accounts[address] = {"lamports": lamports, "owner": owner, "data": [b64encode(data).decode(), "base64"]}

    async def notify(self, address: str, slot: int | None = None) -> None:
        """Tell the subscriber of an account that it changed."""
        socket, identity = self.subscribed[address]
        value = self.accounts.get(address)
        result = {"context": {"slot": self.slot if slot is None else slot}, "value": value}
        await _send(socket, {"method": "accountNotification", "params": {"result": result, "subscription": identity}})

    async def drop_sockets(self) -> None:
        """Close every websocket."""
        for socket in self.sockets:
            await socket.close()
        self.sockets.clear()
        self.subscribed.clear()

    async def say(self, text: str) -> None:
        """Send raw text on every websocket."""
        for socket in self.sockets:
            await socket.send_str(text)

    async def _tell_slots(self) -> None:
        while True:
            await asyncio.sleep(0.05)
            for socket in self.sockets if self.tells_slots else ():
                params = {"result": {"slot": self.slot}, "subscription": 0}
                await _send(socket, {"method": "slotNotification", "params": params})

    async def _ws(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        self.connections += 1
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT and self.acknowledges:
                await self._answer_ws(socket, json.loads(message.data))
        if socket in self.sockets:
            self.sockets.remove(socket)
        return socket

    async def _answer_ws(self, socket: web.WebSocketResponse, asked: dict[str, Any]) -> None:
        method, params = asked["method"], asked["params"]
        taken = sum(on is socket for on, _ in self.subscribed.values())
        full = self.most_per_socket is not None and taken >= self.most_per_socket
        if method == "accountSubscribe" and (full or params[0] in self.refuses):
            self.refused += 1
            await _send(socket, {"id": asked["id"], "error": {"code": -32603, "message": "too many subscriptions"}})
            return
        identity = self._next_subscription = self._next_subscription + 1
        if method == "accountSubscribe":
            self.subscribed[params[0]] = (socket, identity)
        elif method == "accountUnsubscribe":
            self.subscribed = {key: value for key, value in self.subscribed.items() if value[1] != params[0]}
        result = True if method == "accountUnsubscribe" else identity
        await _send(socket, {"id": asked["id"], "result": result})

    async def _http(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        method = asked["method"]
        self.asked.append(method)
        fault = None
        if method != "getGenesisHash":
            fault = self.faults.popleft() if self.faults else self.always
        answer = {"jsonrpc": "2.0", "id": asked["id"], "result": self._result(method, asked["params"], fault)}
        match fault:
            case Fault.RATE_LIMITED:
                return web.Response(status=429, headers={"Retry-After": "0"})
            case Fault.UNAVAILABLE:
                return web.Response(status=503, text="down")
            case Fault.HTML:
                return web.Response(text="<html>hello</html>", content_type="text/html")
            case Fault.CUT_OFF:
                return web.Response(text=json.dumps(answer)[:-7])
            case Fault.DROPPED:
                assert request.transport is not None
                request.transport.abort()
            case Fault.UNHEALTHY | Fault.BEHIND:
                del answer["result"]
                code = -32005 if fault is Fault.UNHEALTHY else -32016
                answer["error"] = {"code": code, "message": "Node is behind"}
            case Fault.NULL:
                answer["result"] = None
            case Fault.WRONG_ID:
                answer["id"] = 10**9
        return web.json_response(answer)

    def _result(self, method: str, params: list[Any], fault: Fault | None) -> Any:
        if method == "getGenesisHash":
            return self.genesis if self.identifies else None
        if method == "getSlot":
            self.slot += not self.frozen
        slot = self.slot - 500 * (fault is Fault.LOWER_SLOT)
        if self.slips and method in ("getSlot", "getMultipleAccounts"):
            slot += self.slips.popleft()
        if method == "getSlot":
            return slot
        if method == "getMultipleAccounts":
            found = [self.accounts.get(address) for address in params[0]]
            if fault is Fault.SHORT:
                found.pop()
            if fault is Fault.BAD_BASE64:
                found = [{**account, "data": ["!", "base64"]} if account else None for account in found]
            return {"context": {"slot": slot}, "value": found}
        return []


def new_address() -> str:
    """An address that nobody has used."""
    return str(Pubkey.new_unique())


async def _send(socket: web.WebSocketResponse, body: dict[str, Any]) -> None:
    if not socket.closed:
        await socket.send_str(json.dumps({"jsonrpc": "2.0", **body}))
