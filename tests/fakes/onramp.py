"""An onramp in memory that keeps Stripe's promises: one session a key, listed by metadata, statuses set by the test."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from notifier.errors import OnrampError, OnrampRefused, OnrampRetry, OnrampUnknown
from notifier.model import OnrampSession, SessionRequest, SessionStatus
from notifier.stripe_body import make_body


class FakeOnramp:
    """`script` holds what the next creates do: an error before the effect, or ("after", error) once it has happened."""

    def __init__(self, *, livemode: bool = False) -> None:
        self._livemode = livemode
        self.script: list[OnrampError | tuple[str, OnrampError]] = []
        self.down: OnrampError | None = None
        self.calls: list[tuple[str, str]] = []
        self.sessions: dict[str, OnrampSession] = {}
        self._by_key: dict[str, str] = {}
        self._stored_faults: dict[str, OnrampError] = {}
        self._bodies: dict[str, dict[str, Any]] = {}
        self.bodies: list[dict[str, Any]] = []

    @property
    def livemode(self) -> bool:
        return self._livemode

    def session_body(self, request: SessionRequest) -> Mapping[str, Any]:
        return make_body(request)

    async def create_session(self, body: Mapping[str, Any], *, idempotency_key: str) -> OnrampSession:
        self.calls.append(("create", idempotency_key))
        self._raise()
        if self._bodies.setdefault(idempotency_key, dict(body)) != dict(body):
            raise OnrampRefused("other parameters under this key", code="idempotency_error", http_status=400)
        if idempotency_key in self._stored_faults:
            raise self._stored_faults[idempotency_key]
        if idempotency_key in self._by_key:
            return self.sessions[self._by_key[idempotency_key]]
        step = self.script.pop(0) if self.script else None
        if isinstance(step, OnrampError):
            self._store(idempotency_key, step)
            raise step
        session = self._make(body, idempotency_key)
        self.bodies.append(dict(body))
        if step is not None:
            self._store(idempotency_key, step[1])
            raise step[1]
        return session

    async def retrieve_session(self, session_id: str) -> OnrampSession:
        self.calls.append(("retrieve", session_id))
        self._raise()
        if session_id not in self.sessions:
            raise OnrampRefused("no such session", code="resource_missing", http_status=404)
        return self.sessions[session_id]

    async def find_session(self, *, top_up: str, attempt: int, created_after: datetime) -> OnrampSession | None:
        del created_after
        self.calls.append(("find", f"{top_up}:{attempt}"))
        self._raise()
        wanted = {"top_up": top_up, "attempt": str(attempt)}
        return next((s for s in self.sessions.values() if wanted.items() <= s.metadata.items()), None)

    async def list_sessions(self, *, created_after: datetime) -> list[OnrampSession]:
        del created_after
        self.calls.append(("list", ""))
        self._raise()
        return list(reversed(self.sessions.values()))

    def become(self, session_id: str, status: SessionStatus, *, transaction: str | None = None) -> None:
        """What happens at Stripe."""
        self.sessions[session_id] = replace(self.sessions[session_id], status=status, transaction=transaction)

    def _make(self, body: Mapping[str, Any], key: str) -> OnrampSession:
        session_id = f"cos_{len(self.sessions) + 1}"
        self._by_key[key] = session_id
        self.sessions[session_id] = OnrampSession(
            id=session_id,
            status=SessionStatus.INITIALIZED,
            livemode=self._livemode,
            link=f"https://crypto.link.example/{session_id}",
            created_at=datetime(2026, 1, 2, tzinfo=UTC),
            metadata=dict(body["metadata"]),
            destinations=frozenset(body["wallet_addresses"].items()),
            currencies=frozenset(body.get("destination_currencies", ())),
        )
        return self.sessions[session_id]

    def _store(self, key: str, error: OnrampError) -> None:
        """Stripe keeps an answered 500 with its key; a lost answer is kept nowhere."""
        if isinstance(error, OnrampRetry) and (error.http_status or 0) >= 500:
            self._stored_faults[key] = error

    def _raise(self) -> None:
        if self.down is not None:
            raise self.down


def server_error() -> OnrampRetry:
    return OnrampRetry("an error on Stripe's side", http_status=500)


def lost_answer() -> OnrampUnknown:
    return OnrampUnknown("no answer")
