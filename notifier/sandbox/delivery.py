"""Moving real coins on local chains when a session is paid: what a chain must do, and how its node is asked."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, Final, Protocol

import aiohttp

from notifier.sandbox.rules import DECIMALS

POLL_SECONDS: Final = 0.1
WAIT_SECONDS: Final = 60
NOT_YET: Final = "the transfer is not on chain yet: pay again to go on waiting for it"
EVM_NETWORKS: Final = frozenset({"ethereum", "base", "polygon", "avalanche", "optimism"})


class DeliveryFailed(Exception):
    """The coins could not be moved, or not yet; the message is for whoever pressed Pay."""


class TransferFailed(DeliveryFailed):
    """The chain took the transfer and undid it: nothing has moved, and another may be sent."""


class Delivery(Protocol):
    """One local chain."""

    async def send(self, currency: str, address: str, amount: Decimal) -> str:
        """Send coins off. Gives the transaction. Raises `DeliveryFailed` when nothing was sent."""

    async def wait(self, transaction: str) -> None:
        """Wait until it is there. Raises `TransferFailed`, or `DeliveryFailed` when it isn't there yet."""


class Rpc:
    """JSON-RPC with one local node."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        """`http` is the caller's to close."""
        self._url = url
        self._http = http
        self._ids = itertools.count(1)

    async def __call__(self, method: str, *params: Any) -> Any:
        """The result. Raises `DeliveryFailed` with the node's words."""
        body = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(params)}
        try:
            async with self._http.post(self._url, json=body) as answer:
                content = await answer.json(content_type=None)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise DeliveryFailed(f"the local node does not answer: {type(error).__name__}") from None
        if not isinstance(content, dict) or "result" not in content:
            fault = content.get("error") if isinstance(content, dict) else None
            words = fault.get("message") if isinstance(fault, dict) else "an answer that is none"
            raise DeliveryFailed(f"the local node refused {method}: {words}")
        return content["result"]


def to_units(currency: str, amount: Decimal) -> int:
    """Base units of an amount with no more decimals than the asset has."""
    return int(amount.scaleb(DECIMALS[currency]))


async def poll(is_there: Callable[[], Awaitable[bool]], otherwise: str = NOT_YET) -> None:
    """Ask until it is. Raises `DeliveryFailed` after a minute, with these words."""
    for _ in range(int(WAIT_SECONDS / POLL_SECONDS)):
        if await is_there():
            return
        await asyncio.sleep(POLL_SECONDS)
    raise DeliveryFailed(otherwise)
