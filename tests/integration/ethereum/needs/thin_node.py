"""A node that can less than the one behind it: refuses methods, or overrides of state; counts round trips."""

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp
from aiohttp import web

from tests.nodes.anvil import free_port

_OVERRIDES_AT = {"eth_call": 2, "eth_estimateGas": 2}


@dataclass
class ThinNode:
    """An HTTP server before a node. An async context manager."""

    behind: str
    refused: set[str] = field(default_factory=set)
    """Methods that it says it does not have."""
    overrides: str = "taken"
    """Or `refused`, or `ignored`."""
    delay: float = 0.0
    """Seconds before each answer."""
    fixed: dict[str, Any] = field(default_factory=dict)
    """Results given whatever the node behind it says."""
    trips: int = 0
    calls: Counter[str] = field(default_factory=Counter)

    async def __aenter__(self) -> Self:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._session = aiohttp.ClientSession()
        application = web.Application(client_max_size=2**26)
        application.router.add_post("/", self._answer)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def _answer(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        self.trips += 1
        items = body if isinstance(body, list) else [body]
        self.calls.update(item["method"] for item in items)
        await asyncio.sleep(self.delay)
        refusals = {item["id"]: refusal for item in items if (refusal := self._refusal(item))}
        passed = [self._changed(item) for item in items if item["id"] not in refusals]
        answers = list(refusals.values())
        if passed:
            async with self._session.post(self.behind, json=passed) as response:
                answers += await response.json(content_type=None)
        return web.json_response(answers if isinstance(body, list) else answers[0])

    def _refusal(self, item: dict[str, Any]) -> dict[str, Any] | None:
        envelope = {"jsonrpc": "2.0", "id": item["id"]}
        method, params = item["method"], item["params"]
        if method in self.fixed:
            return {**envelope, "result": self.fixed[method]}
        if method in self.refused:
            return {**envelope, "error": {"code": -32601, "message": f"the method {method} does not exist"}}
        if self.overrides == "refused" and len(params) > _OVERRIDES_AT.get(method, 99):
            return {**envelope, "error": {"code": -32602, "message": "too many arguments, want at most 2"}}
        return None

    def _changed(self, item: dict[str, Any]) -> dict[str, Any]:
        at = _OVERRIDES_AT.get(item["method"], 99)
        if self.overrides == "ignored" and len(item["params"]) > at:
            return {**item, "params": item["params"][:at]}
        return item
