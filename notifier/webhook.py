"""Events as signed webhooks, after Standard Webhooks: one id for ever, each attempt freshly stamped and signed."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Self

import aiohttp

from notifier.egress import AddressRefused, make_session
from notifier.model import Attempt, Endpoint, OutgoingEvent, Verdict
from notifier.signatures import sign

GONE = 410
REDIRECTS = range(300, 400)
SUCCESSES = range(200, 300)
SECONDS = re.compile(r"[0-9]{1,9}", re.ASCII)
"""A Retry-After that is read; a date, or a number with thousands of digits, is not."""


class WebhookChannel:
    """Fills `notifier.channel.Channel`. An async context manager: its connections are kept and closed with it."""

    def __init__(self, *, clock: Callable[[], datetime], allow_private: bool) -> None:
        """`allow_private` switches the guard against private addresses off: for local use."""
        self._clock = clock
        self._allow_private = allow_private
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the session."""
        self._session = make_session(allow_private=self._allow_private)
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Close it."""
        if self._session is not None:
            await self._session.close()

    async def send(self, event: OutgoingEvent, endpoint: Endpoint) -> Attempt:
        """POST it once. Only a 2xx is a delivery; the answer's body is not read."""
        if self._session is None:
            raise RuntimeError("the channel is not open")
        body = encode_event(event)
        headers = sign(event.id, int(self._clock().timestamp()), body, endpoint.secrets)
        headers |= {"content-type": "application/json", "user-agent": "topup-watcher"}
        try:
            async with self._session.post(endpoint.url, data=body, headers=headers, allow_redirects=False) as answer:
                return _judge(answer.status, answer.headers.get("retry-after"))
        except (aiohttp.ClientError, OSError, TimeoutError, UnicodeError) as error:  # UnicodeError: no host name
            return _explain(error)


def _explain(error: Exception) -> Attempt:
    """What kept an attempt from being answered, without the URL."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, AddressRefused):
        return Attempt(Verdict.REFUSED, detail="address not allowed")
    if isinstance(error, (aiohttp.InvalidURL, UnicodeError)):
        return Attempt(Verdict.REFUSED, detail="not a URL that can be dialled")
    return Attempt(
        Verdict.RETRY, detail="no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
    )


def encode_event(event: OutgoingEvent) -> bytes:
    """The body that is signed: compact JSON in UTF-8."""
    at = event.created_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    content: dict[str, Any] = {
        "id": event.id,
        "type": event.type,
        "created_at": at,
        "livemode": event.livemode,
        "subject": dict(event.subject),
        "version": event.version,
        "data": dict(event.data),
    }
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()


def _judge(status: int, retry_after: str | None) -> Attempt:
    if status in SUCCESSES:
        return Attempt(Verdict.DELIVERED, status)
    if status == GONE:
        return Attempt(Verdict.GONE, status, "the receiver wants no more")
    detail = "a redirect is not followed" if status in REDIRECTS else f"answered {status}"
    seconds = int(retry_after) if retry_after is not None and SECONDS.fullmatch(retry_after) else None
    return Attempt(Verdict.RETRY, status, detail, seconds)
