"""What running a transaction showed, as it goes from the process that ran it to the one that asked. No I/O."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from chains.needs import Verdict


@dataclass(frozen=True, slots=True)
class Taken:
    """What must be in one token account of the wallet."""

    account: str
    mint: str
    amount: int
    have: int
    is_associated: bool
    """The wallet's own account for that mint, where bought tokens arrive."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome, in lamports and base units."""

    verdict: Verdict
    detail: str = ""
    exact: bool = False
    coin: int = 0
    """The least balance that works, with everything that follows."""
    have: int = 0
    fee: int = 0
    """Of `coin`; 0 where another account pays it."""
    rent: int = 0
    """Of `coin`, in accounts that are opened and stay."""
    keep: int = 0
    """Of `coin`: what must be left."""
    tokens: tuple[Taken, ...] = ()
    runs: int = 0
    method: str = "simulate"

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Back again."""
        tokens = tuple(Taken(**each) for each in value["tokens"])
        return cls(**{**value, "verdict": Verdict(value["verdict"]), "tokens": tokens})
