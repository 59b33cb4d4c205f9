"""Reading a node's JSON by hand: quantities, blocks, and what its errors mean. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from chains.errors import Unavailable
from chains.model import BlockRef
from chains.rpc_answer import Verdict, classify_common

_GONE_WORDS = (
    "header not found",
    "unknown block",
    "block not found",
    "resource not found",
    "blockoutofrange",
    "block number out of range",
    "hash is not currently canonical",
    "missing trie node",
    "historical state",
    "required data unavailable",
)


@dataclass(frozen=True, slots=True)
class Header:
    """What the walk needs of a block."""

    number: int
    hash: str
    parent: str
    timestamp: int
    """Seconds since 1970, the block's own."""

    @property
    def ref(self) -> BlockRef:
        """The block, as the rest of the program names it."""
        return BlockRef(self.number, self.hash, datetime.fromtimestamp(self.timestamp, UTC))


def classify(code: int, text: str) -> Verdict:
    """Nodes agree on no code for "I don't know that block", so the words count too."""
    lowered = text.lower()
    if code == -32001 or any(words in lowered for words in _GONE_WORDS):  # noqa: PLR2004  EIP-1474 resource not found
        return Verdict.BEHIND
    return classify_common(code, text)


def quantity(value: Any) -> int:
    """The int of a hex quantity. Raises Unavailable for anything else: `"0x"` and `null` are no zero."""
    if not isinstance(value, str) or not value.startswith("0x"):
        raise Unavailable("not a quantity where one belongs")
    try:
        return int(value, 0)
    except ValueError:
        raise Unavailable("not a quantity where one belongs") from None


def data(value: Any) -> bytes:
    """The bytes of hex data. Raises Unavailable for anything else."""
    if not isinstance(value, str) or not value.startswith("0x"):
        raise Unavailable("not data where some belongs")
    try:
        return bytes.fromhex(value[2:])
    except ValueError:
        raise Unavailable("not data where some belongs") from None


def header(block: Any) -> Header:
    """The header of a block object. Raises Unavailable when it isn't one."""
    if not isinstance(block, Mapping):
        raise Unavailable("not a block")
    hash_, parent = block.get("hash"), block.get("parentHash")
    if not isinstance(hash_, str) or not isinstance(parent, str):
        raise Unavailable("a block without a hash or a parent")
    return Header(quantity(block.get("number")), hash_, parent, quantity(block.get("timestamp")))


def at_hash(hash_: str) -> dict[str, Any]:
    """The block parameter that pins a read to one canonical block (EIP-1898)."""
    return {"blockHash": hash_, "requireCanonical": True}
