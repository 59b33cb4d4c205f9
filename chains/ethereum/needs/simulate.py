"""A run by `eth_simulateV1`: balances read, the call, balances read again; logs, and coins as if they were a token."""

from collections.abc import Sequence
from typing import Any, Final

from chains.errors import RpcError, Unavailable
from chains.ethereum.needs.node import Node
from chains.ethereum.needs.proposal import Proposal
from chains.ethereum.needs.reverts import Failure, is_execution, read_error, read_revert, read_words
from chains.ethereum.needs.runs import Run, gas_of, moves_of
from chains.ethereum.needs.slots import amount_of
from chains.ethereum.needs.state import State
from chains.ethereum.needs.words import BALANCE_OF, view
from chains.rpc import Request

METHOD: Final = "eth_simulateV1"
_READ_GAS: Final = hex(250_000)
"""What reading a balance may burn: all calls together must fit into a block."""


def simulate_request(node: Node, proposal: Proposal, state: State, tokens: Sequence[str]) -> Request:
    """The call between two readings of each token."""
    reads = [{"to": token, "data": view(BALANCE_OF, proposal.sender), "gas": _READ_GAS} for token in tokens]
    calls = [*reads, proposal.call(gas=gas_of(proposal.gas)), *reads]
    block = {"stateOverrides": state.override(), "calls": calls}
    return METHOD, [{"blockStateCalls": [block], "traceTransfers": True, "validation": False}, node.block]


def read_simulation(answer: Any, proposal: Proposal, tokens: Sequence[str]) -> Run:
    """What it showed. Raises Unavailable when it is no answer to that."""
    if isinstance(answer, RpcError):
        if is_execution(answer):  # the call can't even begin, such as for too little gas
            return Run(read_error(answer))
        raise Unavailable(str(answer)) from answer
    try:
        results, count = answer[0]["calls"], len(tokens)
        if len(results) != 2 * count + 1:
            raise Unavailable("a simulation of another number of calls")
        before, main, after = results[:count], results[count], results[count + 1 :]
        if main["status"] != "0x1":
            return Run(_failure(main))
        fell = {
            token: first - last
            for token, one, two in zip(tokens, before, after, strict=True)
            if (first := amount_of(one["returnData"])) is not None
            and (last := amount_of(two["returnData"])) is not None
        }
        return Run(None, tuple(moves_of(main["logs"], proposal.sender)), fell)
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise Unavailable("a malformed simulation") from error


def _failure(result: Any) -> Failure:
    error = result.get("error") or {}
    data = error.get("data") or result.get("returnData") or "0x"
    return read_revert(data) if len(data) > 2 else read_words(str(error.get("message", "")))  # noqa: PLR2004  not empty
