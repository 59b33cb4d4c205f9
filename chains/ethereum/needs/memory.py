"""What one look learns that the next may use: what each endpoint can do, and how tokens lay out their storage."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from chains.ethereum.needs.layouts import Field, Layout

_MOST_LAYOUTS: Final = 4096
_BELIEVED: Final = 3600.0
"""Seconds for which an endpoint's refusal is believed: nodes are upgraded, and some refuse in a bad moment."""


@dataclass(frozen=True, slots=True)
class Known:
    """A layout that was proven for one owner; the next owner's word is checked against it."""

    contract: str
    """Whose storage it is: the token's own, or that of a contract it asks."""
    layout: Layout
    field: Field


class Memory:
    """Bounded, and never trusted further than a check at the next use."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._layouts: dict[tuple[str, str], Known] = {}
        self._refused_until: dict[tuple[str, str], float] = {}

    def can(self, host: str, what: str) -> bool:
        """Whether the endpoint has not lately refused a method or a way."""
        return self._clock() >= self._refused_until.get((host, what), 0.0)

    def cannot(self, host: str, what: str) -> None:
        """The endpoint has refused it."""
        self._refused_until[host, what] = self._clock() + _BELIEVED

    def layout(self, contract: str, selector: str) -> Known | None:
        """What is known of where a view's answer is kept."""
        return self._layouts.get((contract, selector))

    def learn(self, contract: str, selector: str, known: Known) -> None:
        """Remember it, for the oldest of too many."""
        self._layouts.pop((contract, selector), None)
        self._layouts[contract, selector] = known
        while len(self._layouts) > _MOST_LAYOUTS:
            del self._layouts[next(iter(self._layouts))]

    def forget(self, contract: str, selector: str) -> None:
        """It was found wrong."""
        self._layouts.pop((contract, selector), None)
