"""Idempotency as Stripe documents it: the first answer of a key is stored once execution began, 500s included."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from notifier.sandbox.errors import StripeRefusal

MOST_CHARACTERS: Final = 255


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a request came to."""

    status: int
    body: Mapping[str, Any]
    session: str | None = None
    """The session that it made or showed, whatever the answer says."""
    lost: bool = False
    """The answer never reaches whoever asked."""
    replayed: bool = False


Run = Callable[[], Awaitable[Outcome]]
"""Carries a request out. What it raises is not stored: execution had not begun."""


class IdempotencyKeys:
    """Outcomes by (API key, idempotency key)."""

    def __init__(self) -> None:
        """Empty; kept for as long as the sandbox runs."""
        self._stored: dict[tuple[str, str], tuple[str, Outcome]] = {}
        self._running: set[tuple[str, str]] = set()

    async def once(self, api_key: str, key: str | None, params: Mapping[str, Any], run: Run) -> Outcome:
        """Run it, or replay what it came to. Raises `StripeRefusal` for a key in use, or with other parameters."""
        if key is None:
            return await run()
        if len(key) > MOST_CHARACTERS:
            raise _refuse(400, f"Idempotency keys have at most {MOST_CHARACTERS} characters.")
        this, text = (api_key, key), json.dumps(params, sort_keys=True)
        if this in self._running:
            message = "There is currently another in-progress request using this Idempotent Key."
            raise _refuse(409, message, "idempotency_key_in_use")
        if this in self._stored:
            before, outcome = self._stored[this]
            if before != text:
                raise _refuse(400, "A key can only be used again with the parameters it was first used with.")
            return replace(outcome, replayed=True, lost=False)
        self._running.add(this)
        try:
            outcome = await run()
        finally:
            self._running.discard(this)
        self._stored[this] = (text, outcome)
        return outcome


def _refuse(status: int, message: str, code: str | None = None) -> StripeRefusal:
    return StripeRefusal(status, code, message, type="idempotency_error")
