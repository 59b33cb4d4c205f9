"""How many requests are taken: of each tenant, and of each address from which unknown keys come."""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Self

from config.model import DEFAULT_REQUESTS_PER_SECOND, Tenant
from watcher.api.problems import Problem

REQUEST: Final = 1_000_000_000
"""A bucket counts in billionths: a rate of requests a second is that many billionths a nanosecond, without rounding."""
BURST_SECONDS: Final = 2
"""A bucket holds what comes in this long."""
RETRY_SECONDS: Final = 1
"""At one request a second, which is the lowest rate, the next one may come after this."""
UNKNOWN_PER_SECOND: Final = 20
"""Requests with a key that isn't known, of one address: a backend that starts is let in, a guesser gets nowhere."""
MOST_ADDRESSES: Final = 10_000
MOST_KNOWN: Final = 10_000
SITE_BITS: Final = 64
"""Of an IPv6 address: whoever has one has all that begin like it."""


@dataclass(slots=True)
class Bucket:
    """A token bucket: what it holds lets requests through, and time fills it again."""

    rate: int
    """Requests a second."""
    level: int
    """Billionths of a request."""
    at: int
    """When `level` was true, in nanoseconds."""

    @classmethod
    def full(cls, rate: int, now: int) -> Self:
        """As one that has rested."""
        return cls(rate, BURST_SECONDS * rate * REQUEST, now)

    def take(self, now: int) -> bool:
        """Whether one more request may pass."""
        filled = self.level + max(0, now - self.at) * self.rate
        self.level = min(BURST_SECONDS * self.rate * REQUEST, filled)
        self.at = max(self.at, now)
        if self.level < REQUEST:
            return False
        self.level -= REQUEST
        return True


class Limits:
    """Judges each request before any work is done for it. All in memory: a restart forgives."""

    def __init__(self, tenants: Mapping[str, Tenant], *, monotonic_ns: Callable[[], int]) -> None:
        """`monotonic_ns` never goes backwards: `time.monotonic_ns` outside of tests."""
        self._tenants = tenants
        self._now = monotonic_ns
        self._of_tenants: dict[str, Bucket] = {}
        self._of_addresses: OrderedDict[str, Bucket] = OrderedDict()
        self._known: OrderedDict[bytes, None] = OrderedDict()

    def meet(self, address: str | None, digest: bytes | None) -> None:
        """Before a key is looked up. Raises `Problem` 429 for one too many that isn't known.

        Keys that were recognised before pass: who guesses behind the same proxy doesn't lock a backend out.
        """
        if digest is not None and digest in self._known:
            self._known.move_to_end(digest)
            return
        site = find_site(address)
        bucket = self._of_addresses.pop(site, None) or Bucket.full(UNKNOWN_PER_SECOND, self._now())
        self._of_addresses[site] = bucket
        if len(self._of_addresses) > MOST_ADDRESSES:
            self._of_addresses.popitem(last=False)
        _take(bucket, self._now())

    def remember(self, digest: bytes) -> None:
        """It is a key's."""
        self._known[digest] = None
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)

    def forget(self, digest: bytes) -> None:
        """It is no key's, or no more."""
        self._known.pop(digest, None)

    def count(self, tenant: str) -> None:
        """One more request of a tenant's key. Raises `Problem` 429 for one too many."""
        bucket = self._of_tenants.get(tenant)
        if bucket is None:
            declared = self._tenants.get(tenant)
            rate = declared.requests_per_second if declared else DEFAULT_REQUESTS_PER_SECOND
            bucket = self._of_tenants[tenant] = Bucket.full(rate, self._now())
        _take(bucket, self._now())


def _take(bucket: Bucket, now: int) -> None:
    if not bucket.take(now):
        later = {"Retry-After": str(RETRY_SECONDS)}
        raise Problem(429, "rate_limited", "Too many requests: come back later", headers=later)


def find_site(address: str | None) -> str:
    """Those who share a bucket: an IPv4 address, or the /64 of an IPv6 one."""
    try:
        parsed = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, SITE_BITS), strict=False))
    return str(parsed)
