"""What the sender's transactions that wait to be mined will take before this one. No I/O."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from chains.errors import RpcError, Unavailable
from chains.ethereum.answers import quantity
from chains.ethereum.needs.words import TRANSFER_TO, lower, word_at
from chains.model import NATIVE

METHOD: Final = "txpool_contentFrom"
BLOB_GAS: Final = 131_072
"""Blob gas of one blob (EIP-4844)."""
_MOST: Final = 256
"""Waiting transactions that are read: geth's pool keeps 64 of one account, and 16 slots more."""


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits."""

    count: int = 0
    amounts: Mapping[str, int] = field(default_factory=dict)
    """By asset: coins with their gas, and plain transfers of tokens."""
    certain: bool = True
    """False when one may move more than is counted, or when only their number is known."""


def read_queue(answer: Any, *, queued: int, nonce: int | None) -> Queue:
    """Of an answer of `txpool_contentFrom`; of the mere number when the node has none.

    One with this transaction's own nonce is replaced by it, and later ones come after it.
    """
    if answer is None or isinstance(answer, RpcError):
        return Queue(queued, {}, certain=queued == 0)
    amounts: dict[str, int] = {}
    count, certain = 0, True
    try:
        for number, waiting in _waiting(answer):
            if nonce is not None and number >= nonce:
                continue
            count += 1
            amounts[NATIVE] = amounts.get(NATIVE, 0) + _cost(waiting)
            token, amount = _transfer(waiting)
            if token:
                amounts[token] = amounts.get(token, 0) + amount
            elif lower(waiting.get("input") or waiting.get("data") or "0x") != "0x":
                certain = False
    except (AttributeError, KeyError, TypeError, ValueError, Unavailable):
        return Queue(queued, {}, certain=False)
    return Queue(count, amounts, certain)


def _waiting(answer: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    entries = dict(answer.get("pending") or {})
    for number in sorted(entries, key=int)[:_MOST]:
        yield int(number), entries[number]


def _cost(transaction: Mapping[str, Any]) -> int:
    price = transaction.get("maxFeePerGas") or transaction["gasPrice"]
    cost = quantity(transaction["value"]) + quantity(transaction["gas"]) * quantity(price)
    blobs = len(transaction.get("blobVersionedHashes") or ())
    return cost + (blobs * BLOB_GAS * quantity(transaction["maxFeePerBlobGas"]) if blobs else 0)


def _transfer(transaction: Mapping[str, Any]) -> tuple[str, int]:
    text = lower(transaction.get("input") or transaction.get("data") or "0x")
    amount = word_at(text, 1)
    return (lower(transaction.get("to")), amount) if text[2:10] == TRANSFER_TO and amount is not None else ("", 0)
