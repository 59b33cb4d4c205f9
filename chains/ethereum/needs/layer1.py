"""What an OP-stack network takes for layer 1, and for its operator, beside gas."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chains.ethereum.needs.node import Node
from chains.ethereum.needs.proposal import Proposal
from chains.ethereum.needs.slots import amount_of
from chains.ethereum.needs.words import hex_word

ORACLE: Final = "0x420000000000000000000000000000000000000f"
"""GasPriceOracle, at the same address on every OP-stack network."""

_UPPER_BOUND: Final = "0xf1c7a58b"
"""`getL1FeeUpperBound(uint256)`, since Fjord: for the size of the unsigned transaction."""
_FEE: Final = "0x49948e0e"
"""`getL1Fee(bytes)`, before it."""
_OPERATOR: Final = "0x275aedd2"
"""`getOperatorFee(uint256)`, since Isthmus: for the gas limit."""

_NUMBERS: Final = 9 * 4 + 33 * 3
"""Bytes of chain id, nonce, gas limit and blob fields, and of prices and value, at their longest."""
_PER_ACCESS: Final = 24
_PER_KEY: Final = 33
_PER_AUTHORIZATION: Final = 110
_HEADERS: Final = 24


@dataclass(frozen=True, slots=True)
class Layer1:
    """Base units beside gas; None when the oracle did not answer."""

    data: int | None
    operator: int


def size_of(proposal: Proposal) -> int:
    """Bytes of the unsigned transaction, at most."""
    access = sum(_PER_ACCESS + 8 + _PER_KEY * len(item["storageKeys"]) for item in proposal.access_list)
    authorizations = _PER_AUTHORIZATION * len(proposal.authorizations)
    return len(proposal.data) // 2 - 1 + 21 + _NUMBERS + _HEADERS + access + authorizations


async def read_layer1(node: Node, proposal: Proposal, gas: int) -> Layer1:
    """The fees of a transaction of that size and gas limit, in one round trip."""
    size = size_of(proposal)
    padded = bytes.fromhex(proposal.data[2:]) + b"\xff" * (size - len(proposal.data) // 2 + 1)
    text = hex_word(32)[2:] + hex_word(len(padded))[2:] + padded.hex() + "00" * (-len(padded) % 32)
    bound, plain, operator = await node.many(
        [_ask(node, _UPPER_BOUND, [size]), ("eth_call", [{"to": ORACLE, "data": _FEE + text}, node.block]),
         _ask(node, _OPERATOR, [gas])]
    )  # fmt: skip
    known = [amount for answer in (bound, plain) if (amount := amount_of(answer)) is not None]
    return Layer1(known[0] if known else None, amount_of(operator) or 0)


def _ask(node: Node, selector: str, words: Sequence[int]) -> tuple[str, list[object]]:
    text = selector + "".join(hex_word(word)[2:] for word in words)
    return "eth_call", [{"to": ORACLE, "data": text}, node.block]
