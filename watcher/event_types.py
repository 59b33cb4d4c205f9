"""Every type of event there is: what an endpoint can ask for."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Final

_NAMES: Final[Mapping[str, str]] = {
    "top_up": "opened link_ready reminded unreached settling landed overdue"
    " retracted cancelled expired superseded rejected failed",
    "transaction": "short covered not_funds done expired cancelled",
    "checkout": "short covered not_funds done expired cancelled",
    "swap": "short covered not_funds done expired cancelled",
    "wallet": "low recovered critical address_changed",
    "network": "stale recovered held",
    "inbound": "refused",
}
EVENT_TYPES: Final = tuple(f"{kind}.{name}" for kind, names in _NAMES.items() for name in names.split())
TEST_EVENT: Final = "endpoint.test"
"""Goes to the endpoint that is tested and to no other, whatever their patterns say."""


def matches(pattern: str, event_type: str) -> bool:
    """Whether who asked for `*`, `top_up.*` or one type gets this one."""
    return fnmatchcase(event_type, pattern)
