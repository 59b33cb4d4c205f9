"""Accounts in bulk, at one slot a hundred, from endpoints that are at least as far as one was seen before."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import structlog

from chains.errors import ChainError, RpcError, Unavailable
from chains.rpc import Endpoint, RpcClient
from chains.rpc_answer import Verdict, classify_common
from chains.solana.accounts import Account, read_account
from chains.solana.slots import NEAR, Commitment, Slots

log = structlog.get_logger()

MOST_ACCOUNTS: Final = 100
"""Of one getMultipleAccounts: the node's own limit."""
MIN_SLOT_NOT_REACHED: Final = -32016
_AT_ONCE: Final = 8
_QUEUED: Final = 256
"""Reads that wait for their turn: after these, a failure is seen."""
_PAUSES: Final = (0.1, 0.2, 0.4, 0.8, 0.0)
"""Seconds between tries while no endpoint has reached a slot: a node is half a second behind after a restart."""
_HEARD_SECONDS: Final = 30.0
"""An endpoint that has said the same slot for so long is no witness of where the cluster is."""


def classify(code: int, text: str) -> Verdict:
    """Solana's server errors (-32099 to -32000: behind, without history, unhealthy) are of one node alone."""
    verdict = classify_common(code, text)
    if verdict is Verdict.FINAL and -32099 <= code <= -32000:  # noqa: PLR2004  JSON-RPC's range of server errors
        return Verdict.ELSEWHERE
    return verdict


class Behind(Unavailable):
    """The endpoint answers from a slot below one that was seen already."""


class Far(Unavailable):
    """The endpoint answers from a slot that the cluster can't have reached."""


class AccountReader:
    """Reads slots and accounts. Believes no slot below one that was seen, and none that is far ahead unconfirmed:
    it would make every true answer one from below.
    """

    def __init__(self, rpc: RpcClient, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives monotonic seconds."""
        self._rpc = rpc
        self.slots = Slots(clock=clock)

    async def head(self, commitment: Commitment, *, patience: float | None = None) -> int:
        """The slot now. Raises `Unavailable`.

        An endpoint whose slot has stood for `patience` seconds is asked after the others next time.
        """

        async def ask(endpoint: Endpoint) -> int:
            least = self.slots.heads[commitment]
            slot = await self._tell(endpoint, commitment)
            self._believe(endpoint, slot, least)
            if self.slots.is_far(slot):
                await self._confirm(endpoint, commitment, slot, patience or _HEARD_SECONDS)
            self.slots.saw(commitment, slot)
            if patience is not None and self.slots.stood_for > patience:
                self._rpc.doubt(endpoint)
            return slot

        return await self._rpc.on_one(ask)

    async def read(
        self, addresses: Sequence[str], commitment: Commitment, min_slot: int = 0
    ) -> list[tuple[Account | None, int]]:
        """Each account, and the slot it was read at, in the order given. Raises `Unavailable`."""
        if addresses and not self.slots.known:
            await self.head("confirmed")
        chunks = [addresses[start : start + MOST_ACCOUNTS] for start in range(0, len(addresses), MOST_ACCOUNTS)]
        turns = asyncio.Semaphore(_AT_ONCE)

        async def take_turn(chunk: Sequence[str]) -> list[tuple[Account | None, int]]:
            async with turns:
                return await self._read_patiently(chunk, commitment, min_slot)

        found: list[tuple[Account | None, int]] = []
        for start in range(0, len(chunks), _QUEUED):
            tries = (take_turn(chunk) for chunk in chunks[start : start + _QUEUED])
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
            except Far as error:
                await self.head("confirmed")  # which asks another endpoint, or the same one again
                failure = error
            except (Behind, RpcError) as error:
                if isinstance(error, RpcError) and error.code != MIN_SLOT_NOT_REACHED:
                    raise
                failure = error
                await asyncio.sleep(pause)
        raise Unavailable(f"no endpoint reads accounts at slot {min_slot}: {failure}")

    async def _read_chunk(
        self, addresses: Sequence[str], commitment: Commitment, min_slot: int
    ) -> list[tuple[Account | None, int]]:
        options: dict[str, Any] = {"encoding": "base64", "commitment": commitment}
        if min_slot:
            options["minContextSlot"] = min_slot
        odd: list[Behind | Far] = []

        async def ask(endpoint: Endpoint) -> list[tuple[Account | None, int]]:
            least = max(
                self.slots.reads[commitment], min_slot
            )  # answers to what was asked at once may overtake each other
            answer = await self._rpc.call("getMultipleAccounts", [list(addresses), options], endpoint=endpoint)
            try:
                slot, values = _slot(endpoint, answer["context"]["slot"]), answer["value"]
            except (KeyError, TypeError):
                raise Unavailable(f"{endpoint.host} gave malformed accounts") from None
            if not isinstance(values, list) or len(values) != len(addresses):
                raise Unavailable(f"{endpoint.host} gave other accounts than asked for")
            try:
                self._believe(endpoint, slot, least)
                if self.slots.is_far(slot):
                    raise self._far(endpoint, slot)
            except (Behind, Far) as error:
                odd.append(error)
                raise
            self.slots.reads[commitment] = max(self.slots.reads[commitment], slot)
            return [(read_account(value), slot) for value in values]

        try:
            return await self._rpc.on_one(ask)
        except RpcError:
            raise
        except Unavailable:
            if odd:
                raise odd[0] from None
            raise

    async def _tell(self, endpoint: Endpoint, commitment: Commitment) -> int:
        return _slot(endpoint, await self._rpc.call("getSlot", [{"commitment": commitment}], endpoint=endpoint))

    async def _confirm(self, endpoint: Endpoint, commitment: Commitment, slot: int, heard: float) -> None:
        """Raises `Far` for a slot that another endpoint contradicts, or that nobody else tells and it tells but once.

        An endpoint that has said the same slot for `heard` seconds contradicts nothing.
        """
        told: list[int] = []
        for other in self._rpc.usable():
            if other is not endpoint:
                with suppress(ChainError):
                    told.append(await self._tell(other, commitment))
        if any(abs(seen - slot) <= NEAR for seen in told):
            return
        least = self.slots.heads[commitment] + (self.slots.stood_for > heard)
        contradicted = any(least <= seen and not self.slots.is_far(seen) for seen in told)
        if contradicted or abs(await self._tell(endpoint, commitment) - slot) > NEAR:
            raise self._far(endpoint, slot)

    def _believe(self, endpoint: Endpoint, slot: int, least: int) -> None:
        """Raises `Behind` for a slot below what was seen or asked for."""
        if slot < least:
            self._rpc.doubt(endpoint)
            endpoint.known = False  # another ledger may answer now: it is asked who it is before anything else
            log.info("slot.lower", host=endpoint.host, slot=slot, seen=least)
            raise Behind(f"{endpoint.host} is at slot {slot}, {least} was seen")

    def _far(self, endpoint: Endpoint, slot: int) -> Far:
        self._rpc.doubt(endpoint)
        log.warning("slot.far", host=endpoint.host, slot=slot, seen=self.slots.heads["confirmed"])
        return Far(f"{endpoint.host} is at slot {slot}, which the cluster can't have reached")


def _slot(endpoint: Endpoint, answer: object) -> int:
    if type(answer) is not int or answer < 0:
        raise Unavailable(f"{endpoint.host} gave no slot")
    return answer
