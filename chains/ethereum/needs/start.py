"""What is read at once before anything is run: the accounts, the sender's queue, and a first trace."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from chains.errors import RpcError
from chains.ethereum.answers import quantity
from chains.ethereum.needs import layer1, trace
from chains.ethereum.needs.memory import Memory
from chains.ethereum.needs.node import Node, is_unsupported, usable
from chains.ethereum.needs.pending import METHOD as QUEUE
from chains.ethereum.needs.proposal import Proposal
from chains.ethereum.needs.runs import AMPLE_COINS
from chains.ethereum.needs.state import State
from chains.rpc import Request

_ONE_OF_QUEUE: Final = "eth_getTransactionBySenderAndNonce"
_MOST_QUEUED: Final = 64
"""Waiting transactions that are asked for one by one: geth's pool keeps as many of one account."""
_DELEGATED: Final = "0xef0100"
"""Code of an account that borrows another's (EIP-7702)."""


@dataclass(frozen=True, slots=True)
class Start:
    """The accounts as they are."""

    has_code: bool
    """The sender is a contract, or may borrow the code of one: coins can leave it by more than `value`."""
    target_has_code: bool
    is_layer2: bool
    """An OP-stack network, whose transactions also pay for layer 1."""
    nonce: int
    queued: int
    """Transactions of the sender that wait to be mined."""
    queue: Any
    """The node's account of them, or its RpcError."""
    blob_price: int | None
    trace: Any
    """The first trace, or the RpcError that it ended with; None when it was not asked for."""


async def read_start(node: Node, memory: Memory, proposal: Proposal, *, tracing: bool) -> Start:
    """One round trip; a second where transactions wait and the node tells them only one by one."""
    sender, block = proposal.sender, node.block
    requests: dict[str, Request] = {
        "sender": ("eth_getCode", [sender, block]),
        "target": ("eth_getCode", [proposal.to or sender, block]),
        "oracle": ("eth_getCode", [layer1.ORACLE, block]),
        "nonce": ("eth_getTransactionCount", [sender, block]),
        "pending": ("eth_getTransactionCount", [sender, "pending"]),
    }
    if memory.can(node.host, QUEUE):
        requests["queue"] = (QUEUE, [sender])
    if proposal.blobs and proposal.max_blob_price is None:
        requests["blob"] = ("eth_blobBaseFee", [])
    if tracing and proposal.data != "0x" and memory.can(node.host, trace.METHOD):
        requests["trace"] = trace.trace_request(node, proposal, opening_state(proposal))
    answers = dict(zip(requests, await node.many(list(requests.values())), strict=True))
    for name, method in (("queue", QUEUE), ("trace", trace.METHOD)):
        if is_unsupported(answers.get(name)):
            memory.cannot(node.host, method)
    nonce = quantity(usable(answers["nonce"]))
    waiting = answers["pending"]
    queued = 0 if isinstance(waiting, RpcError) else max(0, quantity(waiting) - nonce)
    queue = answers.get("queue")
    if queued and (queue is None or isinstance(queue, RpcError)):
        queue = await _read_queue(node, memory, sender, range(nonce, nonce + queued))
    return Start(
        has_code=usable(answers["sender"]) != "0x" or bool(proposal.authorizations),
        target_has_code=proposal.to is None or usable(answers["target"]) != "0x",
        is_layer2=usable(answers["oracle"]) != "0x",
        nonce=nonce,
        queued=queued,
        queue=queue,
        blob_price=2 * quantity(usable(answers["blob"])) if "blob" in answers else None,
        trace=answers.get("trace"),
    )


async def _read_queue(node: Node, memory: Memory, sender: str, nonces: Sequence[int]) -> Any:
    """What waits, in the form of `txpool_contentFrom`; None when some of it is not told."""
    if not memory.can(node.host, _ONE_OF_QUEUE) or len(nonces) > _MOST_QUEUED:
        return None
    answers = await node.many([(_ONE_OF_QUEUE, [sender, hex(nonce)]) for nonce in nonces])
    if any(is_unsupported(answer) for answer in answers):
        memory.cannot(node.host, _ONE_OF_QUEUE)
    if not all(isinstance(answer, Mapping) for answer in answers):
        return None
    return {"pending": {str(nonce): answer for nonce, answer in zip(nonces, answers, strict=True)}}


def opening_state(proposal: Proposal) -> State:
    """Coins in plenty, and the code that an unsigned authorization would give."""
    state = State().with_coins(proposal.sender, AMPLE_COINS + proposal.value)
    if proposal.delegate is not None:
        state = state.with_code(proposal.sender, _DELEGATED + proposal.delegate[2:])
    return state
