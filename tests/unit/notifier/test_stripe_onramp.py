"""The adapter against a scripted server: each answer ends in a session or in the right error, and leaks nothing."""

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from aiohttp import web

from notifier.errors import (
    OnrampError,
    OnrampMisconfigured,
    OnrampPaused,
    OnrampRefused,
    OnrampRetry,
    OnrampUnknown,
    OnrampUserRefused,
)
from notifier.stripe_onramp import MOST_PAGES, StripeOnramp

KEY: Final = "sk_test_51secretsecret"
LINK: Final = "https://crypto.link.example?session_hash=HASH"
BODY: Final = {"destination_networks": ["ethereum"], "lock_wallet_address": True, "metadata": {"top_up": "tu_1"}}
SESSION: Final[dict[str, Any]] = {
    "id": "cos_1",
    "object": "crypto.onramp_session",
    "client_secret": "cos_1_secret_hush",
    "created": 1_767_323_045,
    "livemode": False,
    "metadata": {"top_up": "tu_1", "attempt": "1", "installation": "inst"},
    "redirect_url": LINK,
    "status": "initialized",
    "transaction_details": {},
}
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Script:
    """Answers in order, the last one for ever; keeps what was asked."""

    def __init__(self) -> None:
        self.answers: deque[Answer] = deque()
        self.seen: list[tuple[str, str, dict[str, str], str]] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        self.seen.append((request.method, request.raw_path, dict(request.headers), text))
        answer = self.answers.popleft() if len(self.answers) > 1 else self.answers[0]
        return await answer(request)


def says(status: int, body: Any = None, *, raw: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        content = json.dumps(body).encode() if raw is None else raw
        return web.Response(status=status, body=content, headers=headers)

    return answer


def fails(status: int, code: str | None = None, *, kind: str = "invalid_request_error", **more: str) -> Answer:
    fault = {"type": kind, "message": f"see {LINK} of {KEY}", **({"code": code} if code else {}), **more}
    return says(status, {"error": fault})


async def hangs(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(5)
    return web.Response()


async def drops(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def stops_halfway(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Length": "1000"})
    await answer.prepare(request)
    await answer.write(b'{"id": "cos_1",')
    assert request.transport is not None
    request.transport.close()
    return answer


@pytest.fixture
async def script() -> AsyncIterator[Script]:
    script = Script()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", script.handle)
    runner = web.AppRunner(app, handle_signals=False, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    script.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield script
    await runner.cleanup()


@asynccontextmanager
async def opened(script: Script, **options: Any) -> AsyncIterator[StripeOnramp]:
    defaults = {"installation": "inst", "timeout_seconds": 0.5, "creates_per_second": 1000, "reads_per_second": 1000}
    async with StripeOnramp(KEY, api_base=script.url, **{**defaults, **options}) as onramp:
        yield onramp


SORTED: list[tuple[str, Answer, type[OnrampError]]] = [
    ("401", fails(401), OnrampMisconfigured),
    ("403", fails(403), OnrampMisconfigured),
    ("404", fails(404, "resource_missing"), OnrampRefused),
    ("429", fails(429, "rate_limit"), OnrampRetry),
    ("429 without a body", says(429, raw=b""), OnrampRetry),
    ("key in use", fails(409, "idempotency_key_in_use", kind="idempotency_error"), OnrampRetry),
    ("lock", fails(409, "lock_timeout"), OnrampRetry),
    ("409 for another body", fails(409, kind="idempotency_error"), OnrampRefused),
    ("400 for another body", fails(400, kind="idempotency_error"), OnrampRefused),
    ("500", fails(500, kind="api_error"), OnrampRetry),
    ("502 in HTML", says(502, raw=b"<html>bad gateway</html>"), OnrampRetry),
    ("503", fails(503, kind="api_error"), OnrampRetry),
    ("paused", fails(400, "crypto_onramp_disabled", kind="api_error"), OnrampPaused),
    ("paused by another status", fails(403, "crypto_onramp_disabled", kind="api_error"), OnrampPaused),
    ("country", fails(400, "crypto_onramp_unsupported_country"), OnrampUserRefused),
    ("customer", fails(400, "crypto_onramp_unsupportable_customer"), OnrampUserRefused),
    ("customer by 403", fails(403, "crypto_onramp_unsupportable_customer"), OnrampUserRefused),
    ("limit", fails(400, "crypto_onramp_limit_exceeded"), OnrampUserRefused),
    ("merchant", fails(400, "crypto_onramp_merchant_not_properly_setup"), OnrampMisconfigured),
    ("service", fails(400, "crypto_onramp_service_error"), OnrampRetry),
    ("zerohash", fails(400, "zerohash_api_error"), OnrampRetry),
    ("unknown parameter", fails(400, "parameter_unknown", param="wallet_addresses[base]"), OnrampRefused),
    ("an onramp code of tomorrow", fails(400, "crypto_onramp_something_new"), OnrampRefused),
    ("200 in HTML", says(200, raw=b"<html>a captive portal</html>"), OnrampUnknown),
    ("200 and nothing", says(200, raw=b""), OnrampUnknown),
    ("200 not UTF-8", says(200, raw=b"\xff\xfe"), OnrampUnknown),
    ("200 and something else", says(200, {"object": "list"}), OnrampUnknown),
    ("200 and a list", says(200, []), OnrampUnknown),
    ("200 nested without end", says(200, raw=b"[" * 60_000), OnrampUnknown),
    ("304", says(304), OnrampUnknown),
    ("no answer", hangs, OnrampUnknown),
    ("dropped", drops, OnrampUnknown),
    ("half an answer", stops_halfway, OnrampUnknown),
    ("no hosted link", says(200, {**SESSION, "redirect_url": None}), OnrampMisconfigured),
    ("a live session", says(200, {**SESSION, "livemode": True}), OnrampMisconfigured),
]


@pytest.mark.parametrize(("answer", "kind"), [case[1:] for case in SORTED], ids=[case[0] for case in SORTED])
async def test_sorted_by_what_to_do(script: Script, answer: Answer, kind: type[OnrampError]) -> None:
    """Each failure is exactly one kind of ours, asked once, and its text has no key, link or client secret."""
    script.answers.append(answer)
    async with opened(script) as onramp:
        with pytest.raises(OnrampError) as raised:
            await onramp.create_session(BODY, idempotency_key="tu_1:1")

    assert type(raised.value) is kind
    assert len(script.seen) == 1
    assert raised.value.__cause__ is None
    for secret in (KEY, "session_hash", "hush", "127.0.0.1"):
        assert secret not in f"{raised.value!s} {raised.value!r} {vars(raised.value)}"


async def test_what_stripe_said_is_kept(script: Script) -> None:
    """Code, parameter, status, request id and Retry-After, for the job and the log."""
    script.answers.append(says(400, {"error": {"type": "x", "code": "c_1", "param": "p[0]", "message": "No."}}))
    script.answers.append(
        says(429, {"error": {"type": "x"}}, headers={"retry-after": "7", "request-id": "req_1"}),
    )
    script.answers.append(says(429, {"error": {"type": "x"}}, headers={"Retry-After": "9" * 9}))
    script.answers.append(says(429, {"error": {"type": "x"}}, headers={"Retry-After": "soon"}))
    errors = []
    async with opened(script) as onramp:
        for _ in range(4):
            with pytest.raises(OnrampError) as raised:
                await onramp.create_session(BODY, idempotency_key="k")
            errors.append(raised.value)
    refused, *busy = errors
    assert (refused.code, refused.param, refused.http_status) == ("c_1", "p[0]", 400)
    assert str(refused) == "Stripe answered 400 c_1: No."
    assert (busy[0].retry_after_seconds, busy[0].request_id) == (7, "req_1")
    assert [e.retry_after_seconds for e in busy[1:]] == [3600, None]


async def test_what_is_on_the_wire(script: Script) -> None:
    """The key, the pinned version, the idempotency key and the form; no telemetry and no id from the home folder."""
    script.answers.append(says(200, SESSION))
    async with opened(script, stripe_version="2026-10-28.endive") as onramp:
        session = await onramp.create_session(BODY, idempotency_key="tu_1:1")
    ((method, path, headers, text),) = script.seen
    assert (method, path) == ("POST", "/v1/crypto/onramp_sessions")
    assert text == "destination_networks[0]=ethereum&lock_wallet_address=true&metadata[top_up]=tu_1"
    assert headers["Idempotency-Key"] == "tu_1:1"
    assert headers["Stripe-Version"] == "2026-10-28.endive"
    assert "X-Stripe-Client-Telemetry" not in headers
    assert json.loads(headers["X-Stripe-Client-User-Agent"]).keys() & {"telemetry_id", "platform"} == set()
    assert (session.id, session.link) == ("cos_1", LINK)


async def test_log_of_the_sdk_is_silent(script: Script, caplog: pytest.LogCaptureFixture) -> None:
    """Even where everything is logged, the SDK's whole answers are not."""
    script.answers.append(says(200, SESSION))
    with caplog.at_level(logging.DEBUG):
        async with opened(script) as onramp:
            await onramp.create_session(BODY, idempotency_key="k")
    assert "hush" not in caplog.text
    assert "session_hash" not in caplog.text


@pytest.mark.parametrize("session_id", ["", "../accounts", "cos_1/quote", "cos_1?x=1", "pi_1", "cos_é"])
async def test_an_odd_id_is_never_a_path(script: Script, session_id: str) -> None:
    """It is refused before any call."""
    script.answers.append(says(200, SESSION))
    async with opened(script) as onramp:
        with pytest.raises(OnrampRefused):
            await onramp.retrieve_session(session_id)
    assert script.seen == []


async def test_answer_about_another_session(script: Script) -> None:
    """What was asked for is what is taken."""
    script.answers.append(says(200, {**SESSION, "id": "cos_2"}))
    async with opened(script) as onramp:
        with pytest.raises(OnrampUnknown):
            await onramp.retrieve_session("cos_1")


def page(*sessions: dict[str, Any], more: bool) -> Answer:
    return says(200, {"object": "list", "data": list(sessions), "has_more": more})


def stranger(number: int, **metadata: str) -> dict[str, Any]:
    return {**SESSION, "id": f"cos_s{number}", "metadata": metadata}


async def find(onramp: StripeOnramp) -> Any:
    return await onramp.find_session(top_up="tu_1", attempt=1, created_after=datetime.fromtimestamp(1_000_000, UTC))


async def test_found_on_a_later_page(script: Script) -> None:
    """Listed from a minute earlier, page after page, until top-up, attempt and installation all match."""
    others = (
        stranger(1),
        stranger(2, top_up="tu_1", attempt="2", installation="inst"),
        stranger(3, top_up="tu_1", attempt="1", installation="elsewhere"),
    )
    script.answers.extend([page(*others, more=True), page(SESSION, more=True)])
    async with opened(script) as onramp:
        found = await find(onramp)
    assert found is not None
    assert found.id == "cos_1"
    first, second = (path for _, path, _, _ in script.seen)
    assert "created[gte]=999940" in first.replace("%5B", "[").replace("%5D", "]")
    assert "starting_after=cos_s3" in second


async def test_not_there(script: Script) -> None:
    """None only at the end of the list."""
    script.answers.extend([page(stranger(1), more=True), page(more=False)])
    async with opened(script) as onramp:
        assert await find(onramp) is None
    assert len(script.seen) == 2


@pytest.mark.parametrize(
    "answer",
    [
        page(more=True),
        page(stranger(1), more=True),
        says(200, {"data": [], "has_more": "no"}),
        says(200, {"data": {}, "has_more": False}),
        says(200, {"data": [1], "has_more": False}),
        page({"metadata": {}}, more=True),
    ],
    ids=["empty yet more", "without end", "has_more odd", "no data", "odd item", "no id"],
)
async def test_a_list_that_cannot_be_read_to_its_end(script: Script, answer: Answer) -> None:
    """Then it is not known whether the session exists: never None."""
    script.answers.append(answer)
    async with opened(script) as onramp:
        with pytest.raises(OnrampUnknown):
            await find(onramp)
    assert len(script.seen) <= MOST_PAGES


async def test_creates_are_paced(script: Script) -> None:
    """Twenty calls at once, at 40 a second: in even steps, with no burst at the start."""
    script.answers.append(says(200, SESSION))
    async with opened(script, creates_per_second=40, timeout_seconds=10) as onramp:
        start = time.monotonic()
        await asyncio.gather(*(onramp.create_session(BODY, idempotency_key=f"k{i}") for i in range(20)))
        took = time.monotonic() - start
    assert took >= 19 / 40 * 0.95


@pytest.mark.parametrize("key", ["", "k" * 256, "é"])
async def test_odd_idempotency_keys(script: Script, key: str) -> None:
    """Stripe takes 255 characters; an empty key would let the SDK make up its own."""
    script.answers.append(says(200, SESSION))
    async with opened(script) as onramp:
        with pytest.raises(OnrampRefused):
            await onramp.create_session(BODY, idempotency_key=key)
    assert script.seen == []


@pytest.mark.parametrize(
    ("key", "base"),
    [("pk_test_1", "https://api.stripe.com"), ("", "https://api.stripe.com"), ("sk_live_1", "http://127.0.0.1:1")],
)
def test_wrong_keys(key: str, base: str) -> None:
    """Only a secret key, and a live one never over plain http; the message does not repeat it."""
    with pytest.raises(ValueError, match="key") as raised:
        StripeOnramp(key, installation="inst", api_base=base)
    assert not key or key not in str(raised.value)


async def test_cancelling_is_cancelling(script: Script) -> None:
    """A stop while a call is under way is not turned into an error."""
    script.answers.append(hangs)
    async with opened(script, timeout_seconds=10) as onramp:
        call = asyncio.create_task(onramp.retrieve_session("cos_1"))
        while not script.seen:  # noqa: ASYNC110  the server has no event to wait for
            await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
