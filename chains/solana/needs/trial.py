"""Runs of one transaction with one wallet's funds set to whatever is asked."""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from solders.account import Account

from chains.solana.needs import token
from chains.solana.needs.decode import stated_tokens
from chains.solana.needs.machine import RICH, Machine, Run, with_lamports
from chains.solana.needs.proposal import Proposal
from chains.solana.needs.snapshot import Snapshot
from chains.solana.needs.wallet import held_by, vacant_of

AMPLE: Final = 2**63 - 1
"""Of a token: twice as much still fits into 64 bits."""
_MOST_KEPT: Final = 8
"""Runs whose outcome is kept: a run holds all the accounts after it."""


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
        size = len(self.base.data) if self.base is not None else 0
        self._least = machine.rent_minimum(size) if size else 0  # without it the data wouldn't be there
        self._kept: OrderedDict[tuple[int, ...], Run] = OrderedDict()
        self._sources = held_by(owner, snapshot)

    @property
    def sources(self) -> Mapping[str, Account]:
        """The wallet's token accounts, as they are in a run but for their amounts."""
        return self._sources

    @sources.setter
    def sources(self, sources: Mapping[str, Account]) -> None:
        self._sources = dict(sources)
        self._kept.clear()

    def run(self, funds: Funds) -> Run:
        """What happens with these funds. The same again is not run again: nothing but the funds could differ."""
        key = (funds.coin, *(funds.tokens[source] for source in self.sources))
        if key not in self._kept:
            self._kept[key] = self._run(funds)
            if len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        return self._kept[key]

    def set_time(self, earlier: int) -> None:
        """Runs from now on are of so many seconds before the snapshot."""
        self._kept.clear()
        self.machine.set_time(self.snapshot, earlier)

    def _run(self, funds: Funds) -> Run:
        if self._clock() > self._deadline:
            raise OutOfTime
        coin = max(funds.coin, self._least)
        instead = {self.owner: with_lamports(self.base, coin)} if self.owner in self.snapshot.keys else {}
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
        stated = stated_tokens(self.proposal, self.snapshot.keys)
        return Funds(RICH, {key: min(stated.get(key, 0), AMPLE) for key in self.sources})

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
