"""Runs of one transaction with one wallet's funds set to whatever is asked."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from solders.account import Account

from chains.solana.accounts import associated_account
from chains.solana.needs import token
from chains.solana.needs.machine import RICH, Machine, Run, with_lamports
from chains.solana.needs.proposal import Proposal
from chains.solana.needs.snapshot import Snapshot
from chains.solana.needs.wallet import held_by, vacant_of

AMPLE: Final = 2**63 - 1
"""Of a token: twice as much still fits into 64 bits."""
_TRANSFERS: Final = frozenset({3, 8, 12, 15})
"""Token instructions that take an amount out of their first account: transfer and burn, checked or not."""
_TRANSFER_WITH_FEE: Final = (26, 1)


class OutOfTime(Exception):
    """The time for one transaction is over."""


@dataclass(frozen=True, slots=True)
class Funds:
    """What the wallet has in a run."""

    coin: int
    tokens: Mapping[str, int]
    """By token account."""


class Trial:
    """One transaction, one wallet, one snapshot."""

    def __init__(
        self,
        machine: Machine,
        snapshot: Snapshot,
        proposal: Proposal,
        owner: str,
        *,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """The snapshot is in the machine already. Raises `OutOfTime` from any run once `seconds` are over."""
        self.machine = machine
        self.snapshot = snapshot
        self.proposal = proposal
        self.owner = owner
        self._clock = clock
        self._deadline = clock() + seconds
        self.base = snapshot.accounts.get(owner)
        self.sources = held_by(owner, snapshot)

    def run(self, funds: Funds) -> Run:
        """What happens with these funds."""
        if self._clock() > self._deadline:
            raise OutOfTime
        instead = {self.owner: with_lamports(self.base, funds.coin)} if self.owner in self.snapshot.keys else {}
        if self.proposal.payer != self.owner:
            payer = self.proposal.payer
            instead[payer] = with_lamports(self.snapshot.accounts.get(payer), RICH)
        for key, source in self.sources.items():
            instead[key] = token.with_amount(source, funds.tokens[key])
        return self.machine.run(self.proposal.transaction, instead)

    def works(self, funds: Funds) -> bool:
        """Whether it succeeds with these funds."""
        return self.run(funds).error is None

    def ample(self) -> Funds:
        """More than anything can need."""
        return Funds(RICH, {key: RICH if token.is_native(each) else AMPLE for key, each in self.sources.items()})

    def stated(self) -> Funds:
        """Of each token exactly what the transaction's own instructions take: some close the account afterwards."""
        stated = dict.fromkeys(self.sources, 0)
        for instruction in self.proposal.instructions:
            accounts, data = bytes(instruction.accounts), bytes(instruction.data)
            source = self.snapshot.keys[accounts[0]] if accounts else ""
            start = 1 if data[:1] and data[0] in _TRANSFERS else 2 if tuple(data[:2]) == _TRANSFER_WITH_FEE else 0
            if source in stated and start and len(data) >= start + 8:
                stated[source] += int.from_bytes(data[start : start + 8], "little")
        return Funds(RICH, {key: min(amount, AMPLE) for key, amount in stated.items()})

    def actual(self) -> Funds:
        """What is there now."""
        return Funds(self.base.lamports if self.base is not None else 0, {key: self.have(key) for key in self.sources})

    def have(self, key: str) -> int:
        """Tokens in one of the wallet's accounts now."""
        account = self.snapshot.accounts.get(key)
        return token.amount_of(account) if account is not None and token.is_token_account(account) else 0

    def missing(self) -> dict[str, Account]:
        """The wallet's associated accounts that it names and that aren't there, as arriving tokens would open them."""
        opened = {
            key: self.machine.open_account(self.owner, mint, program)
            for key, (mint, program) in vacant_of(self.owner, self.snapshot).items()
        }
        return {key: made for key, made in opened.items() if made is not None and token.is_token_account(made)}

    def is_associated(self, key: str) -> bool:
        """Whether a token account is the one where the wallet's tokens of its mint arrive."""
        source = self.sources[key]
        return key == associated_account(self.owner, token.mint_of(source), str(source.owner))
