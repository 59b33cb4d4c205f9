"""One endpoint at one block, asked a bounded number of times."""

from collections.abc import Sequence
from typing import Any, Final

from chains.errors import RpcError, Unavailable
from chains.ethereum.answers import at_hash, classify
from chains.model import BlockRef
from chains.rpc import Endpoint, Request, RpcClient
from chains.rpc_answer import Verdict

_BATCH: Final = 100
"""Requests a batch: hosted nodes take 100 and more."""

_UNKNOWN_METHOD: Final = (-32601, -32004)
_UNKNOWN_WORDS: Final = (
    "not supported",
    "unsupported",
    "not available",
    "does not exist",
    "not enabled",
    "not allowed",
)


class OutOfCalls(Exception):
    """The node may not be asked any more for this transaction."""


class Node:
    """Answers and a node's own errors are values here: an error about a call is what is looked for."""

    def __init__(self, rpc: RpcClient, endpoint: Endpoint, at: BlockRef, most_calls: int) -> None:
        self._rpc = rpc
        self._endpoint = endpoint
        self._most = most_calls
        self.at = at
        self.calls = 0
        self.trips = 0
        """Requests on the wire, one after another."""

    @property
    def block(self) -> Any:
        """The block parameter of each call."""
        return at_hash(self.at.hash) if self.at.hash else hex(self.at.number)

    @property
    def host(self) -> str:
        """Which endpoint it is."""
        return self._endpoint.host

    @property
    def left(self) -> int:
        """How often it may still be asked."""
        return self._most - self.calls

    async def one(self, method: str, *params: Any) -> Any:
        """The result of one call, or its RpcError. Raises OutOfCalls, Unavailable, BlockGone."""
        self._spend(1)
        try:
            return await self._rpc.call(method, params, endpoint=self._endpoint)
        except RpcError as error:
            if classify(error.code, error.text) is Verdict.BUSY:
                raise
            return error

    async def many(self, requests: Sequence[Request]) -> list[Any]:
        """Results and RpcErrors in the order asked, by as few round trips as there are batches."""
        answers: list[Any] = []
        for start in range(0, len(requests), _BATCH):
            part = requests[start : start + _BATCH]
            if len(part) == 1:
                answers.append(await self.one(part[0][0], *part[0][1]))
                continue
            self._spend(len(part))
            answers += await self._rpc.batch(part, endpoint=self._endpoint)
        return answers

    def _spend(self, calls: int) -> None:
        if calls > self.left:
            raise OutOfCalls(f"more than {self._most} requests")
        self.calls += calls
        self.trips += 1


def is_unsupported(answer: Any) -> bool:
    """Whether the node says that it does not have the method, whatever it is asked."""
    if not isinstance(answer, RpcError):
        return False
    return answer.code in _UNKNOWN_METHOD or any(words in answer.text.lower() for words in _UNKNOWN_WORDS)


def usable(answer: Any) -> Any:
    """The answer, when it is one. Raises Unavailable with the node's own error."""
    if isinstance(answer, RpcError):
        raise Unavailable(str(answer)) from answer
    return answer
