"""What stands between the sandbox and a local node, and loses or refuses what a test says."""

from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer
from solders.transaction import VersionedTransaction

from tests.nodes.solana_process import free_ports


class Door:
    """Passes calls on to a node, except those that it is told to refuse or to lose."""

    def __init__(self, node: str, http: aiohttp.ClientSession) -> None:
        self.seen: list[str] = []
        self.refused = ""
        self.loses_transactions = 0
        """So many of the next ones are answered with their signature, and the validator hears nothing of them."""
        self._node = node
        self._http = http

    async def serve(self, request: web.Request) -> web.Response:
        body = await request.json()
        method = body["method"]
        self.seen.append(method)
        if method == self.refused:
            return web.Response(status=503)
        if method == "sendTransaction" and self.loses_transactions:
            self.loses_transactions -= 1
            sent = VersionedTransaction.from_bytes(b64decode(body["params"][0]))
            return web.json_response({"jsonrpc": "2.0", "id": body["id"], "result": str(sent.signatures[0])})
        async with self._http.post(self._node, json=body) as answer:
            return web.Response(body=await answer.read(), content_type="application/json")


@asynccontextmanager
async def open_door(node: str, http: aiohttp.ClientSession) -> AsyncIterator[tuple[Door, str]]:
    """A door before a node, and its URL."""
    door, app = Door(node, http), web.Application()
    app.router.add_post("/", door.serve)
    async with TestServer(app, port=free_ports(1)) as front:
        yield door, str(front.make_url("/"))
