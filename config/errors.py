"""What is wrong with what was declared: every fault at once, each with its place."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldError:
    """One fault of one field."""

    field: str
    """JSON pointer, such as `/funding/0/trigger`."""
    code: str
    """Machine-readable, such as `not_a_decimal`."""
    message: str
    """For people: completes the sentence that the field begins."""


def escape(key: str) -> str:
    """A key as one step of a JSON pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


class ConfigError(Exception):
    """The configuration can't be used."""

    def __init__(self, source: str, errors: Sequence[FieldError]) -> None:
        """`source` is the file, or what else it came from."""
        self.source = source
        self.errors = tuple(errors)
        super().__init__("\n".join(f"{source}: {e.field}: {e.message}" for e in errors))
