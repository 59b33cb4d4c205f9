"""What the calldata says, for nodes that can't run a call in another state: honest about how little that is."""

from dataclasses import dataclass
from typing import Any, Final

from chains.errors import RpcError
from chains.ethereum.needs.node import Node
from chains.ethereum.needs.probe import read_plain
from chains.ethereum.needs.proposal import Proposal
from chains.ethereum.needs.reverts import Cause
from chains.ethereum.needs.runs import gas_of
from chains.ethereum.needs.slots import amount_of
from chains.ethereum.needs.touched import balance_of
from chains.ethereum.needs.words import TRANSFER_FROM, TRANSFER_TO, address_at, word_at
from chains.needs import Verdict

TRANSFER_GAS: Final = "0x186a0"
"""Gas of a token transfer that could not be estimated: few take more than 100,000."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """What could be told."""

    amounts: dict[str, int]
    verdict: Verdict
    detail: str
    gas: Any


async def decode(node: Node, proposal: Proposal) -> Decoded:
    """One round trip: the call with what is there now, its gas, and the balance that it moves."""
    token, amount = _transfer(proposal)
    requests: list[Any] = [
        ("eth_call", [proposal.call(gas=gas_of(proposal.gas)), node.block]),
        ("eth_estimateGas", [proposal.call(), node.block]),
    ]
    if token is not None:
        requests.append(balance_of(token, proposal.sender).request(node))
    answer, gas, *balances = await node.many(requests)
    run = read_plain(answer)
    amounts = {token: amount} if token is not None else {}
    short = token is not None and (amount_of(balances[0]) or 0) < amount
    if short and isinstance(gas, RpcError):
        gas = TRANSFER_GAS
    if run.failure is None:
        return Decoded(amounts, Verdict.FUNDS, "the node can only say that it works with what is there now", gas)
    if short:
        return Decoded(amounts, Verdict.FUNDS, "read from the calldata: the node can't run it with more", gas)
    if run.failure.cause is Cause.ALLOWANCE:
        return Decoded(amounts, Verdict.ALLOWANCE, f"an approval is missing: {run.failure.text}", gas)
    if run.failure.cause is Cause.DEADLINE:
        return Decoded(amounts, Verdict.DEADLINE, f"its deadline has passed: {run.failure.text}", gas)
    return Decoded(amounts, Verdict.UNKNOWN, f"the node can't run it with more than is there: {run.failure.text}", gas)


def _transfer(proposal: Proposal) -> tuple[str | None, int]:
    """The token and amount of a plain transfer of the sender's own tokens."""
    selector = proposal.data[2:10]
    own = selector == TRANSFER_TO or (selector == TRANSFER_FROM and address_at(proposal.data, 0) == proposal.sender)
    amount = word_at(proposal.data, 1 if selector == TRANSFER_TO else 2)
    return (proposal.to, amount) if own and amount is not None else (None, 0)
