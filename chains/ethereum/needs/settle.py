"""Proves the amounts that a run showed: each is enough, one unit less is not; and finds approvals that are missing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from chains.ethereum.needs.look import Seen
from chains.ethereum.needs.node import Node
from chains.ethereum.needs.probe import plain_request, worked
from chains.ethereum.needs.proposal import Proposal
from chains.ethereum.needs.runs import AMPLE_COINS
from chains.ethereum.needs.search import find_least
from chains.ethereum.needs.slots import View
from chains.ethereum.needs.start import Start
from chains.ethereum.needs.state import State
from chains.ethereum.needs.touched import balance_of
from chains.ethereum.needs.words import PERMIT_ALLOWANCE, word_at
from chains.model import NATIVE
from chains.rpc import Request

_MOST_HINTS: Final = 8
"""Words of calldata that are tried as amounts, where a search has to be made."""


@dataclass(frozen=True, slots=True)
class Settled:
    """Amounts by asset (lower-case contract, or `native`), and what else was found."""

    amounts: Mapping[str, int]
    exact: bool
    missing: tuple[View, ...]
    """Allowances without which it fails."""
    gas: Any
    """The node's estimate in the state that will be: a quantity, or its RpcError. None when not asked."""


class Settling:
    """One transaction whose run with plenty has worked."""

    def __init__(self, node: Node, proposal: Proposal, start: Start, seen: Seen) -> None:
        self._node = node
        self._proposal = proposal
        self._seen = seen
        shown = seen.run.outflows()
        shown.pop(NATIVE, None)
        self._shown = {**shown, NATIVE: proposal.value}
        if start.has_code:
            self._shown[NATIVE] = seen.run.outflows().get(NATIVE, proposal.value)
        self._slots = {view.contract: slot for view, slot in seen.slots.items() if view == self._balance(view.contract)}
        self._tried = [*self._slots, *([NATIVE] if start.has_code and not proposal.blobs else [])]
        self._is_coin_sure = not (start.has_code and proposal.blobs)

    async def settle(self) -> Settled:
        """In one round trip when the run had shown the truth; else the amounts are searched for."""
        amounts = dict(self._shown)
        tried = [(asset, amount) for asset in self._tried for amount in self._bounds(amounts.get(asset, 0))]
        states = [self._holding(asset, amount) for asset, amount in tried]
        doubted = self._doubted(amounts)
        states += [self._seen.state.without_word(self._seen.slots[view].place) for view in doubted]
        answers, together, gas = await self._ask(states, amounts)
        good = dict(zip(tried, answers[: len(tried)], strict=True))
        missing = tuple(v for v, works in zip(doubted, answers[len(tried) :], strict=True) if not works)
        exact = all(asset in self._tried or not amount or asset == NATIVE for asset, amount in amounts.items())
        wrong = [a for a in self._tried if not self._is_proven(a, amounts.get(a, 0), good)]
        for asset in wrong:
            amounts[asset], proven = await self._search(asset, amounts.get(asset, 0))
            exact = exact and proven
        if wrong and self._node.left > len(doubted) + 2:
            doubted = [view for view in self._doubted(amounts) if view not in missing]
            back = [self._seen.state.without_word(self._seen.slots[view].place) for view in doubted]
            answers, together, gas = await self._ask(back, amounts)
            missing += tuple(v for v, works in zip(doubted, answers, strict=True) if not works)
        scaled = any(self._slots[a].is_scaled for a, amount in amounts.items() if amount and a in self._slots)
        return Settled(amounts, exact and together and self._is_coin_sure and not scaled, missing, gas)

    async def _ask(self, states: Sequence[State], amounts: Mapping[str, int]) -> tuple[list[bool], bool, Any]:
        """Whether it works in each state, and with exactly these amounts together; and its gas."""
        requests = [plain_request(self._node, self._proposal, state) for state in (*states, self._together(amounts))]
        if self._proposal.gas is None:
            requests.append(estimate_request(self._node, self._proposal, self._future(amounts)))
        answers = await self._node.many(requests)
        works = [worked(answer) for answer in answers[: len(states) + 1]]
        return works[:-1], works[-1], answers[-1] if self._proposal.gas is None else None

    @staticmethod
    def _bounds(amount: int) -> tuple[int, ...]:
        return (amount, amount - 1) if amount else (0,)

    @staticmethod
    def _is_proven(asset: str, amount: int, good: Mapping[tuple[str, int], bool]) -> bool:
        return good[asset, amount] and not good.get((asset, amount - 1), False)

    def _balance(self, token: str) -> View:
        return balance_of(token, self._proposal.sender)

    def _holding(self, asset: str, amount: int) -> State:
        """Plenty of everything, and exactly so much of one asset."""
        if asset == NATIVE:
            return self._seen.state.with_coins(self._proposal.sender, amount)
        return self._seen.state.with_word(self._slots[asset].place, self._slots[asset].holding(amount))

    def _doubted(self, amounts: Mapping[str, int]) -> list[View]:
        """Allowances that the chain's own state may not have enough of. Permit2's may be enough, and expired."""
        return [
            view
            for view, slot in self._seen.slots.items()
            if view != self._balance(view.contract)
            and (view.selector == PERMIT_ALLOWANCE or slot.amount < amounts.get(view.contract, 0))
        ]

    def _together(self, amounts: Mapping[str, int]) -> State:
        """Exactly these amounts of what is needed, the chain's own of what is not, and approvals in plenty.

        With blobs, coins in plenty too: some nodes take the price of blobs from them even in a call.
        """
        state = self._seen.state
        if not self._proposal.blobs:
            state = state.with_coins(self._proposal.sender, amounts[NATIVE])
        for asset, slot in self._slots.items():
            needed = amounts.get(asset, 0)
            word = slot.holding(needed)
            state = state.with_word(slot.place, word) if needed else state.without_word(slot.place)
        return state

    def _future(self, amounts: Mapping[str, int]) -> State:
        """What will be there when it is sent. What is received is not put there: a word that is no longer zero costs
        less gas. Nor is an approval that is there already: an endless one saves a write.
        """
        state = self._together(amounts).with_coins(self._proposal.sender, AMPLE_COINS + self._proposal.value)
        for asset, slot in self._slots.items():
            needed = amounts.get(asset, 0)
            if needed:
                state = state.with_word(slot.place, slot.holding(max(needed, slot.amount)))
        doubted = set(self._doubted(amounts))
        for view, slot in self._seen.slots.items():
            if view != self._balance(view.contract) and view not in doubted:
                state = state.without_word(slot.place)
        return state

    async def _search(self, asset: str, guess: int) -> tuple[int, bool]:
        async def works(amounts: Sequence[int]) -> list[bool]:
            states = [self._holding(asset, amount) for amount in amounts]
            answers = await self._node.many([plain_request(self._node, self._proposal, state) for state in states])
            return [worked(answer) for answer in answers]

        most = self._seen.state.coins[self._proposal.sender] if asset == NATIVE else self._slots[asset].ample
        reserve = len(self._seen.slots) + 8
        if self._node.left <= reserve + 16 + 2 * _MOST_HINTS:
            return max(guess, 0), False
        words = (word_at(self._proposal.data, number) for number in range(_MOST_HINTS))
        hints = [word for word in words if word is not None]
        return await find_least(works, guess, most, lambda: self._node.left - reserve, hints)


def estimate_request(node: Node, proposal: Proposal, state: State) -> Request:
    """The node's own search for the least gas limit."""
    return "eth_estimateGas", [proposal.call(), node.block, state.override()]
