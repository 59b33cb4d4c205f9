"""What a JSON-RPC answer is worth: the envelope checks, with no I/O."""

import re
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Any, Final

from chains.bounded_json import loads
from chains.errors import RpcError

MAX_ERROR_TEXT: Final = 300
"""Characters kept of a node's error message."""

LONGEST_REST: Final = 60.0
"""Seconds; a Retry-After above this is cut to it, so that one odd header can't silence an endpoint for a day."""

_URL = re.compile(r"\b\w+://\S+")
_RATE_WORDS = ("rate limit", "too many requests", "capacity", "throughput", "quota")


class Verdict(Enum):
    """What to do about an error that a node answered with."""

    BUSY = auto()
    """Let this endpoint rest and ask the next one."""
    BEHIND = auto()
    """The node does not know the block: ask the next one; nobody knows it: `BlockGone`."""
    ELSEWHERE = auto()
    """Another endpoint may do better (unsupported, internal error); raised as it is when none does."""
    FINAL = auto()
    """An answer about the request itself: every endpoint would say the same."""


class Null(Enum):
    """What `"result": null` means for a method."""

    BAD = auto()
    """Never a right answer: ask the next endpoint."""
    BEHIND = auto()
    """The node does not know the block asked for."""
    NOTHING = auto()
    """A real answer: there is no such thing."""


Classify = Callable[[int, str], Verdict]
"""From an error's code and message to what to do about it; each family of chains has its own."""


class BadAnswer(Exception):
    """The body is not an answer to what was asked. The message says how, without quoting the body."""


def classify_common(code: int, text: str) -> Verdict:
    """The codes that all JSON-RPC nodes share, and the ways in which hosted ones say "slow down"."""
    lowered = text.lower()
    if code in (429, -32005, -32029) or any(word in lowered for word in _RATE_WORDS):
        return Verdict.BUSY
    if code in (-32601, -32603, -32004):
        return Verdict.ELSEWHERE
    return Verdict.FINAL


def load(body: bytes) -> Any:
    """The JSON of a body. Raises BadAnswer for anything else (HTML, cut off, empty)."""
    try:
        return loads(body)
    except (ValueError, RecursionError):
        raise BadAnswer("not JSON") from None


def read_one(answer: Any, identity: int, host: str, null: Null) -> Any:
    """The result of an envelope, or the RpcError it holds. Raises BadAnswer for a wrong envelope.

    An error with `"id": null` is taken: a node that could not read the request answers so.
    """
    if not isinstance(answer, dict):
        raise BadAnswer("not a JSON-RPC object")
    if answer.get("error") is not None:
        if not _is_identity(answer.get("id"), identity) and answer.get("id") is not None:
            raise BadAnswer("wrong id")
        return _read_error(answer["error"], host)
    if not _is_identity(answer.get("id"), identity):
        raise BadAnswer("wrong id")
    if "result" not in answer:
        raise BadAnswer("neither result nor error")
    if answer["result"] is None and null is Null.BAD:
        raise BadAnswer("null where a result belongs")
    return answer["result"]


def read_batch(answer: Any, identities: Sequence[int], host: str, null: Null) -> list[Any]:
    """Results and RpcErrors in the order asked, whatever the order answered; each id exactly once.

    One error object in place of the list is the node's word about the whole batch, and raised.
    """
    if isinstance(answer, dict) and answer.get("error") is not None:
        raise _read_error(answer["error"], host)
    if not isinstance(answer, list):
        raise BadAnswer("not a batch")
    by_identity: dict[int, Any] = {}
    for item in answer:
        identity = item.get("id") if isinstance(item, dict) else None
        if type(identity) is not int or identity in by_identity:
            raise BadAnswer("a batch item without an id of its own")
        by_identity[identity] = item
    if by_identity.keys() != set(identities):
        raise BadAnswer(f"{len(by_identity)} answers to {len(identities)} requests, or other ids")
    return [read_one(by_identity[identity], identity, host, null) for identity in identities]


def redact(text: str) -> str:
    """A node's words, shortened, without the URLs (and keys) that some echo."""
    return _URL.sub("(url)", text)[:MAX_ERROR_TEXT]


def retry_after(header: str | None) -> float:
    """Seconds that a Retry-After asks for; dates (which HTTP also allows) and nonsense count as one second."""
    try:
        return min(max(0.0, float(header)), LONGEST_REST) if header else 1.0
    except ValueError:
        return 1.0


def find_rest(data: object, *, otherwise: float) -> float:
    """Seconds that a busy node's error asks for in its `data`, as some hosted ones do."""
    told = data.get("rate", data) if isinstance(data, dict) else None
    asked = told.get("backoff_seconds") if isinstance(told, dict) else None
    if isinstance(asked, bool) or not isinstance(asked, int | float):
        return otherwise
    return min(max(otherwise, asked), LONGEST_REST)


def find_rest_in(body: bytes) -> float:
    """The same of a whole answer; a second when it doesn't say."""
    try:
        answer = load(body)
    except BadAnswer:
        return 1.0
    error = answer.get("error") if isinstance(answer, dict) else None
    return find_rest(error.get("data") if isinstance(error, dict) else None, otherwise=1.0)


def _is_identity(value: object, identity: int) -> bool:
    return type(value) is int and value == identity


def _read_error(error: Any, host: str) -> RpcError:
    if not isinstance(error, dict) or type(error.get("code")) is not int:
        raise BadAnswer("a malformed error")
    return RpcError(host, error["code"], redact(str(error.get("message", ""))), error.get("data"))
