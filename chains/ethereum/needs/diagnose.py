"""Why a transaction fails though plenty of everything is there."""

from typing import Final

from chains.errors import Unavailable
from chains.ethereum.answers import quantity
from chains.ethereum.needs.look import Seen
from chains.ethereum.needs.node import Node
from chains.ethereum.needs.probe import plain_request, read_plain
from chains.ethereum.needs.proposal import Proposal
from chains.ethereum.needs.reverts import Cause, Failure
from chains.ethereum.needs.words import word_at
from chains.needs import Verdict

_OLDEST: Final = 400 * 86_400
"""Seconds: a number of the calldata that is a time of so long ago may have been a deadline."""
_MOST_TIMES: Final = 4
_MOST_WORDS: Final = 64


async def diagnose(node: Node, proposal: Proposal, seen: Seen, failure: Failure) -> tuple[Verdict, str]:
    """The verdict and its reason. A deadline is proven where the node can run in a block of another time."""
    if failure.cause is Cause.ALLOWANCE:
        return Verdict.ALLOWANCE, f"an approval is missing: {failure.text}"
    if failure.cause is Cause.GAS:
        return Verdict.REVERTS, "the gas limit is too low" if proposal.gas is not None else "it uses too much gas"
    passed = await _find_deadline(node, proposal, seen)
    if passed is not None:
        return Verdict.DEADLINE, f"its deadline has passed: {failure.text}"
    if failure.cause is Cause.DEADLINE:
        return Verdict.DEADLINE, f"its deadline has passed: {failure.text}"
    if failure.cause is Cause.BALANCE:
        return Verdict.UNKNOWN, f"a balance is missing that could not be put in place: {failure.text}"
    return Verdict.REVERTS, f"it fails whatever is there: {failure.text}"


async def _find_deadline(node: Node, proposal: Proposal, seen: Seen) -> int | None:
    """A time named in the calldata up to which it ended otherwise, and after which it fails just as it does now."""
    now = int(node.at.time.timestamp()) if node.at.time else await _time(node)
    words = [word_at(proposal.data, number) for number in range(_MOST_WORDS)]
    named = sorted({word for word in words if word is not None and now - _OLDEST < word < now}, reverse=True)
    named = named[: min(_MOST_TIMES, max(0, node.left // 3 - 2))]
    if not named:
        return None
    moments = [(time - 1, time, time + 1) for time in named]
    now_request = plain_request(node, proposal, seen.state)
    requests = [plain_request(node, proposal, seen.state, moment) for times in moments for moment in times]
    answers = iter(await node.many([now_request, *requests]))
    failure = read_plain(next(answers)).failure
    for time in named:
        try:
            before, last, after = (read_plain(next(answers)).failure for _ in range(3))
        except Unavailable:  # the node has no blocks of another time
            return None
        if after == failure and failure not in (before, last):
            return time
        if after == last == failure != before:
            return time - 1
    return None


async def _time(node: Node) -> int:
    block = await node.one(
        "eth_getBlockByHash" if node.at.hash else "eth_getBlockByNumber", node.at.hash or hex(node.at.number), False
    )
    try:
        return quantity(block["timestamp"])
    except (KeyError, TypeError):
        raise Unavailable("a malformed block") from None
