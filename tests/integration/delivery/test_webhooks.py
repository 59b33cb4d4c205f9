"""Webhooks as receivers see them, and what the guard keeps from being dialled."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import aiohttp
import pytest

from notifier.model import Endpoint, Verdict
from notifier.webhook import WebhookChannel
from tests.contract.test_channel_contract import EVENT
from tests.fakes.receiver import HANG, Receiver


@pytest.fixture
async def channel() -> AsyncIterator[WebhookChannel]:
    async with WebhookChannel(clock=lambda: datetime.now(UTC), allow_private=True) as opened:
        yield opened


def endpoint_of(receiver: Receiver) -> Endpoint:
    return Endpoint("main", receiver.url, (receiver.secret,))


async def test_a_receiver_can_verify_what_it_gets(channel: WebhookChannel) -> None:
    """Signed, with the event's id, in the documented shape."""
    async with Receiver() as receiver:
        await channel.send(EVENT, endpoint_of(receiver))
    (got,) = receiver.ledger
    assert got.verified
    assert got.id == "evt_1"
    assert set(got.event) == {"id", "type", "created_at", "livemode", "subject", "version", "data"}
    assert got.event["created_at"] == "2026-01-02T03:04:05.000Z"


@pytest.mark.parametrize(
    ("status", "headers", "verdict"),
    [
        (204, {}, Verdict.DELIVERED),
        (302, {"Location": "http://169.254.169.254/"}, Verdict.RETRY),
        (400, {}, Verdict.RETRY),
        (410, {}, Verdict.GONE),
        (500, {}, Verdict.RETRY),
    ],
)
async def test_only_a_2xx_is_a_delivery(
    channel: WebhookChannel, status: int, headers: dict[str, str], verdict: Verdict
) -> None:
    """A redirect is not followed, 410 is the end, everything else is tried again."""
    async with Receiver(answers=(status,), headers=headers) as receiver:
        assert (await channel.send(EVENT, endpoint_of(receiver))).verdict is verdict
    assert len(receiver.ledger) == 1


async def test_a_receiver_says_when_to_come_back(channel: WebhookChannel) -> None:
    """Retry-After is passed on."""
    async with Receiver(answers=(503,), headers={"Retry-After": "120"}) as receiver:
        assert (await channel.send(EVENT, endpoint_of(receiver))).retry_after_seconds == 120


@pytest.mark.parametrize("given", ["9" * 5000, "-1", "1.5", "Wed, 21 Oct 2026 07:28:00 GMT", "\u0661"])
async def test_a_rest_that_is_no_number_of_seconds_is_passed_over(channel: WebhookChannel, given: str) -> None:
    """Whatever a receiver writes there, the attempt has an outcome: its job must not fail over it for ever."""
    async with Receiver(answers=(503,), headers={"Retry-After": given}) as receiver:
        attempt = await channel.send(EVENT, endpoint_of(receiver))
    assert (attempt.verdict, attempt.retry_after_seconds) == (Verdict.RETRY, None)


async def test_a_receiver_that_never_answers_is_let_go(channel: WebhookChannel) -> None:
    """The attempt ends by its time-out, and is tried again."""
    assert channel._session is not None
    channel._session._timeout = aiohttp.ClientTimeout(total=0.2)
    async with Receiver(answers=(HANG,)) as receiver:
        attempt = await channel.send(EVENT, endpoint_of(receiver))
    assert (attempt.verdict, attempt.detail) == (Verdict.RETRY, "no answer in time")


async def test_nobody_there_is_tried_again(channel: WebhookChannel) -> None:
    """A refused connection says so without the URL."""
    attempt = await channel.send(EVENT, Endpoint("main", "http://127.0.0.1:9/secret-path", ("whsec_a2tra2tra2tra2s=",)))
    assert attempt.verdict is Verdict.RETRY
    assert "secret-path" not in attempt.detail


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"],  # noqa: S104
)
async def test_no_spelling_of_a_private_address_is_dialled(host: str) -> None:
    """Literals, names and odd number forms that lead to this machine: refused, and the canary hears nothing."""
    async with Receiver() as canary, WebhookChannel(clock=lambda: datetime.now(UTC), allow_private=False) as guarded:
        port = canary.url.rsplit(":", 1)[1].split("/")[0]
        target = Endpoint("main", f"http://{host}:{port}/hook", (canary.secret,))
        attempt = await asyncio.wait_for(guarded.send(EVENT, target), 20)
    assert attempt.verdict in (Verdict.REFUSED, Verdict.RETRY)
    assert canary.ledger == []


async def test_a_redirect_leads_nowhere(channel: WebhookChannel) -> None:
    """However it is put, what stands in Location is not asked for, and the body is not sent there."""
    for status in (301, 302, 303, 307, 308):
        async with Receiver() as canary, Receiver(answers=(status,), headers={"Location": canary.url}) as receiver:
            assert (await channel.send(EVENT, endpoint_of(receiver))).verdict is Verdict.RETRY
        assert canary.ledger == []


async def test_no_proxy_of_the_environment_stands_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would be dialled in the receiver's place, past the guard, and would read the links."""
    async with Receiver() as canary, Receiver() as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, canary.url)
        async with WebhookChannel(clock=lambda: datetime.now(UTC), allow_private=True) as opened:
            assert (await opened.send(EVENT, endpoint_of(receiver))).verdict is Verdict.DELIVERED
    assert canary.ledger == []


async def test_cookies_are_not_kept(channel: WebhookChannel) -> None:
    """What one receiver sets is never sent again, to it or to another on its host."""
    async with Receiver(headers={"Set-Cookie": "a=b; Path=/"}) as receiver:
        named = Endpoint("main", receiver.url.replace("127.0.0.1", "localhost"), (receiver.secret,))
        for _ in range(2):
            await channel.send(EVENT, named)
    assert len(receiver.ledger) == 2
    assert not any(name.lower() == "cookie" for got in receiver.ledger for name in got.headers)


@pytest.mark.parametrize("host", ["a..b", "a" * 300, "[::1", "x:99999"])
async def test_what_is_no_host_is_refused_and_never_raised(channel: WebhookChannel, host: str) -> None:
    """An address that cannot be dialled is an outcome like any other: the job that tries must come to an end."""
    attempt = await channel.send(EVENT, Endpoint("main", f"https://{host}/hook", ("whsec_a2tra2tra2tra2s=",)))
    assert (attempt.verdict, attempt.detail) == (Verdict.REFUSED, "not a URL that can be dialled")
