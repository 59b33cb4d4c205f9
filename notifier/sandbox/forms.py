"""Stripe's form encoding: `a[b][c]=1`, lists as `a[0]=` or `a[]=`. An unreadable name is a parameter too."""

import re
from typing import Any, Final
from urllib.parse import parse_qsl

_NAME = re.compile(r"([A-Za-z0-9_]+)((?:\[[^\[\]]*\])*)", re.ASCII)
_PART = re.compile(r"\[([^\[\]]*)\]")
MOST_FIELDS: Final = 200


def decode_form(text: str) -> dict[str, Any]:
    """Nested maps and lists of strings. Raises ValueError for what is no form."""
    root: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS):
        match = _NAME.fullmatch(name)
        if match is None:
            root[name] = value
            continue
        _put(root, [match[1], *_PART.findall(match[2])], value)
    return {name: _as_lists(value) for name, value in root.items()}


def _put(root: dict[str, Any], path: list[str], value: str) -> None:
    here = root
    for part in path[:-1]:
        inner = here.setdefault(part, {})
        if not isinstance(inner, dict):
            raise ValueError(f"{path[0]} is both a value and a map")  # noqa: TRY004  one error for every bad form
        here = inner
    last = path[-1] or str(len(here))
    here[last] = value


def _as_lists(value: Any) -> Any:
    """Maps whose keys are 0, 1, 2 … are lists."""
    if not isinstance(value, dict):
        return value
    inner = {key: _as_lists(v) for key, v in value.items()}
    if inner and list(inner) == [str(i) for i in range(len(inner))]:
        return list(inner.values())
    return inner
