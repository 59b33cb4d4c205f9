"""A sandbox on a port of its own, and a client that speaks to it as Stripe's do: forms and Basic authentication."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
import pytest

from notifier.sandbox.server import SandboxOptions, open_sandbox

PATH: Final = "/v1/crypto/onramp_sessions"
EVM: Final = "0xB00F0759DbeeF5E543Cc3E3B07A6442F5f3928a2"
SOLANA: Final = "bufoH37MTiMTNAfBS4VEZ94dCEwMsmeSijD2vZRShuV"
TOP_UP: Final = {
    "wallet_addresses[ethereum]": EVM,
    "lock_wallet_address": "true",
    "destination_networks[0]": "ethereum",
    "destination_network": "ethereum",
    "destination_currencies[0]": "eth",
    "destination_currency": "eth",
    "destination_amount": "0.5",
    "metadata[top_up]": "tu_1",
}
"""The fields of an ordinary create call."""

Answer = tuple[int, Any, Mapping[str, str]]


class StripeClient:
    """Raw calls, so that a test says what is on the wire."""

    def __init__(self, url: str, http: aiohttp.ClientSession, *, key: str = "sk_test_one") -> None:
        self.url = url
        self.http = http
        self.auth = {"Authorization": aiohttp.encode_basic_auth(key, "")}

    async def create(self, fields: Any, *, key: str | None = None, headers: Mapping[str, str] | None = None) -> Answer:
        """POST fields as a form."""
        sent = {**(self.auth if headers is None else headers), "Content-Type": "application/x-www-form-urlencoded"}
        if key is not None:
            sent["Idempotency-Key"] = key
        pairs = fields if isinstance(fields, str) else urlencode(list(dict(fields).items()))
        async with self.http.post(self.url + PATH, data=pairs, headers=sent) as answer:
            return answer.status, await answer.json(), answer.headers

    async def get(self, path: str = "", **params: str) -> Answer:
        """GET below the sessions' path."""
        async with self.http.get(self.url + PATH + path, params=params, headers=self.auth) as answer:
            return answer.status, await answer.json(), answer.headers

    async def session(self, **changes: str) -> Any:
        """An ordinary session."""
        status, body, _ = await self.create({**TOP_UP, **changes})
        assert status == 200, body
        return body

    async def control(self, path: str, order: Any = None) -> tuple[int, Any]:
        """A call below `/_sandbox`; without an order, a GET."""
        method = "GET" if order is None else "POST"
        async with self.http.request(method, f"{self.url}/_sandbox{path}", json=order) as answer:
            return answer.status, await answer.json()

    async def pay(self, session: str, **order: str) -> tuple[int, Any]:
        """What a person does."""
        return await self.control(f"/sessions/{session}/pay", order)

    async def ledger(self) -> list[dict[str, Any]]:
        """All that was seen."""
        _, body = await self.control("/ledger")
        return list(body["data"])


async def until(holds: Callable[[], Awaitable[object]], *, seconds: float = 15) -> None:
    """Poll until something holds. Raises TimeoutError."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not await holds():
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(f"not within {seconds:g} s")
        await asyncio.sleep(0.02)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that does not wait for ever."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
        yield session


@pytest.fixture
async def stripe(http: aiohttp.ClientSession) -> AsyncIterator[StripeClient]:
    """A sandbox without chains or webhooks."""
    async with open_sandbox(SandboxOptions("127.0.0.1", 0)) as url:
        yield StripeClient(url, http)
