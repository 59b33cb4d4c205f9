"""What is put in place of the chain's own state for one simulated run. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from chains.ethereum.needs.words import hex_word

Place = tuple[str, str]
"""A contract (lower-case) and the key of one of its storage words."""


@dataclass(frozen=True, slots=True)
class State:
    """Coins, storage words and code that differ from the chain's. Never changed: each step makes a new one."""

    coins: Mapping[str, int] = field(default_factory=dict)
    words: Mapping[Place, int] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)

    def with_coins(self, address: str, amount: int) -> "State":
        """The same, with that much of the native coin at an address."""
        return replace(self, coins={**self.coins, address: amount})

    def with_word(self, place: Place, word: int) -> "State":
        """The same, with another word."""
        return replace(self, words={**self.words, place: word})

    def without_word(self, place: Place) -> "State":
        """The same, with the chain's own word there."""
        return replace(self, words={at: word for at, word in self.words.items() if at != place})

    def with_code(self, address: str, code: str) -> "State":
        """The same, with that code at an address."""
        return replace(self, code={**self.code, address: code})

    def override(self) -> dict[str, dict[str, Any]]:
        """As the state override argument of `eth_call` and its like."""
        accounts: dict[str, dict[str, Any]] = {}
        for address, amount in self.coins.items():
            accounts.setdefault(address, {})["balance"] = hex(amount)
        for (address, key), word in self.words.items():
            accounts.setdefault(address, {}).setdefault("stateDiff", {})[key] = hex_word(word)
        for address, code in self.code.items():
            accounts.setdefault(address, {})["code"] = code
        return accounts
