"""Every request that the sandbox saw, in order, with its outcome. Nothing is ever removed from it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """One request."""

    at: int
    operation: str
    """`create`, `retrieve`, `list`, `pay`."""
    api_key: str | None
    """The first digits of its SHA-256: tells accounts apart and is of no other use."""
    idempotency_key: str | None
    params: Mapping[str, Any]
    status: int
    session: str | None
    replayed: bool = False
    code: str | None = None

    def render(self) -> dict[str, Any]:
        """As JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def name_key(api_key: str) -> str:
    """How the ledger names an API key."""
    return hashlib.sha256(api_key.encode()).hexdigest()[:12]


class Ledger:
    """Append-only, in memory and, when told where, in a file of JSON lines."""

    def __init__(self, path: Path | None = None) -> None:
        """`path` is appended to."""
        self._entries: list[Entry] = []
        self._path = path

    def append(self, entry: Entry) -> None:
        """Add one, on disk before it returns."""
        self._entries.append(entry)
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(json.dumps(entry.render()) + "\n")

    @property
    def entries(self) -> Sequence[Entry]:
        """All of them, first to last."""
        return tuple(self._entries)
