"""One websocket with some account subscriptions: what is wanted, what is acknowledged, and what the node says."""

import asyncio
import itertools
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import structlog

from chains.bounded_json import loads

log = structlog.get_logger()

_WINDOW: Final = 500
"""Requests on the way at one time."""
_REFUSALS: Final = 3
"""In a row, they are not about the accounts."""
_NAP_SECONDS: Final = 0.5
"""Between two looks at the clocks of a connection that says nothing."""
_HINT: Final = {"encoding": "base64", "commitment": "confirmed", "dataSlice": {"offset": 0, "length": 0}}
"""What an account holds is read, not taken from its notification: the data may stay away."""


class Lost(Exception):
    """The connection is of no use any more; the message says why."""


class Subscriptions:
    """What one connection is to be subscribed to, over all the sockets it ever has."""

    def __init__(self) -> None:
        self.wanted: set[str] = set()
        self.heard: dict[str, int] = {}
        """Subscription ids by account, of the socket that is open."""
        self.todo: dict[str, None] = {}
        """Accounts that may have to be subscribed or unsubscribed."""
        self.stirred = asyncio.Event()
        self.refused = 0
        """Refusals in a row."""

    def add(self, account: str) -> None:
        """Want an account."""
        self.wanted.add(account)
        self.look_at(account)

    def drop(self, account: str) -> None:
        """Want it no more."""
        self.wanted.discard(account)
        self.look_at(account)

    def look_at(self, account: str) -> None:
        """See whether there is something to do for an account."""
        self.todo[account] = None
        self.stirred.set()

    def begin(self) -> None:
        """A new socket: nothing is subscribed."""
        self.heard.clear()
        self.refused = 0
        self.todo = dict.fromkeys(self.wanted)
        self.stirred.set()

    def unheard(self) -> set[str]:
        """Wanted accounts whose changes nobody would tell us now."""
        return self.wanted - self.heard.keys()


@dataclass(frozen=True, slots=True)
class _Request:
    """A request that waits for its answer."""

    method: str
    account: str
    deadline: float


class Connection:
    """One open socket, from its first subscription to its end."""

    def __init__(
        self,
        socket: aiohttp.ClientWebSocketResponse,
        subscriptions: Subscriptions,
        *,
        on_account: Callable[[str, int], None],
        on_subscribed: Callable[[str, int], None],
        on_synced: Callable[[], None],
        on_full: Callable[[], None],
        ack_seconds: float,
        silence_seconds: float,
    ) -> None:
        """`on_account` is given an account and the slot it changed at. `on_subscribed` is given an account whose
        subscription stands, and a slot that the node told afterwards: whatever it did not notify is older. 0 where
        the node tells no slots.

        `on_synced` is called once, when every subscription was answered; `on_full` after each few refusals in a row:
        this connection takes no more. Each request must be answered within
        `ack_seconds`; a slot must be told every `silence_seconds`, unless the node refuses to tell slots.
        """
        self._socket = socket
        self._subscriptions = subscriptions
        self._on_account = on_account
        self._on_subscribed = on_subscribed
        self._on_synced = on_synced
        self._on_full = on_full
        self._ack_seconds = ack_seconds
        self._silence_seconds = silence_seconds
        self._now = asyncio.get_running_loop().time
        self._ids = itertools.count(1)
        self._requests: dict[int, _Request] = {}
        self._busy: set[str] = set()
        self._accounts: dict[int, str] = {}
        self._fresh: list[str] = []
        """Accounts subscribed since the node last told a slot."""
        self._synced = False
        self._slot_due: float | None = self._now() + silence_seconds

    async def run(self) -> None:
        """Until the socket is of no use. Always raises: `Lost`, or what aiohttp raises."""
        self._subscriptions.begin()
        await self._send("slotSubscribe", "", [])
        writer = asyncio.create_task(self._write(), name="subscribe")
        try:
            while True:
                await self._read(writer)
        finally:
            writer.cancel()
            with suppress(asyncio.CancelledError, aiohttp.ClientError, OSError):
                await writer
            self._subscriptions.heard.clear()

    async def _write(self) -> None:
        """Send what has to be sent, with at most a window of it unanswered."""
        subscriptions = self._subscriptions
        while True:
            await subscriptions.stirred.wait()
            subscriptions.stirred.clear()
            while subscriptions.todo and len(self._requests) < _WINDOW:
                account = next(iter(subscriptions.todo))
                del subscriptions.todo[account]
                if account in self._busy:  # its answer makes it looked at again
                    continue
                if account in subscriptions.wanted and account not in subscriptions.heard:
                    await self._send("accountSubscribe", account, [account, _HINT])
                elif account not in subscriptions.wanted and account in subscriptions.heard:
                    await self._send("accountUnsubscribe", account, [subscriptions.heard[account]])
            if not subscriptions.todo and not self._requests:
                self._sync()

    async def _send(self, method: str, account: str, params: list[Any]) -> None:
        identity = next(self._ids)
        self._requests[identity] = _Request(method, account, self._now() + self._ack_seconds)
        if account:
            self._busy.add(account)
        body = {"jsonrpc": "2.0", "id": identity, "method": method, "params": params}
        await self._socket.send_str(json.dumps(body, separators=(",", ":")))

    async def _read(self, writer: asyncio.Task[None]) -> None:
        try:
            message = await self._socket.receive(timeout=_NAP_SECONDS)
        except TimeoutError:
            message = None
        if message is not None and message.type is not aiohttp.WSMsgType.TEXT:
            raise Lost(f"closed ({self._socket.close_code})")
        if message is not None:
            self._take(_load(message.data))
        self._check(writer)

    def _check(self, writer: asyncio.Task[None]) -> None:
        now = self._now()
        oldest = next(iter(self._requests.values()), None)
        if oldest is not None and oldest.deadline < now:
            raise Lost(f"{oldest.method} was not answered within {self._ack_seconds:g} s")
        if self._slot_due is not None and self._slot_due < now:
            raise Lost(f"no slot within {self._silence_seconds:g} s")
        if writer.done():
            raise Lost("nothing can be sent")

    def _take(self, frame: dict[str, Any]) -> None:
        params = frame.get("params")
        if isinstance(params, dict):
            self._notice(frame.get("method"), params)
            return
        request = self._requests.pop(frame["id"], None) if type(frame.get("id")) is int else None
        if request is None:
            raise Lost("an answer to nothing that was asked")
        self._answer(request, frame)
        self._subscriptions.stirred.set()

    def _notice(self, method: object, params: dict[str, Any]) -> None:
        if method == "slotNotification":
            self._slot_due = self._now() + self._silence_seconds
            self._flush(_slot_of(params))
            return
        account = self._accounts.get(params.get("subscription", -1))
        if method != "accountNotification" or account is None:  # of a subscription that was just ended
            return
        try:
            slot = params["result"]["context"]["slot"]
        except (KeyError, TypeError):
            raise Lost("a malformed notification") from None
        self._on_account(account, slot if type(slot) is int else 0)

    def _answer(self, request: _Request, frame: dict[str, Any]) -> None:
        account, result = request.account, frame.get("result")
        self._busy.discard(account)
        if request.method == "slotSubscribe":
            if type(result) is not int:
                log.info("pubsub.no_slots")
                self._slot_due = None
                self._flush(0)
            return
        if request.method == "accountUnsubscribe":
            identity = self._subscriptions.heard.pop(account, -1)
            self._accounts.pop(identity, None)
        elif type(result) is int:
            self._subscriptions.refused = 0
            self._accounts[result] = account
            self._subscriptions.heard[account] = result
            self._fresh.append(account)
            if self._slot_due is None:
                self._flush(0)
        else:  # a limit reached, for instance: it stays unheard, and has to be read instead
            self._refuse(account, frame)
            return
        self._subscriptions.look_at(account)

    def _refuse(self, account: str, frame: dict[str, Any]) -> None:
        subscriptions = self._subscriptions
        subscriptions.refused += 1
        if subscriptions.refused <= _REFUSALS:  # the rest of a window would say the same
            log.warning("pubsub.refused", account=account, error=str(frame.get("error"))[:200])
        if subscriptions.refused % _REFUSALS == 0:
            self._on_full()

    def _flush(self, slot: int) -> None:
        fresh, self._fresh = self._fresh, []
        for account in fresh:
            self._on_subscribed(account, slot)

    def _sync(self) -> None:
        if not self._synced:
            self._synced = True
            self._on_synced()


def _slot_of(params: dict[str, Any]) -> int:
    result = params.get("result")
    slot = result.get("slot") if isinstance(result, dict) else None
    return slot if type(slot) is int else 0


def _load(text: str) -> dict[str, Any]:
    try:
        frame = loads(text)
    except (ValueError, RecursionError):
        raise Lost("a frame that is not JSON") from None
    if not isinstance(frame, dict):
        raise Lost("a frame that is no object")
    return frame
