"""What a measured program sent to its node: each round trip with its methods and its time; and how figures are told."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any, ClassVar
from unittest.mock import patch

from chains.rpc import Endpoint, RpcClient


@dataclass(frozen=True, slots=True)
class Trip:
    """One request on the wire, a batch or not."""

    methods: tuple[str, ...]
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        """How long the answer was waited for."""
        return self.ended - self.began


@dataclass(slots=True)
class Look:
    """One measured call of the daemon's code."""

    began: float = 0.0
    ended: float = 0.0
    trips: list[Trip] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.ended - self.began

    @property
    def calls(self) -> int:
        """Calls to the node, each of a batch."""
        return sum(len(trip.methods) for trip in self.trips)

    @property
    def sequential(self) -> int:
        """Round trips that began after the one before had ended."""
        count, end = 0, 0.0
        for trip in sorted(self.trips, key=lambda each: each.began):
            count += trip.began >= end
            end = max(end, trip.ended)
        return count

    @property
    def own(self) -> float:
        """Seconds in which no answer was waited for."""
        waited, end = 0.0, 0.0
        for trip in sorted(self.trips, key=lambda each: each.began):
            waited += max(0.0, trip.ended - max(trip.began, end))
            end = max(end, trip.ended)
        return self.seconds - waited


class WireClient(RpcClient):
    """The daemon's client, which notes each round trip of whatever is being measured."""

    trips: ClassVar[list[Trip]] = []

    async def _post(self, endpoint: Endpoint, body: Any) -> bytes:
        began = time.perf_counter()
        try:
            return await super()._post(endpoint, body)
        finally:
            calls = body if isinstance(body, list) else [body]
            self.trips.append(Trip(tuple(call["method"] for call in calls), began, time.perf_counter()))


@contextmanager
def noting(module: str) -> Iterator[None]:
    """Chains made in here use `WireClient` where `module` has `RpcClient`."""
    with patch(f"{module}.RpcClient", WireClient):
        yield


@contextmanager
def looking() -> Iterator[Look]:
    """Measures what is done in here."""
    look = Look(trips=[])
    WireClient.trips.clear()
    look.began = time.perf_counter()
    yield look
    look.ended = time.perf_counter()
    look.trips = list(WireClient.trips)


def p90(values: Sequence[float]) -> float:
    """Nine of ten are not above it."""
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.9))]


def ms(values: Sequence[float]) -> float:
    """The median in milliseconds."""
    return median(values) * 1000


def p99(values: Sequence[float]) -> float:
    """Ninety-nine of a hundred are not above it."""
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]
