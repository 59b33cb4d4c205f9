"""Stripe's error bodies, as documented for the onramp."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class StripeRefusal(Exception):
    """An answer of Stripe's other than 200."""

    status: int
    code: str | None
    message: str
    param: str | None = None
    type: str = "invalid_request_error"

    def body(self) -> dict[str, Any]:
        """`{"error": {…}}` with what is known."""
        fields = {"type": self.type, "code": self.code, "message": self.message, "param": self.param}
        return {"error": {name: value for name, value in fields.items() if value is not None}}


def refuse(code: str, message: str, param: str | None = None) -> StripeRefusal:
    """HTTP 400, the status of every documented onramp code."""
    return StripeRefusal(400, code, message, param)


def unknown_parameter(name: str) -> StripeRefusal:
    """Stripe refuses what it doesn't know rather than ignore it."""
    return refuse("parameter_unknown", f"Received unknown parameter: {name}", name)
