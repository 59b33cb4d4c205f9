"""The calls that a wallet backend makes: it registers whom to watch, reads events and links, proposes transactions."""

import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp

from .signatures import sign


class Client:
    """Calls to one topup-watcher. They raise aiohttp.ClientError and TimeoutError."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http

    async def register(self, user: str, wallet: str, addresses: Mapping[str, str]) -> None:
        """A user and their wallet. Ids are ours, so the same call again changes nothing."""
        await self._call("PUT", f"/v1/users/{user}", {"locale": "en"})
        await self._call("PUT", f"/v1/wallets/{wallet}", {"user": user, "addresses": dict(addresses)})

    async def read_events(self, after: str | None) -> AsyncIterator[dict[str, Any]]:
        """Everything told since, oldest first. 410 comes for a cursor of more than 90 days ago: start without one."""
        more = True
        while more:
            page = await self._call("GET", "/v1/events?limit=100" + (f"&after={after}" if after else ""))
            for event in page["data"]:
                yield event
            more, after = page["next"] is not None, page["next"]

    async def find_link(self, top_up: str) -> str | None:
        """Where to pay, while that is of use. It needs the scope `links:read`; don't store it, don't log it."""
        top_up_now: dict[str, str | None] = await self._call("GET", f"/v1/top-ups/{top_up}")
        return top_up_now["link"]

    async def propose_transaction(self, source: str, secret: str, proposal: Mapping[str, Any]) -> None:
        """By a signed webhook. A proposal is `{"id", "wallet", "network", "needs": [{"asset", "amount"}]}`."""
        body = json.dumps({"type": "transaction.proposed", "data": proposal}).encode()
        signed = sign(f"proposed-{proposal['id']}", body, secret, int(time.time()))
        headers = {"content-type": "application/json", **signed}
        async with self._http.post(f"/webhooks/backend/{source}", data=body, headers=headers):
            pass

    async def _call(self, method: str, path: str, body: Any = None) -> Any:
        async with self._http.request(method, path, json=body) as answer:
            return await answer.json()
