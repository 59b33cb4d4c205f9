"""A run by `debug_traceCall`: every call and log of it, in order, whether it works or not."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from chains.errors import RpcError, Unavailable
from chains.ethereum.needs.node import Node
from chains.ethereum.needs.proposal import Proposal
from chains.ethereum.needs.reverts import is_execution, read_error, read_revert, read_words
from chains.ethereum.needs.runs import Move, Run, gas_of, moves_of
from chains.ethereum.needs.state import State
from chains.ethereum.needs.words import lower
from chains.model import NATIVE
from chains.rpc import Request

METHOD: Final = "debug_traceCall"
_DEEPEST: Final = 300
"""Calls inside each other: EIP-150 leaves gas for about so many, and Python's own stack holds them."""
_COIN_CALLS: Final = ("CALL", "CREATE", "CREATE2", "SELFDESTRUCT")


def trace_request(node: Node, proposal: Proposal, state: State) -> Request:
    """The call, traced."""
    options = {"tracer": "callTracer", "tracerConfig": {"withLog": True}, "stateOverrides": state.override()}
    return METHOD, [proposal.call(gas=gas_of(proposal.gas)), node.block, options]


def read_trace_run(answer: Any, proposal: Proposal) -> Run:
    """What it showed. Raises Unavailable when it is no trace."""
    if isinstance(answer, RpcError):
        if is_execution(answer):
            return Run(read_error(answer))
        raise Unavailable(str(answer)) from answer
    if not isinstance(answer, Mapping) or "from" not in answer:
        raise Unavailable("a malformed trace")
    if answer.get("error"):
        output = answer.get("output") or "0x"
        return Run(read_revert(output) if len(output) > 2 else read_words(str(answer["error"])))  # noqa: PLR2004  empty
    try:
        return Run(None, tuple(_moves(answer, proposal.sender, 0)))
    except (KeyError, TypeError, ValueError) as error:
        raise Unavailable("a malformed trace") from error


def _moves(frame: Mapping[str, Any], sender: str, depth: int) -> Iterator[Move]:
    """A log's `position` is the number of inner calls before it. What a failed call did never happened."""
    if frame.get("error") or depth > _DEEPEST:
        return
    if frame.get("type") in _COIN_CALLS:
        yield from _coins(frame, sender)
    logs, calls = list(frame.get("logs") or ()), list(frame.get("calls") or ())
    for number, inner in enumerate([*calls, None]):
        while logs and (inner is None or int(logs[0].get("position", "0x0"), 16) <= number):
            yield from moves_of([logs.pop(0)], sender)
        if inner is not None:
            yield from _moves(inner, sender, depth + 1)


def _coins(frame: Mapping[str, Any], sender: str) -> Iterator[Move]:
    amount = int(frame.get("value") or "0x0", 16)
    if amount and lower(frame.get("from")) == sender:
        yield NATIVE, amount
    if amount and lower(frame.get("to")) == sender:
        yield NATIVE, -amount
