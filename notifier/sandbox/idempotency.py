"""Idempotency as Stripe documents it: the first answer of a key is stored once execution began, 500s included."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from notifier.sandbox.errors import StripeRefusal

MOST_CHARACTERS: Final = 255


@dataclass(frozen=True, slots=True)
class Stored:
    """An answer and the parameters that it is for."""

    params: str
    status: int
    body: Mapping[str, Any]


Run = Callable[[], Awaitable[tuple[int, Mapping[str, Any], bool]]]
"""Gives status, body, and whether execution had begun: refused parameters are not stored."""


class IdempotencyKeys:
    """Answers by (API key, idempotency key)."""

    def __init__(self) -> None:
        """Empty; kept for as long as the sandbox runs."""
        self._answers: dict[tuple[str, str], Stored] = {}
        self._running: set[tuple[str, str]] = set()

    async def once(
        self, api_key: str, key: str | None, params: Mapping[str, Any], run: Run
    ) -> tuple[int, Mapping[str, Any], bool]:
        """Status, body, whether it is a replay. Raises `StripeRefusal` for a key in use, or with other parameters."""
        if key is None:
            status, body, _ = await run()
            return status, body, False
        if len(key) > MOST_CHARACTERS:
            message = f"Idempotency keys have at most {MOST_CHARACTERS} characters."
            raise StripeRefusal(400, None, message, type="idempotency_error")
        this, text = (api_key, key), json.dumps(params, sort_keys=True)
        if this in self._running:
            message = "There is currently another in-progress request using this Idempotent Key."
            raise StripeRefusal(409, "idempotency_key_in_use", message, type="idempotency_error")
        stored = self._answers.get(this)
        if stored is not None:
            if stored.params != text:
                message = (
                    "Keys for idempotent requests can only be used with the same parameters they were first used with."
                )
                raise StripeRefusal(400, None, message, type="idempotency_error")
            return stored.status, stored.body, True
        self._running.add(this)
        try:
            status, body, begun = await run()
        finally:
            self._running.discard(this)
        if begun:
            self._answers[this] = Stored(text, status, body)
        return status, body, False
