"""One endpoint, and how it has behaved."""

from collections.abc import Callable
from dataclasses import dataclass, field

from yarl import URL

from chains.rpc_budget import Allowance


@dataclass(slots=True, eq=False)
class Endpoint:
    """One URL and how it has behaved."""

    url: str = field(repr=False)
    host: str
    """Host and port: all that messages say of it."""
    allowance: Allowance = field(repr=False)
    known: bool = False
    """It has said who it is, and not been lost since."""
    quarantined: bool = False
    """It serves another chain: never asked anything but who it is."""
    rests_until: float = 0.0
    """Monotonic seconds; it asked for a rest, and is not asked before."""
    doubted_until: float = 0.0
    """Monotonic seconds; it failed lately, and is asked after the others."""


OnCall = Callable[[str, str], None]
"""Told of each call that is sent: the endpoint's host, and the method."""


def find_host(url: str) -> str:
    """Host and port, without what may be a key."""
    parsed = URL(url)
    port = f":{parsed.explicit_port}" if parsed.explicit_port else ""
    return f"{parsed.host or '(no host)'}{port}"
