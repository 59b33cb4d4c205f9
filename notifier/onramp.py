"""What the watcher asks of the onramp. Filled by `notifier.stripe_onramp` and, in tests, by a fake."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from notifier.model import OnrampSession, SessionRequest


class Onramp(Protocol):
    """One tenant's account at the onramp. Every method raises an `OnrampError`, and nothing else."""

    @property
    def livemode(self) -> bool:
        """Whether the key is a live one."""

    def session_body(self, request: SessionRequest) -> Mapping[str, Any]:
        """The exact JSON-safe parameters of the create call, to be stored before it is made. Pure.

        Raises `OnrampRefused` for what Stripe's documented cross-rules would refuse.
        """

    async def create_session(self, body: Mapping[str, Any], *, idempotency_key: str) -> OnrampSession:
        """Create, or get again what the same key created before."""

    async def retrieve_session(self, session_id: str) -> OnrampSession:
        """The session as it is now."""

    async def find_session(self, *, top_up: str, attempt: int, created_after: datetime) -> OnrampSession | None:
        """Look for an attempt's session by listing and matching metadata; None means that it does not exist."""

    async def list_sessions(self, *, created_after: datetime) -> list[OnrampSession]:
        """Every session of this installation since then, newest first."""
