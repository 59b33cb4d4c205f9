"""What the node's own simulation says of a transaction that could not be run here: less, and never exact."""

from base64 import b64encode
from collections.abc import Sequence
from typing import Any, Final, Protocol

from chains.errors import RpcError, Unavailable
from chains.needs import Verdict
from chains.solana.accounts import read_account
from chains.solana.needs import token
from chains.solana.needs.decode import stated_coin, stated_tokens
from chains.solana.needs.fee import charge_of
from chains.solana.needs.finding import Finding, Taken
from chains.solana.needs.proposal import Proposal
from chains.solana.needs.snapshot import Snapshot
from chains.solana.needs.wallet import held_by, is_own_place, vacant_of

_LACKS: Final = ("InsufficientFunds", "AccountNotFound", "'Custom': 1}", "InvalidAccountData")
"""The node's words for what money may help: a payer who isn't there, a token account that isn't or holds too little."""
_KEEP: Final = 890_880
"""Lamports that an account without data must keep."""
_RENT: Final = "InsufficientFundsForRent"


class Asks(Protocol):
    """Calls to one endpoint."""

    async def call(self, method: str, params: Sequence[Any]) -> Any:
        """The result."""


async def simulate(calls: Asks, proposal: Proposal, snapshot: Snapshot, owner: str, why: str) -> Finding:
    """With the funds that are there: what it took of them, if that was enough. Raises `Unavailable`."""
    watched = [owner, *held_by(owner, snapshot)]
    options = {
        "encoding": "base64",
        "sigVerify": False,
        "replaceRecentBlockhash": True,
        "commitment": "confirmed",
        "accounts": {"encoding": "base64", "addresses": watched},
    }
    message = b64encode(bytes(proposal.transaction)).decode()
    try:
        answer = await calls.call("simulateTransaction", [message, options])
    except RpcError as refusal:
        return Finding(Verdict.UNKNOWN, f"{why}; the node does not simulate it either (error {refusal.code})")
    try:
        value = answer["value"]
        error, after = value["err"], value.get("accounts")
    except (KeyError, TypeError, AttributeError):
        raise Unavailable("a malformed simulation") from None
    if error is not None:
        return _stated(error, proposal, snapshot, owner, why)
    if not isinstance(after, list) or len(after) != len(watched):
        raise Unavailable("a malformed simulation")
    return _took(proposal, snapshot, owner, dict(zip(watched, after, strict=True)), why)


def _took(proposal: Proposal, snapshot: Snapshot, owner: str, after: dict[str, Any], why: str) -> Finding:
    base, left = snapshot.accounts.get(owner), read_account(after[owner])
    have, rest = base.lamports if base is not None else 0, left.lamports if left is not None else 0
    fee = charge_of(proposal).total if proposal.payer == owner else 0
    tokens = []
    for key, account in held_by(owner, snapshot).items():
        remaining, before = read_account(after[key]), token.amount_of(account)
        if remaining is not None and len(remaining.data) == len(account.data):
            taken = before - int.from_bytes(remaining.data[64:72], "little")
            if taken > 0:
                tokens.append(Taken(key, token.mint_of(account), taken, before, is_own_place(owner, key, account)))
    coin = max(0, have - rest)
    return Finding(Verdict.FUNDS, why, coin=coin, have=have, fee=min(fee, coin), tokens=tuple(tokens))


def _stated(error: Any, proposal: Proposal, snapshot: Snapshot, owner: str, why: str) -> Finding:
    """A failure names one lack and no amount: where funds are lacking, what the instructions state is taken."""
    if not any(word in str(error) for word in _LACKS) or _is_of_another(error, snapshot.keys, owner):
        return Finding(Verdict.UNKNOWN, f"{why}; the node's own simulation fails for a reason of its own")
    fee = charge_of(proposal).total if proposal.payer == owner else 0
    coin = fee + stated_coin(proposal, snapshot.keys, owner)
    keep = _KEEP if coin else 0
    taken = stated_tokens(proposal, snapshot.keys)
    base = snapshot.accounts.get(owner)
    tokens = [
        Taken(key, token.mint_of(held), taken[key], token.amount_of(held), is_own_place(owner, key, held))
        for key, held in held_by(owner, snapshot).items()
        if taken.get(key)
    ]
    tokens += [
        Taken(key, mint, taken[key], 0, is_associated=True)
        for key, (mint, _) in vacant_of(owner, snapshot).items()
        if taken.get(key)
    ]
    return Finding(
        Verdict.FUNDS,
        f"{why}; the node's own simulation fails for want of funds, and the instructions state these amounts",
        coin=coin + keep,
        have=base.lamports if base is not None else 0,
        fee=fee,
        keep=keep,
        tokens=tuple(tokens),
        method="decode",
    )


def _is_of_another(error: Any, keys: Sequence[str], owner: str) -> bool:
    """Whether it is another account that would be left with less than the rent minimum."""
    lacks = error.get(_RENT) if isinstance(error, dict) else None
    index = lacks.get("account_index") if isinstance(lacks, dict) else None
    return type(index) is int and 0 <= index < len(keys) and keys[index] != owner
