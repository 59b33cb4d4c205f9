"""One exchange with an endpoint over HTTP, when its budget allows it."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any, Self

import aiohttp

from chains.errors import RpcError, Unavailable
from chains.rpc_answer import find_rest_in, retry_after
from chains.rpc_budget import TOO_LARGE, OverBudget
from chains.rpc_endpoint import Endpoint, OnCall


class Failed(Exception):
    """An endpoint gave nothing usable; the message says why, without its URL."""


class TooLong(Failed):
    """Its answer is longer than we read."""


class Wire:
    """Connections to the endpoints of one network. An async context manager owning its session."""

    def __init__(
        self,
        *,
        timeout_seconds: float,
        max_bytes: int,
        connections: int,
        on_call: OnCall | None,
        clock: Callable[[], float],
    ) -> None:
        """`max_bytes` bounds an answer after decompression; `on_call` is told of each call that is sent."""
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._max_bytes = max_bytes
        self._connections = connections
        self._on_call = on_call
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=30)
        self._session = aiohttp.ClientSession(connector=connector, timeout=self._timeout, trust_env=False)
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def post(self, endpoint: Endpoint, body: Any) -> bytes:
        """The body of an answer to a call or a batch, sent when its turn has come.

        A kept-alive connection that the node closed meanwhile costs one more try at once.
        """
        await self._wait_for_turn(endpoint, [call["method"] for call in (body if isinstance(body, list) else [body])])
        data = json.dumps(body, separators=(",", ":")).encode()
        try:
            try:
                return await self._post_once(endpoint, data)
            except aiohttp.ServerDisconnectedError:
                return await self._post_once(endpoint, data)
        except TimeoutError:
            raise Failed("no answer in time") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # `from None`: aiohttp's errors carry the URL, and the URL may carry a key
            raise Failed(f"no connection ({type(error).__name__})") from None

    async def _wait_for_turn(self, endpoint: Endpoint, methods: Sequence[str]) -> None:
        try:
            wait = endpoint.allowance.take(methods)
        except OverBudget:
            raise Unavailable(f"{endpoint.host}: its budget is used up") from None
        if wait:
            await asyncio.sleep(wait)
        if self._on_call is not None:
            for method in methods:
                self._on_call(endpoint.host, method)

    async def _post_once(self, endpoint: Endpoint, data: bytes) -> bytes:
        if self._session is None:
            raise Unavailable("the client is not open")
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        async with self._session.post(endpoint.url, data=data, headers=headers, allow_redirects=False) as response:
            body = bytearray()
            async for chunk in response.content.iter_chunked(2**18):
                body += chunk
                if len(body) > self._max_bytes:
                    raise TooLong(f"an answer of more than {self._max_bytes} bytes")
            self._check_status(endpoint, response, body)
            return bytes(body)

    def _check_status(self, endpoint: Endpoint, response: aiohttp.ClientResponse, body: bytearray) -> None:
        """Let 200 pass, and errors that carry a JSON-RPC body; the rest says what the status says."""
        if response.status in (429, 503):
            asked = response.headers.get("Retry-After")
            rest = retry_after(asked) if asked else find_rest_in(bytes(body))
            endpoint.rests_until = self._clock() + rest
            raise Failed(f"HTTP {response.status}, rests {rest:g} s")
        if response.status == TOO_LARGE:
            raise RpcError(endpoint.host, TOO_LARGE, "request too large")
        if response.status != 200 and not body.lstrip().startswith((b"{", b"[")):  # noqa: PLR2004  HTTP's OK
            raise Failed(f"HTTP {response.status}")
