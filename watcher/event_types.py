"""Every type of event that is sent, and what it is about. Pure: for whoever tells, filters or describes them.

A type is `<object>.<what happened>`. Types may be added; none is ever renamed.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Final

ASK_OBJECTS: Final = ("transaction", "checkout", "swap")
"""What a backend asks for; all three live alike."""

_ASK: Final = ("short", "covered", "not_funds", "done", "expired", "cancelled")
_HAPPENINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "top_up": (
        "opened",
        "link_ready",
        "reminded",
        "unreached",
        "settling",
        "landed",
        "overdue",
        "retracted",
        "cancelled",
        "expired",
        "superseded",
        "rejected",
        "failed",
    ),
    **dict.fromkeys(ASK_OBJECTS, _ASK),
    "wallet": ("low", "recovered", "critical", "address_changed"),
    "network": ("stale", "recovered", "held"),
    "inbound": ("refused",),
}

EVENT_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {f"{subject}.{name}": subject for subject, names in _HAPPENINGS.items() for name in names}
)
"""Each type with the object that it is about."""
TEST_EVENT: Final = "endpoint.test"
"""Goes to the endpoint that is tested and to no other, whatever their patterns say."""
SENT_TYPES: Final[Mapping[str, str]] = MappingProxyType({**EVENT_TYPES, TEST_EVENT: "endpoint"})
"""All that may arrive."""


def matches(pattern: str, event_type: str) -> bool:
    """Whether who asked for `*`, `top_up.*` or one type gets this one."""
    return fnmatchcase(event_type, pattern)
