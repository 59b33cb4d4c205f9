"""One Stripe account as an onramp: the stable SDK's raw requests, with pacing, parsing and errors of our own.

The SDK never retries here: the jobs that call this repeat it under the same idempotency key, and know when.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NoReturn, Self

import aiohttp
import stripe
from aiolimiter import AsyncLimiter

from notifier.errors import OnrampMisconfigured, OnrampRefused, OnrampUnknown
from notifier.model import OnrampSession, SessionRequest
from notifier.stripe_body import check_body, make_body
from notifier.stripe_errors import sort_error
from notifier.stripe_session import SESSION_ID, parse_session, read_metadata

PATH: Final = "/v1/crypto/onramp_sessions"
DEFAULT_BASE: Final = "https://api.stripe.com"
TIMEOUT_SECONDS: Final = 20.0
LIVE_PER_SECOND: Final = 20.0
TEST_PER_SECOND: Final = 10.0
"""Stripe's limit is 25 a second for an endpoint, and in test mode for the whole account."""
MOST_KEY_CHARACTERS: Final = 255
PAGE: Final = 100
MOST_PAGES: Final = 100
CLOCK_SLACK: Final = timedelta(minutes=1)
"""Our clock and Stripe's may differ: listing starts this much earlier."""


class StripeOnramp:
    """Fills `notifier.onramp.Onramp`. An async context manager: its connections are closed with it."""

    def __init__(
        self,
        secret_key: str,
        *,
        installation: str,
        api_base: str = DEFAULT_BASE,
        stripe_version: str | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        creates_per_second: float | None = None,
        reads_per_second: float | None = None,
    ) -> None:
        """`installation` tells our sessions from those of others on the same account.

        Raises ValueError for something that is no secret key, and for a live key over plain http.
        """
        if not secret_key.startswith(("sk_test_", "rk_test_", "sk_live_", "rk_live_")):
            raise ValueError("not a Stripe secret key: it starts with sk_test_, sk_live_, rk_test_ or rk_live_")
        self._livemode = secret_key.startswith(("sk_live_", "rk_live_"))
        self._insecure = api_base.startswith("http://")
        if self._livemode and not api_base.startswith("https://"):
            raise ValueError("a live key is only ever sent over https")
        self._key = secret_key
        self._base = api_base.rstrip("/")
        self._version = stripe_version
        self._installation = installation
        self._timeout = timeout_seconds
        default = LIVE_PER_SECOND if self._livemode else TEST_PER_SECOND
        self._rates = (creates_per_second or default, reads_per_second or default)
        self._client: stripe.StripeClient | None = None

    async def __aenter__(self) -> Self:
        """Open the client. No request is made."""
        stripe.enable_telemetry = False  # else the SDK writes a file into the home folder and reports the platform
        logging.getLogger("stripe").setLevel(logging.WARNING)  # at DEBUG it logs whole bodies, client secrets included
        self._http = stripe.AIOHTTPClient(timeout=aiohttp.ClientTimeout(total=self._timeout))
        self._client = stripe.StripeClient(
            self._key,
            base_addresses={"api": self._base},
            stripe_version=self._version,
            http_client=self._http,
            max_network_retries=0,
        )
        # one at a time in even steps: a bucket of a second's worth could let twice the rate through in one second
        self._creates, self._reads = (AsyncLimiter(1, 1 / rate) for rate in self._rates)
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Close the connections."""
        self._client = None
        await self._http.close_async()  # type: ignore[no-untyped-call]  # the SDK leaves it untyped

    @property
    def livemode(self) -> bool:
        """Whether the key is a live one."""
        return self._livemode

    def session_body(self, request: SessionRequest) -> Mapping[str, Any]:
        """See `Onramp.session_body`."""
        return make_body(request)

    async def create_session(self, body: Mapping[str, Any], *, idempotency_key: str) -> OnrampSession:
        """See `Onramp.create_session`. A session without a hosted link is `OnrampMisconfigured`."""
        if not 0 < len(idempotency_key) <= MOST_KEY_CHARACTERS or not idempotency_key.isascii():
            raise OnrampRefused(f"an idempotency key has 1 to {MOST_KEY_CHARACTERS} ASCII characters")
        parameters = check_body(body)
        async with self._creates:
            data = await self._call("post", PATH, parameters, idempotency_key=idempotency_key)
        return _require_link(self._parse(data))

    async def retrieve_session(self, session_id: str) -> OnrampSession:
        """See `Onramp.retrieve_session`."""
        if not SESSION_ID.fullmatch(session_id):  # it becomes a path: the SDK resolves `..`
            raise OnrampRefused("not a session id", code="resource_missing", param="id")
        async with self._reads:
            data = await self._call("get", f"{PATH}/{session_id}", {})
        session = self._parse(data)
        if session.id != session_id:
            raise OnrampUnknown("Stripe answered with another session")
        return session

    async def find_session(self, *, top_up: str, attempt: int, created_after: datetime) -> OnrampSession | None:
        """See `Onramp.find_session`. A list too long to be read to its end is `OnrampUnknown`, not None."""
        wanted = {"top_up": top_up, "attempt": str(attempt), "installation": self._installation}
        async for item in self._list(created_after):
            if wanted.items() <= read_metadata(item).items():
                session = self._parse(item)
                return session if session.status.terminal else _require_link(session)
        return None

    async def list_sessions(self, *, created_after: datetime) -> list[OnrampSession]:
        """See `Onramp.list_sessions`. A list too long to be read to its end is `OnrampUnknown`."""
        items = self._list(created_after)
        return [self._parse(i) async for i in items if read_metadata(i).get("installation") == self._installation]

    async def _list(self, created_after: datetime) -> AsyncIterator[Mapping[str, Any]]:
        """Everybody's, page by page, newest first."""
        since = int((created_after - CLOCK_SLACK).timestamp())
        parameters: dict[str, Any] = {"created": {"gte": since}, "limit": PAGE}
        for _ in range(MOST_PAGES):
            async with self._reads:
                items, more = _read_page(await self._call("get", PATH, parameters))
            for item in items:
                yield item
            if not more:
                return
            parameters = {**parameters, "starting_after": _last_id(items)}
        raise OnrampUnknown(f"more than {PAGE * MOST_PAGES} sessions to look through")

    def _parse(self, data: Any) -> OnrampSession:
        return parse_session(data, livemode=self._livemode, insecure_links=self._insecure)

    async def _call(self, method: str, path: str, parameters: Mapping[str, Any], **options: Any) -> Any:
        if self._client is None:
            raise RuntimeError("the onramp is not open")
        try:
            # the SDK reads the body outside its own error handling, and its total time-out is per request
            async with asyncio.timeout(self._timeout + 1):
                answer = await self._client.raw_request_async(method, path, **parameters, **options)
        except stripe.StripeError as error:
            _raise_sorted(error)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, RecursionError) as error:
            raise OnrampUnknown(f"no readable answer from Stripe: {type(error).__name__}") from None
        return answer.data


def _raise_sorted(error: stripe.StripeError) -> NoReturn:
    """Without the cause: the SDK's messages quote answers, and those have client secrets in them."""
    raise sort_error(error) from None


def _require_link(session: OnrampSession) -> OnrampSession:
    if session.link is None:
        message = "Stripe made a session without a hosted link (redirect_url): is the hosted onramp enabled?"
        raise OnrampMisconfigured(message, code="no_hosted_link")
    return session


def _read_page(page: Any) -> tuple[list[Mapping[str, Any]], bool]:
    """The items and whether there are more."""
    if not isinstance(page, Mapping):
        raise OnrampUnknown("Stripe's answer is not a list")
    items, more = page.get("data"), page.get("has_more")
    if not isinstance(items, list) or not isinstance(more, bool) or (more and not items):
        raise OnrampUnknown("Stripe's answer is not a list")
    if not all(isinstance(item, Mapping) for item in items):
        raise OnrampUnknown("Stripe's list has something that is no session")
    return items, more


def _last_id(items: list[Mapping[str, Any]]) -> str:
    last = items[-1].get("id")
    if not isinstance(last, str) or not SESSION_ID.fullmatch(last):
        raise OnrampUnknown("Stripe's list has a session without an id")
    return last
