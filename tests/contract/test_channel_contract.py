"""What every `Channel` must do: one attempt, whose outcome is said and never raised, and no link where none belongs."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from notifier.channel import Channel
from notifier.console import ConsoleChannel
from notifier.model import Endpoint, OutgoingEvent, Verdict
from notifier.webhook import WebhookChannel
from tests.fakes.receiver import Receiver

EVENT = OutgoingEvent(
    id="evt_1",
    type="top_up.landed",
    created_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    livemode=False,
    subject={"object": "top_up", "id": "tu_1"},
    version=3,
    data={
        "top_up": {
            "wallet": "w-1",
            "asked": "2.5",
            "link": "https://crypto.link.example/secret",
            "destinations": [{"network": "local-evm", "asset": "ETH"}],
        }
    },
)


@pytest.fixture(params=["webhook", "console"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Channel, Endpoint, list[str]]]:
    written: list[str] = []
    if request.param == "console":
        yield ConsoleChannel(written.append), Endpoint("console", "console:", ()), written
        return
    async with Receiver() as receiver, WebhookChannel(clock=lambda: datetime.now(UTC), allow_private=True) as channel:
        yield channel, Endpoint("main", receiver.url, (receiver.secret,)), written


async def test_an_event_is_delivered(bench: tuple[Channel, Endpoint, list[str]]) -> None:
    """One send, one delivery."""
    channel, endpoint, _ = bench
    assert (await channel.send(EVENT, endpoint)).verdict is Verdict.DELIVERED


async def test_a_second_send_is_another_delivery(bench: tuple[Channel, Endpoint, list[str]]) -> None:
    """A channel remembers nothing: repeating is for its caller to decide."""
    channel, endpoint, _ = bench
    for _ in range(2):
        assert (await channel.send(EVENT, endpoint)).verdict is Verdict.DELIVERED


async def test_the_console_shows_no_link() -> None:
    """A line says what and for whom, and holds nothing that could be opened."""
    written: list[str] = []
    await ConsoleChannel(written.append).send(EVENT, Endpoint("console", "console:", ()))
    (line,) = written
    assert "2.5 ETH on local-evm for w-1" in line
    assert "secret" not in line
