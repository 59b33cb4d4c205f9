"""JSON pointers (RFC 6901), by which an operator says where in an answer a rate stands."""

import re
from typing import Any, Final

_SHAPE: Final = re.compile(r"(?:/(?:[^~/]|~[01])*)*")
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,5}", re.ASCII)


def is_pointer(text: str) -> bool:
    """Whether it is one."""
    return _SHAPE.fullmatch(text) is not None


def find_at(document: Any, pointer: str) -> Any:
    """What stands there. Raises LookupError where nothing does."""
    for step in pointer.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict):
            document = document[key]
        elif isinstance(document, list) and _INDEX.fullmatch(key):
            document = document[int(key)]
        else:
            raise LookupError(key)
    return document
