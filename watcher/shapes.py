"""What bodies and queries are made of: known fields only, no value converted."""

from typing import Final

from pydantic import BaseModel, ConfigDict

ID_PATTERN: Final = r"^[A-Za-z0-9._:\-]{1,64}$"
"""Ids that a backend chooses."""


class Strict(BaseModel):
    """A body or query: known fields only, no value converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)
