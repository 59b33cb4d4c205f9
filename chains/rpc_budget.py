"""How much an endpoint may be asked: calls and credits a second, and how many calls at once. No I/O.

What an operator declares is kept to from the start; what an endpoint refuses is learned, and forgotten after an hour.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from chains.errors import RpcError

BURST_SECONDS: Final = 1.0
"""A budget may be used up this far ahead."""
LONGEST_WAIT: Final = 5.0
"""Seconds that a call waits for its turn; one that would wait longer goes to the next endpoint."""
REMEMBERED_SECONDS: Final = 3600.0
TOO_LARGE: Final = 413
"""The code of the RpcError made from an HTTP 413, so that callers can halve what they ask."""
_SIZE_CODES: Final = frozenset({TOO_LARGE, -32008, -32010})
_SIZE_WORDS: Final = ("batch", "too large", "too big", "response size", "content length")


@dataclass(frozen=True, slots=True)
class Budget:
    """What an operator allows an endpoint to be asked. The default is no limit."""

    calls_per_second: int | None = None
    credits_per_second: int | None = None
    credits: Mapping[str, int] = field(default_factory=dict)
    """What a call of a method costs; others cost one."""
    most_in_batch: int | None = None

    def cost(self, methods: Sequence[str]) -> int:
        """Credits of these calls."""
        return sum(self.credits.get(method, 1) for method in methods)


UNLIMITED: Final = Budget()


class OverBudget(Exception):
    """The turn of a call would come too late."""


@dataclass(slots=True)
class _Pace:
    """So much a second, first come, first served."""

    rate: int
    free_at: float = 0.0
    """When all that was granted is paid for."""

    def wait(self, now: float) -> float:
        return max(0.0, self.free_at - BURST_SECONDS - now)

    def take(self, amount: int, now: float) -> None:
        self.free_at = max(self.free_at, now) + amount / self.rate


class Allowance:
    """One endpoint's budget as it is used, by all who ask that endpoint."""

    def __init__(self, budget: Budget, clock: Callable[[], float]) -> None:
        """`clock` gives monotonic seconds."""
        self._budget = budget
        self._clock = clock
        self._calls = _Pace(budget.calls_per_second) if budget.calls_per_second else None
        self._credits = _Pace(budget.credits_per_second) if budget.credits_per_second else None
        self._most: int | None = None
        self._learned_at = 0.0

    def take(self, methods: Sequence[str]) -> float:
        """Seconds to wait before these calls are sent together. Raises `OverBudget`, and then nothing is taken."""
        now = self._clock()
        wanted = ((self._calls, len(methods)), (self._credits, self._budget.cost(methods)))
        paces = [(pace, amount) for pace, amount in wanted if pace is not None]
        wait = max((pace.wait(now) for pace, _ in paces), default=0.0)
        if wait > LONGEST_WAIT:
            raise OverBudget
        for pace, amount in paces:
            pace.take(amount, now)
        return wait

    def count_first(self, methods: Sequence[str]) -> int:
        """How many of these calls, from the first, may be sent together: one at least."""
        budget = self._budget
        learned = self._most if self._clock() < self._learned_at + REMEMBERED_SECONDS else None
        most = min(n for n in (len(methods), budget.most_in_batch, budget.calls_per_second, learned) if n)
        if budget.credits_per_second:
            while most > 1 and budget.cost(methods[:most]) > budget.credits_per_second:
                most -= 1
        return most

    def learn(self, refused: int) -> None:
        """So many calls together were too many: half of them from now on."""
        self._most, self._learned_at = max(1, refused // 2), self._clock()


def is_size(error: RpcError) -> bool:
    """A refusal that fewer calls together may not meet."""
    lowered = error.text.lower()
    return error.code in _SIZE_CODES or any(word in lowered for word in _SIZE_WORDS)
