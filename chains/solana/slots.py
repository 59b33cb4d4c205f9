"""How far the cluster is, by what its endpoints tell, and how far it can be by now. No I/O."""

import time
from collections.abc import Callable
from typing import Final, Literal

Commitment = Literal["confirmed", "finalized"]
Marks = dict[Commitment, int]
"""The highest slot seen at each commitment."""

_SLOT_SECONDS: Final = 0.1
"""A slot takes 0.4 s; four times as many are taken as they come."""
NEAR: Final = 500
"""Slots that answers given at one time may be apart: endpoints lag behind each other."""


class Slots:
    """The marks below which nothing is believed, and the slot above which nothing is believed unasked.

    Accounts have a mark of their own: a node may read them at a slot above the one that it names as confirmed.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives monotonic seconds."""
        self._clock = clock
        self.heads: Marks = {"confirmed": 0, "finalized": 0}
        self.reads: Marks = {"confirmed": 0, "finalized": 0}
        self._moved_at = clock()
        self._head: tuple[int, float] | None = None
        """The highest slot that an endpoint told in this run, and when."""

    @property
    def stood_for(self) -> float:
        """Seconds since the confirmed slot last rose."""
        return self._clock() - self._moved_at

    @property
    def known(self) -> bool:
        """Whether an endpoint has told a slot in this run."""
        return self._head is not None

    def expect(self, slot: int) -> None:
        """Believe no confirmed slot below this one, which an earlier run has seen."""
        for marks in (self.heads, self.reads):
            marks["confirmed"] = max(marks["confirmed"], slot)

    def forgive(self) -> None:
        """Count the time that the slot stood from now."""
        self._moved_at = self._clock()

    def saw(self, commitment: Commitment, slot: int) -> None:
        """An endpoint has told this slot, and is believed."""
        now = self._clock()
        if commitment == "confirmed" and slot > self.heads[commitment]:
            self._moved_at = now
        self.heads[commitment] = max(self.heads[commitment], slot)
        if self._head is None or slot >= self._head[0]:
            self._head = (slot, now)

    def is_far(self, slot: int) -> bool:
        """Whether the cluster can't have come so far in the time since its last head, as far as we know."""
        if self._head is None:
            return True
        last, at = self._head
        return slot > last + NEAR + (self._clock() - at) / _SLOT_SECONDS
