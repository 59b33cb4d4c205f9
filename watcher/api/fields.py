"""Field types that several bodies share."""

import ipaddress
import re
from datetime import datetime
from typing import Annotated, Final

from pydantic import AfterValidator, Field, StringConstraints

from watcher.shapes import ID_PATTERN, Strict

LAST_YEAR: Final = 9999
"""An offset may move a time of this year, or of the first, out of what PostgreSQL's driver can read back."""

_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})", re.ASCII
)

Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]


def _check_time(text: str) -> str:
    read_time(text)
    return text


def read_time(text: str) -> datetime:
    """An aware time. Raises ValueError."""
    if not _RFC_3339.fullmatch(text):
        raise ValueError("must be a time with its offset, as in 2026-01-02T03:04:05Z")
    at = datetime.fromisoformat(text)
    if not 1 < at.year < LAST_YEAR:
        raise ValueError("is out of range")
    return at


def _check_ip(text: str) -> str:
    """An address that means the same everywhere: one with a scope (`%eth0`) is refused, a mapped one is IPv4."""
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            raise ValueError("must be without a scope")
        address = address.ipv4_mapped or address
    return str(address)


Time = Annotated[str, StringConstraints(max_length=40), AfterValidator(_check_time)]
"""RFC 3339 with an offset."""
IpAddress = Annotated[str, StringConstraints(max_length=45), AfterValidator(_check_ip)]
Metadata = Annotated[
    dict[
        Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=r"^[^\[\]]+$")],
        Annotated[str, StringConstraints(max_length=500)],
    ],
    Field(max_length=50),
]
"""Stripe's own limits: 50 pairs, keys of 40 characters, values of 500."""


class Page(Strict):
    """Query of every list."""

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    after: Annotated[str, StringConstraints(max_length=200)] | None = None
    updated_after: Time | None = None
