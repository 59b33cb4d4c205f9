"""What one simulated run of a transaction shows, whichever way it was run. No I/O."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from chains.ethereum.needs.reverts import Failure
from chains.ethereum.needs.words import TRANSFER, lower
from chains.model import NATIVE

MOST_GAS: Final = 2**24
"""Gas of a run whose limit nobody has chosen: what EIP-7825 allows a transaction, and every node an `eth_call`."""
AMPLE_COINS: Final = 10**27
"""Of the native coin, for a run that is to show what is taken."""
_COIN_LOGS: Final = "0x" + "ee" * 20
"""Where `eth_simulateV1` says that coins move, as if they were a token."""

Move = tuple[str, int]
"""An asset (lower-case contract, or `native`) and how much of it left the sender; negative when it came in."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run."""

    failure: Failure | None
    """None when it worked."""
    moves: tuple[Move, ...] = ()
    """In the order they happened, where the node tells."""
    fell: Mapping[str, int] = field(default_factory=dict)
    """How much each balance fell, where it was read before and after."""

    @property
    def ok(self) -> bool:
        """Whether it worked."""
        return self.failure is None

    def outflows(self) -> dict[str, int]:
        """How much of each asset had to be there: the peak of what had left, or what the balance fell by."""
        totals: dict[str, int] = {}
        peaks: dict[str, int] = dict(self.fell)
        for asset, amount in self.moves:
            totals[asset] = totals.get(asset, 0) + amount
            peaks[asset] = max(peaks.get(asset, 0), totals[asset])
        return {asset: amount for asset, amount in peaks.items() if amount > 0}


def gas_of(limit: int | None) -> str:
    """The gas of a run: the transaction's own limit, or enough for any."""
    return hex(min(limit, 2 * MOST_GAS) if limit is not None else MOST_GAS)


def moves_of(logs: Iterable[Any], sender: str) -> list[Move]:
    """What Transfer logs say of the sender's assets."""
    return [move for log in logs if isinstance(log, Mapping) for move in _moves_of(log, sender)]


def _moves_of(log: Mapping[str, Any], sender: str) -> list[Move]:
    topics = log.get("topics")
    if not isinstance(topics, list) or len(topics) != 3 or topics[0] != TRANSFER:  # noqa: PLR2004  four are an NFT's
        return []
    address, text = lower(log.get("address")), log.get("data")
    if not address or not isinstance(text, str) or len(text) < 66:  # noqa: PLR2004  0x and a word
        return []
    asset, amount = NATIVE if address == _COIN_LOGS else address, int(text[:66], 16)
    source, target = (f"0x{topic[-40:]}".lower() for topic in topics[1:])
    out = [(asset, amount)] if source == sender else []
    return out + ([(asset, -amount)] if target == sender else [])
