"""A run by plain `eth_call`: code planted at the sender makes the call, and reads balances around it."""

from collections.abc import Sequence
from typing import Any, Final

from chains.errors import RpcError
from chains.ethereum.answers import data
from chains.ethereum.needs.node import Node, usable
from chains.ethereum.needs.planted.code import runtime
from chains.ethereum.needs.proposal import Proposal
from chains.ethereum.needs.reverts import is_execution, read_error, read_revert
from chains.ethereum.needs.runs import MOST_GAS, Run, gas_of
from chains.ethereum.needs.state import State
from chains.ethereum.needs.words import WORD, hex_word
from chains.model import NATIVE
from chains.rpc import Request

_SELECTOR: Final = "0x9a0bd5c7"


def plain_request(node: Node, proposal: Proposal, state: State, time: int | None = None) -> Request:
    """The call itself, with other state, and in a block of another time: whether it works is all that it tells."""
    block = [] if time is None else [{"time": hex(time)}]
    return "eth_call", [proposal.call(gas=gas_of(proposal.gas)), node.block, state.override(), *block]


def worked(answer: Any) -> bool:
    """Whether a plain call worked. Raises Unavailable when the node failed, not the call."""
    if isinstance(answer, RpcError) and is_execution(answer):
        return False
    usable(answer)
    return True


def read_plain(answer: Any) -> Run:
    """A run that shows no more than its end."""
    return Run(None if worked(answer) else read_error(answer))


def probe_request(node: Node, proposal: Proposal, state: State, tokens: Sequence[str]) -> Request | None:
    """None when nothing can be planted: a deployment has no target, and a wallet's own code must stay."""
    if proposal.to is None or proposal.sender in state.code:
        return None
    head = [int(proposal.to, 16), proposal.value, len(tokens), *(int(token, 16) for token in tokens)]
    text = _SELECTOR + "".join(hex_word(word)[2:] for word in head) + proposal.data[2:]
    call = proposal.call(to=proposal.sender, data=text, value="0x0", gas=hex(MOST_GAS))
    return "eth_call", [call, node.block, state.with_code(proposal.sender, runtime("Prober")).override()]


def is_planted(answer: Any) -> bool:
    """Whether the node ran the planted code: one that ignores overrides answers with nothing, as an account does."""
    return worked(answer) and bool(data(answer))


def read_probe(answer: Any, tokens: Sequence[str]) -> Run:
    """What it showed; a planted run that failed as a whole showed nothing."""
    if isinstance(answer, RpcError) and is_execution(answer):
        return Run(read_error(answer))
    raw = data(usable(answer))
    row = len(tokens) + 1
    numbers = [int.from_bytes(raw[at : at + WORD]) for at in range(0, WORD * (1 + 2 * row), WORD)]
    if len(raw) < WORD * (1 + 2 * row) or numbers[0] != 1:
        return Run(read_revert("0x" + raw[WORD * (1 + 2 * row) :].hex()))
    before, after = numbers[1 : 1 + row], numbers[1 + row :]
    return Run(None, fell={a: x - y for a, x, y in zip((NATIVE, *tokens), before, after, strict=True)})
