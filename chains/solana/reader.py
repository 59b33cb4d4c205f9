"""Accounts in bulk, at one slot a hundred, from endpoints that are at least as far as one was seen before."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import structlog

from chains.errors import RpcError, Unavailable
from chains.rpc import Endpoint, RpcClient
from chains.rpc_answer import Verdict, classify_common
from chains.solana.accounts import Account, read_account

log = structlog.get_logger()

Commitment = Literal["confirmed", "finalized"]
Marks = dict[Commitment, int]
"""The highest slot seen at each commitment."""

MOST_ACCOUNTS: Final = 100
"""Of one getMultipleAccounts: the node's own limit."""
MIN_SLOT_NOT_REACHED: Final = -32016
_AT_ONCE: Final = 8
_PAUSES: Final = (0.1, 0.2, 0.4, 0.8, 0.0)
"""Seconds between tries while no endpoint has reached a slot: a node is half a second behind after a restart."""


def classify(code: int, text: str) -> Verdict:
    """Solana's server errors (-32099 to -32000: behind, without history, unhealthy) are of one node alone."""
    verdict = classify_common(code, text)
    if verdict is Verdict.FINAL and -32099 <= code <= -32000:  # noqa: PLR2004  JSON-RPC's range of server errors
        return Verdict.ELSEWHERE
    return verdict


class Behind(Unavailable):
    """The endpoint answers from a slot below one that was seen already."""


class AccountReader:
    """Reads slots and accounts. Remembers the highest slot seen at each commitment, and believes none below.

    Accounts have a mark of their own: a node may read them at a slot above the one that it names as confirmed.
    """

    def __init__(self, rpc: RpcClient, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives monotonic seconds."""
        self._rpc = rpc
        self._clock = clock
        self._heads: Marks = {"confirmed": 0, "finalized": 0}
        self._reads: Marks = {"confirmed": 0, "finalized": 0}
        self._moved_at = clock()

    @property
    def stood_for(self) -> float:
        """Seconds since the confirmed slot last rose."""
        return self._clock() - self._moved_at

    def expect(self, slot: int) -> None:
        """Believe no confirmed slot below this one, which an earlier run has seen."""
        for marks in (self._heads, self._reads):
            marks["confirmed"] = max(marks["confirmed"], slot)

    def forgive(self) -> None:
        """Count the time that the slot stood from now."""
        self._moved_at = self._clock()

    async def head(self, commitment: Commitment, *, patience: float | None = None) -> int:
        """The slot now. Raises `Unavailable`.

        An endpoint whose slot has stood for `patience` seconds is asked after the others next time.
        """

        async def ask(endpoint: Endpoint) -> int:
            least = self._heads[commitment]
            slot = await self._rpc.call("getSlot", [{"commitment": commitment}], endpoint=endpoint)
            self._believe(endpoint, slot, least)
            if commitment == "confirmed" and slot > least:
                self._moved_at = self._clock()
            self._heads[commitment] = max(self._heads[commitment], slot)
            if patience is not None and self.stood_for > patience:
                self._rpc.doubt(endpoint)
            return int(slot)

        return await self._rpc.on_one(ask)

    async def read(
        self, addresses: Sequence[str], commitment: Commitment, min_slot: int = 0
    ) -> list[tuple[Account | None, int]]:
        """Each account, and the slot it was read at, in the order given. Raises `Unavailable`."""
        chunks = [addresses[start : start + MOST_ACCOUNTS] for start in range(0, len(addresses), MOST_ACCOUNTS)]
        found: list[tuple[Account | None, int]] = []
        for start in range(0, len(chunks), _AT_ONCE):
            tries = (self._read_patiently(chunk, commitment, min_slot) for chunk in chunks[start : start + _AT_ONCE])
            for answer in await asyncio.gather(*tries, return_exceptions=True):
                if isinstance(answer, BaseException):
                    raise answer
                found.extend(answer)
        return found

    async def _read_patiently(
        self, addresses: Sequence[str], commitment: Commitment, min_slot: int
    ) -> list[tuple[Account | None, int]]:
        failure: Unavailable | None = None
        for pause in _PAUSES:
            try:
                return await self._read_chunk(addresses, commitment, min_slot)
            except (Behind, RpcError) as error:
                if isinstance(error, RpcError) and error.code != MIN_SLOT_NOT_REACHED:
                    raise
                failure = error
                await asyncio.sleep(pause)
        raise Unavailable(f"no endpoint has reached slot {min_slot}: {failure}")

    async def _read_chunk(
        self, addresses: Sequence[str], commitment: Commitment, min_slot: int
    ) -> list[tuple[Account | None, int]]:
        options: dict[str, Any] = {"encoding": "base64", "commitment": commitment}
        if min_slot:
            options["minContextSlot"] = min_slot
        behind: list[Behind] = []

        async def ask(endpoint: Endpoint) -> list[tuple[Account | None, int]]:
            least = max(self._reads[commitment], min_slot)  # answers to what was asked at once may overtake each other
            answer = await self._rpc.call("getMultipleAccounts", [list(addresses), options], endpoint=endpoint)
            try:
                slot, values = answer["context"]["slot"], answer["value"]
            except (KeyError, TypeError):
                raise Unavailable(f"{endpoint.host} gave malformed accounts") from None
            if not isinstance(values, list) or len(values) != len(addresses):
                raise Unavailable(f"{endpoint.host} gave other accounts than asked for")
            try:
                self._believe(endpoint, slot, least)
            except Behind as error:
                behind.append(error)
                raise
            self._reads[commitment] = max(self._reads[commitment], slot)
            return [(read_account(value), slot) for value in values]

        try:
            return await self._rpc.on_one(ask)
        except RpcError:
            raise
        except Unavailable:
            if behind:
                raise behind[0] from None
            raise

    def _believe(self, endpoint: Endpoint, slot: object, least: int) -> None:
        """Raises `Behind` for a slot below what was seen or asked for."""
        if type(slot) is not int or slot < 0:
            raise Unavailable(f"{endpoint.host} gave no slot")
        if slot < least:
            self._rpc.doubt(endpoint)
            log.info("slot.lower", host=endpoint.host, slot=slot, seen=least)
            raise Behind(f"{endpoint.host} is at slot {slot}, {least} was seen")
