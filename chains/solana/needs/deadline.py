"""Whether a transaction's time is over, where that can be known before it is run."""

from typing import Any, Protocol

from chains.errors import Unavailable
from chains.needs import Verdict
from chains.solana.needs.finding import Finding
from chains.solana.needs.proposal import Proposal, stored_nonce
from chains.solana.needs.snapshot import Snapshot


class Asks(Protocol):
    """Calls to one endpoint."""

    async def call(self, method: str, params: list[Any]) -> Any:
        """The result."""


async def is_over(calls: Asks, proposal: Proposal, snapshot: Snapshot) -> Finding | None:
    """Why it is too late; None while it isn't, or where nobody can know.

    What nobody has signed may get another blockhash from the wallet, so its own says nothing. Of what somebody has
    signed, the blockhash stands for ever. A durable nonce stands in the transaction, signed or not. Raises
    `Unavailable`.
    """
    if proposal.nonce is not None:
        account = snapshot.accounts.get(proposal.nonce)
        stored = stored_nonce(account.data) if account is not None else None
        if stored is None:
            return Finding(Verdict.REVERTS, f"{proposal.nonce} holds no durable nonce")
        if stored != proposal.blockhash:
            return Finding(Verdict.DEADLINE, "its durable nonce was used by another transaction")
        return None
    if not proposal.is_fixed:
        return None
    answer = await calls.call("isBlockhashValid", [proposal.blockhash, {"commitment": "processed"}])
    is_valid = answer.get("value") if isinstance(answer, dict) else None
    if type(is_valid) is not bool:
        raise Unavailable("a malformed word about a blockhash")
    if not is_valid:
        return Finding(Verdict.DEADLINE, "it is signed with a blockhash that is too old")
    return None
