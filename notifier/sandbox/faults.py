"""Faults by request: what the next calls of an operation run into."""

from collections import deque
from enum import StrEnum
from typing import Any

from notifier.sandbox.errors import StripeRefusal


class FaultKind(StrEnum):
    """What goes wrong."""

    RATE_LIMIT = "429"
    ERROR = "500"
    ERROR_AFTER_EFFECT = "500_after_effect"
    TIMEOUT_AFTER_EFFECT = "timeout_after_effect"
    DISABLED = "disabled"

    def refusal(self) -> StripeRefusal:
        """The answer."""
        if self is FaultKind.RATE_LIMIT:
            return StripeRefusal(429, "rate_limit", "Too many requests.", type="invalid_request_error")
        if self is FaultKind.DISABLED:
            message = "Minting of onramp sessions is switched off at present."
            return StripeRefusal(400, "crypto_onramp_disabled", message, type="api_error")
        return StripeRefusal(500, None, "An error occurred on our side.", type="api_error")


OPERATIONS = ("create", "retrieve", "list")


class Faults:
    """A queue for each operation."""

    def __init__(self) -> None:
        """None at first."""
        self._queues: dict[str, deque[FaultKind]] = {operation: deque() for operation in OPERATIONS}

    def add(self, order: Any) -> None:
        """`{"on": …, "kind": …, "times": n}`. Raises ValueError that says what is wrong."""
        if not isinstance(order, dict) or set(order) - {"on", "kind", "times"}:
            raise ValueError('send {"on": "create", "kind": "500", "times": 1}')
        operation, times = order.get("on"), order.get("times", 1)
        if operation not in OPERATIONS:
            raise ValueError(f"on must be one of {', '.join(OPERATIONS)}")
        if order.get("kind") not in list(FaultKind):
            raise ValueError(f"kind must be one of {', '.join(FaultKind)}")
        if type(times) is not int or not 0 < times <= 10_000:  # noqa: PLR2004
            raise ValueError("times must be a whole number from 1 to 10000")
        self._queues[operation].extend([FaultKind(order["kind"])] * times)

    def take(self, operation: str) -> FaultKind | None:
        """The fault of this call, if any."""
        queue = self._queues[operation]
        return queue.popleft() if queue else None
