"""JSON from outside, parsed at a bounded depth whatever libraries have done to the interpreter's recursion limit.

Some raise it to 100,000 when they are imported; from there on a body of opening brackets overflows the C stack and
ends the process.
"""

import json
import sys
from typing import Any, Final

RECURSION: Final = 1000
"""Python's own default: deep enough for any honest answer, far from the end of the stack."""


def loads(text: str | bytes, **hooks: Any) -> Any:
    """As `json.loads`. Raises ValueError, and RecursionError for what is nested too deep."""
    limit = sys.getrecursionlimit()
    if limit <= RECURSION:
        return json.loads(text, **hooks)
    sys.setrecursionlimit(RECURSION)
    try:
        return json.loads(text, **hooks)
    finally:
        sys.setrecursionlimit(limit)
