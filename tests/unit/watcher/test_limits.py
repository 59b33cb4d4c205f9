"""Limits of requests: never more than the burst and what time gives, and a backend isn't locked out by a guesser."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.settings import make_tenant
from watcher.api.limits import (
    BURST_SECONDS,
    MOST_ADDRESSES,
    REQUEST,
    UNKNOWN_PER_SECOND,
    Bucket,
    Limits,
    find_site,
)
from watcher.api.problems import Problem

SECOND = 10**9


class Nanoseconds:
    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def time() -> Nanoseconds:
    return Nanoseconds()


@pytest.fixture
def limits(time: Nanoseconds) -> Limits:
    return Limits({"default": make_tenant(requests_per_second=3)}, monotonic_ns=time)


def passes(limits: Limits, address: str = "192.0.2.1", digest: bytes | None = b"guess") -> bool:
    try:
        limits.meet(address, digest)
    except Problem:
        return False
    return True


def counts(limits: Limits, tenant: str) -> Iterator[None]:
    """One item for each request that passes, until one doesn't."""
    while True:
        try:
            limits.count(tenant)
        except Problem:
            return
        yield


@given(st.integers(1, 1000), st.lists(st.integers(0, 3 * SECOND), min_size=1, max_size=300))
def test_never_more_than_the_burst_and_what_time_gives(rate: int, gaps: list[int]) -> None:
    """Whenever requests come: between any two of them no more pass than the burst and rate times the time between."""
    bucket, now, passed = Bucket.full(rate, 0), 0, []
    for gap in gaps:
        now += gap
        if bucket.take(now):
            passed.append(now)
    for first, start in enumerate(passed):
        for count, end in enumerate(passed[first:], start=1):
            assert count * REQUEST <= BURST_SECONDS * rate * REQUEST + rate * (end - start)


@given(st.integers(1, 1000), st.lists(st.integers(0, 3 * SECOND), max_size=100))
def test_whoever_keeps_to_the_rate_always_passes(rate: int, gaps: list[int]) -> None:
    """Requests that come no faster than the rate all pass, and after a refusal one second is long enough to wait."""
    bucket, now = Bucket.full(rate, 0), 0
    for gap in gaps:
        now += -(-SECOND // rate) + gap
        assert bucket.take(now)
    while bucket.take(now):
        pass
    assert bucket.take(now + SECOND)


@given(st.lists(st.integers(-SECOND, SECOND), max_size=50))
def test_a_clock_that_goes_backwards_gives_nothing(jumps: list[int]) -> None:
    """Time that comes twice fills once."""
    bucket = Bucket.full(1, 0)
    passed = sum(bucket.take(jump) for jump in [0, 0, 0, *jumps])
    assert passed <= 2 + 1


def test_each_tenant_has_its_own_limit(limits: Limits) -> None:
    """What one has used up leaves the others theirs; one that the configuration doesn't name has the default."""
    assert len(list(counts(limits, "default"))) == 6
    assert len(list(counts(limits, "gone"))) == 100


def test_a_guesser_is_stopped_and_a_backend_behind_the_same_proxy_is_not(limits: Limits, time: Nanoseconds) -> None:
    """Keys that were recognised pass while the address has used up its guesses; others wait, the right one too."""
    limits.remember(b"known")
    assert [passes(limits) for _ in range(BURST_SECONDS * UNKNOWN_PER_SECOND)] == [True] * 40
    assert not passes(limits)
    assert not passes(limits, digest=None)
    assert passes(limits, digest=b"known")
    assert passes(limits, "192.0.2.2")
    limits.forget(b"known")
    assert not passes(limits, digest=b"known")
    time.now += SECOND
    assert [passes(limits) for _ in range(UNKNOWN_PER_SECOND + 1)] == [True] * 20 + [False]


def test_many_addresses_take_bounded_memory(limits: Limits) -> None:
    """The address that was heard longest ago is forgotten first."""
    while passes(limits, "192.0.2.1"):
        pass
    for number in range(MOST_ADDRESSES - 1):
        passes(limits, f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert not passes(limits, "192.0.2.1")
    for number in range(MOST_ADDRESSES):
        passes(limits, f"11.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert passes(limits, "192.0.2.1")
    assert len(limits._of_addresses) == MOST_ADDRESSES


def test_an_ipv6_site_is_one_guesser() -> None:
    """A /64 is one customer's; a mapped address is the IPv4 one; a Unix socket has none."""
    assert find_site("2001:db8::1") == find_site("2001:db8::ffff:1%eth0") != find_site("2001:db8:0:1::1")
    assert find_site("::ffff:192.0.2.1") == "192.0.2.1"
    assert find_site(None) == find_site("") == ""
