"""Balances at one block, in bulk: a planted scanner, else Multicall3, else batches; halving what a node refuses."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog

from chains.errors import RpcError, Unavailable
from chains.ethereum import multicall
from chains.ethereum.answers import at_hash, classify, data, quantity
from chains.ethereum.planted.code import runtime
from chains.rpc import TOO_LARGE, Endpoint, RpcClient
from chains.rpc_answer import Verdict

log = structlog.get_logger()

PLANTED_AT: Final = "0x00000000000000000000000000000000000c0de5"
BALANCE_OF: Final = "0x70a08231"
WORD: Final = 32
"""Bytes of a number in the ABI."""

_REMEMBERED: Final = 3600.0
"""Seconds for which a refusal is believed: nodes are upgraded, and some refuse in a bad moment."""

_SIZE_WORDS = ("gas", "large", "big", "limit", "size", "timeout", "timed out", "exceed", "invalid request")


class Unsupported(Exception):
    """The node does not do it this way."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to read many balances."""

    name: str
    chunk: int
    """Addresses a call: 5,000 scanned tokens are 15M gas, below Osaka's 2^24 and every node's default cap."""
    read: Callable[[RpcClient, Endpoint, str | None, Sequence[str], str], Awaitable[bytes]]
    """Gives 32 bytes a balance."""


class BalanceReader:
    """Reads balances of one asset at one block hash, remembering what each endpoint refuses."""

    def __init__(self, rpc: RpcClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._rpc = rpc
        self._clock = clock
        self._refused_until: dict[tuple[str, str], float] = {}
        self._chunks: dict[tuple[str, str], int] = {}

    async def read(self, token: str | None, addresses: Sequence[str], block_hash: str) -> list[int]:
        """Base units of each address, in the order given; `token` None reads the native coin.

        Raises `BlockGone` when no endpoint knows the block, else `Unavailable`.
        """

        async def work(endpoint: Endpoint) -> bytes:
            return await self.read_words(endpoint, token, addresses, block_hash)

        words = await self._rpc.on_one(work) if addresses else b""
        return [int.from_bytes(words[at : at + WORD]) for at in range(0, len(words), WORD)]

    async def read_words(
        self, endpoint: Endpoint, token: str | None, addresses: Sequence[str], block_hash: str
    ) -> bytes:
        """The same from one endpoint, as its 32 bytes a balance."""
        for way in WAYS:
            key = (endpoint.host, way.name)
            if self._clock() < self._refused_until.get(key, 0.0):
                continue
            try:
                return await self._read_by(way, endpoint, token, addresses, block_hash)
            except Unsupported as error:
                if way is not WAYS[-1]:
                    self._refused_until[key] = self._clock() + _REMEMBERED
                log.info("reader.refused", host=endpoint.host, way=way.name, reason=str(error))
        raise Unavailable(f"{endpoint.host} refuses every way of reading balances")

    async def _read_by(
        self, way: Way, endpoint: Endpoint, token: str | None, addresses: Sequence[str], block_hash: str
    ) -> bytes:
        """All addresses in chunks; a chunk refused for its size is halved, and the smaller size remembered."""
        results = bytearray()
        key = (endpoint.host, way.name)
        chunk, learned = self._chunks.get(key, way.chunk), False
        while (done := len(results) // WORD) < len(addresses):
            part = addresses[done : done + chunk]
            try:
                results += await way.read(self._rpc, endpoint, token, part, block_hash)
            except RpcError as error:
                if classify(error.code, error.text) is Verdict.BUSY:
                    raise
                if len(part) == 1 and reverted(error):
                    raise Unavailable(f"{endpoint.host} cannot read a balance of {token or 'the coin'}") from error
                if len(part) == 1 or not (may_be_size(error) or reverted(error)):
                    raise Unsupported(error.text) from error
                chunk = len(part) // 2
                learned = learned or not reverted(error)
        if learned:
            self._chunks[key] = chunk
        return bytes(results)


def may_be_size(error: RpcError) -> bool:
    """A refusal that a smaller request may not meet."""
    lowered = error.text.lower()
    return error.code in (TOO_LARGE, -32600) or any(word in lowered for word in _SIZE_WORDS)


def reverted(error: RpcError) -> bool:
    """The call reverted: one of the addresses can't be read, or the gas ran out inside the token."""
    return error.code == 3 or "revert" in error.text.lower()  # noqa: PLR2004  EIP-1474's execution error


async def _scan(
    rpc: RpcClient, endpoint: Endpoint, token: str | None, addresses: Sequence[str], block_hash: str
) -> bytes:
    calldata = (token or "0x" + "00" * 20) + "".join(address[2:] for address in addresses)
    override = {PLANTED_AT: {"code": runtime("BalanceScanner")}}
    answer = data(
        await rpc.call(
            "eth_call", [{"to": PLANTED_AT, "data": calldata}, at_hash(block_hash), override], endpoint=endpoint
        )
    )
    if not answer:
        raise Unsupported("state overrides are ignored")
    if len(answer) != WORD * len(addresses):
        raise Unavailable(f"{endpoint.host} gave {len(answer)} bytes for {len(addresses)} balances")
    return answer


async def _multicall(
    rpc: RpcClient, endpoint: Endpoint, token: str | None, addresses: Sequence[str], block_hash: str
) -> bytes:
    call = {"to": multicall.ADDRESS, "data": multicall.encode(token, addresses)}
    answer = data(await rpc.call("eth_call", [call, at_hash(block_hash)], endpoint=endpoint))
    if not answer:
        raise Unsupported("Multicall3 is not deployed")
    return _pack(multicall.decode(answer, len(addresses)))


async def _batch(
    rpc: RpcClient, endpoint: Endpoint, token: str | None, addresses: Sequence[str], block_hash: str
) -> bytes:
    at = at_hash(block_hash)
    requests = [balance_request(token, address, at) for address in addresses]
    if len(requests) == 1:
        return _pack([_one_balance(await rpc.call(*requests[0], endpoint=endpoint), token)])
    answers = await rpc.batch(requests, endpoint=endpoint)
    for answer in answers:
        if isinstance(answer, RpcError):
            raise answer
    return _pack([_one_balance(answer, token) for answer in answers])


def _pack(amounts: Sequence[int]) -> bytes:
    return b"".join(amount.to_bytes(WORD) for amount in amounts)


def balance_request(token: str | None, address: str, at: dict[str, Any]) -> tuple[str, list[Any]]:
    """The plain call for one balance."""
    if token is None:
        return "eth_getBalance", [address, at]
    return "eth_call", [{"to": token, "data": BALANCE_OF + address[2:].rjust(64, "0")}, at]


def _one_balance(answer: Any, token: str | None) -> int:
    if token is None:
        return quantity(answer)
    word = data(answer)
    if len(word) < WORD:
        raise Unavailable(f"{token} gave no balance")
    return int.from_bytes(word[:WORD])


WAYS: Final = (Way("planted", 5000, _scan), Way("multicall", 1000, _multicall), Way("batch", 100, _batch))
