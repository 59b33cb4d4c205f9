"""Webhooks: one for each status change after creation, signed as Stripe signs, tried again."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
import stripe as sdk

from notifier.sandbox.server import SandboxOptions, open_sandbox
from notifier.stripe_webhook import read_event
from tests.fakes.receiver import HANG, Delivery, Receiver
from tests.integration.sandbox.conftest import StripeClient, until

SECRET = "whsec_of_the_sandbox"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


@pytest.fixture
async def client(http: aiohttp.ClientSession, receiver: Receiver) -> AsyncIterator[StripeClient]:
    async with AsyncExitStack() as stack:
        options = SandboxOptions("127.0.0.1", 0, webhook_url=receiver.url, webhook_secret=SECRET)
        yield StripeClient(await stack.enter_async_context(open_sandbox(options)), http)


async def arrived(receiver: Receiver, count: int) -> None:
    async def there() -> bool:
        return len(receiver.ledger) >= count

    await until(there)
    assert len(receiver.ledger) == count


def session_of(delivery: Delivery) -> dict[str, Any]:
    return dict(delivery.event["data"]["object"])


async def test_one_for_each_change(client: StripeClient, receiver: Receiver) -> None:
    """Creation is silent; a payment passes three statuses, each with the whole session and an event id of its own."""
    session = await client.session()
    status, paid = await client.pay(session["id"], deliver="0")
    assert (status, paid["status"]) == (200, "fulfillment_complete")

    await arrived(receiver, 3)
    assert [session_of(d)["status"] for d in receiver.ledger] == [
        "requires_payment",
        "fulfillment_processing",
        "fulfillment_complete",
    ]
    assert {session_of(d)["id"] for d in receiver.ledger} == {session["id"]}
    assert len({d.event["id"] for d in receiver.ledger}) == 3
    assert {d.event["type"] for d in receiver.ledger} == {"crypto.onramp_session.updated"}


async def test_signed_as_stripe_signs(client: StripeClient, receiver: Receiver) -> None:
    """Stripe's own library and our verifier both accept it; neither does under another secret."""
    session = await client.session()
    await client.pay(session["id"], then="reject")
    await arrived(receiver, 1)

    (delivery,) = receiver.ledger
    header = delivery.headers["Stripe-Signature"]
    event = read_event(delivery.body, header, [SECRET], now=datetime.now(UTC))
    assert (event.session, event.livemode) == (session["id"], False)
    assert sdk.Webhook.construct_event(delivery.body, header, SECRET)["id"] == event.id
    with pytest.raises(sdk.SignatureVerificationError):
        sdk.Webhook.construct_event(delivery.body, header, "whsec_other")


async def test_tried_again(client: StripeClient, receiver: Receiver) -> None:
    """A failed delivery comes again with the same event id."""
    receiver.answers.extend([500, 307])
    session = await client.session()
    await client.pay(session["id"], then="reject")
    await arrived(receiver, 3)
    assert len({d.event["id"] for d in receiver.ledger}) == 1


async def test_one_session_does_not_hold_up_another(client: StripeClient, receiver: Receiver) -> None:
    """While one session's webhook gets no answer, another's arrives."""
    held, other = [(await client.session())["id"] for _ in range(2)]
    receiver.answers.append(HANG)
    await client.pay(held, deliver="0")
    await arrived(receiver, 1)
    await client.pay(other, then="reject")
    await arrived(receiver, 2)
    assert [session_of(d)["id"] for d in receiver.ledger] == [held, other]


async def test_one_session_stays_in_order(client: StripeClient, receiver: Receiver) -> None:
    """What comes after a webhook that is tried again waits for it."""
    receiver.answers.append(500)
    await client.pay((await client.session())["id"], deliver="0")
    await arrived(receiver, 4)
    statuses = [session_of(d)["status"] for d in receiver.ledger]
    assert statuses == ["requires_payment"] * 2 + ["fulfillment_processing", "fulfillment_complete"]


async def test_no_secret_no_webhooks() -> None:
    """A URL without a secret is refused at start: anybody could sign with nothing."""
    with pytest.raises(ValueError, match="secret"):
        async with open_sandbox(SandboxOptions("127.0.0.1", 0, webhook_url="http://127.0.0.1:1")):
            pass
