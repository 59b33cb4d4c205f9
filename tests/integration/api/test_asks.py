"""Top-ups, events, deliveries, Stripe's webhook and health over the API."""

import asyncio
import hashlib
import hmac
import json
from typing import Any

import pytest
from sqlalchemy import insert, select

from notifier.model import SessionStatus
from tests.fakes.settings import ETH
from tests.integration.api.conftest import STRIPE_SECRET, Api, Caller
from tests.integration.watcher.world import ADDRESS, ETH_HOLDING
from watcher.model import NewEvent, TopUpStatus
from watcher.render import render_time
from watcher.store.events import record_events
from watcher.store.tables import delivery, endpoint, inbox, session
from watcher.store.top_ups import find_top_up
from watcher.top_ups import move_top_up

LINK = "https://crypto.link.example/cos_1"


@pytest.fixture
async def asked(api: Api, call: Caller) -> str:
    """An open top-up with a link."""
    await call("PUT", "/v1/wallets/w-1", {"addresses": {"local-evm": ADDRESS}})
    await api.world.observer.refresh_watched()
    await api.world.step({ETH_HOLDING: ETH // 2})
    (top_up,) = await api.world.top_ups()
    now = api.world.clock.now()
    async with api.world.database.begin() as conn:
        await conn.execute(
            insert(session).values(
                top_up=top_up.id,
                attempt=1,
                tenant="default",
                idempotency_key=f"{top_up.id}:1",
                body={},
                state="created",
                stripe_id="cos_1",
                status=SessionStatus.INITIALIZED.value,
                livemode=False,
                link=LINK,
                created_at=now,
                updated_at=now,
            )
        )
    await api.world.jobs()
    return top_up.id


async def test_a_link_is_for_those_who_may_read_links(api: Api, call: Caller, asked: str) -> None:
    """links:read sees it, others see that it is ready; the event list never holds it."""
    _, seen = await call("GET", f"/v1/top-ups/{asked}")
    assert (seen["link"], seen["link_status"], seen["asked"]) == (LINK, "ready", "2.5")
    reader = await api.caller(scopes=("wallets:read",))
    _, hidden = await reader("GET", f"/v1/top-ups/{asked}")
    assert (hidden["link"], hidden["link_status"]) == (None, "ready")
    assert (await call("POST", f"/v1/top-ups/{asked}/resend"))[0] == 200
    assert LINK not in json.dumps((await call("GET", "/v1/events?limit=100"))[1])


async def test_a_cancelled_ask_is_over_and_its_link_gone(api: Api, call: Caller, asked: str) -> None:
    """Cancelling twice is cancelling once; there is nothing to resend afterwards."""
    _, cancelled = await call("POST", f"/v1/top-ups/{asked}/cancel")
    assert (cancelled["status"], cancelled["link"], cancelled["link_status"]) == ("cancelled", None, "gone")
    _, again = await call("POST", f"/v1/top-ups/{asked}/cancel")
    assert again["version"] == cancelled["version"]
    assert (await call("POST", f"/v1/top-ups/{asked}/resend"))[0] == 409
    assert (await api.world.events()).count("top_up.cancelled") == 1


async def test_paid_money_is_given_up_only_once_overdue(api: Api, call: Caller, asked: str) -> None:
    """Settling: 409. Overdue: failed."""
    async with api.world.database.begin() as conn:
        found = await find_top_up(conn, asked)
        assert found is not None
        await move_top_up(conn, found, TopUpStatus.SETTLING, api.world.stamp())
    assert (await call("POST", f"/v1/top-ups/{asked}/cancel"))[1]["code"] == "settling"
    async with api.world.database.begin() as conn:
        await conn.exec_driver_sql("update top_up set overdue = true")
    assert (await call("POST", f"/v1/top-ups/{asked}/cancel"))[1]["status"] == "failed"


async def test_an_action_with_a_key_happens_once(api: Api, call: Caller, asked: str) -> None:
    """The same Idempotency-Key gives the first answer again; with another request it is 409."""
    path = f"/v1/top-ups/{asked}/resend"
    first = await call("POST", path, Idempotency_Key="k-1")
    again = await call("POST", path, Idempotency_Key="k-1")
    assert again == (200, first[1] | {"link": None})
    assert (await api.world.events()).count("top_up.link_ready") == 1
    other = await call("POST", f"/v1/top-ups/{asked}/cancel", Idempotency_Key="k-1")
    assert (other[0], other[1]["code"]) == (409, "idempotency_key_reused")


async def test_top_ups_are_listed_by_wallet_and_status(call: Caller, asked: str) -> None:
    """Filters narrow, cursors of others are gone."""
    assert [t["id"] for t in (await call("GET", "/v1/top-ups?wallet=w-1&status=open"))[1]["data"]] == [asked]
    assert (await call("GET", "/v1/top-ups?status=landed"))[1]["data"] == []
    assert (await call("GET", "/v1/top-ups?after=tu_none"))[0] == 410


def event_of(api: Api, number: int) -> NewEvent:
    new = api.world.new_id("evt")
    network = {"object": "network", "id": f"n-{number}", "status": "stale", "reason": "unreadable"}
    data = {"network": network, "changed_at": render_time(api.world.clock.now())}
    return NewEvent(new, "default", "network.stale", "network", f"n-{number}", 1, livemode=False, data=data)


async def test_events_are_gapless_whoever_writes_at_once(api: Api, call: Caller) -> None:
    """Twenty writers side by side: a reader that goes on behind its cursor sees every event once, in order."""
    seen: list[str] = []

    async def write(number: int) -> None:
        async with api.world.database.begin() as conn:
            stamp = api.world.stamp()
            await record_events(conn, [event_of(api, number)], now=stamp.now, new_id=stamp.new_id)

    async def read() -> None:
        _, page = await call("GET", "/v1/events?limit=3" + (f"&after={seen[-1]}" if seen else ""))
        seen.extend(e["id"] for e in page["data"])

    async with asyncio.TaskGroup() as tasks:
        for number in range(20):
            tasks.create_task(write(number))
        for _ in range(8):
            await read()
    while len(seen) < 20:
        before = len(seen)
        await read()
        assert len(seen) > before, "an event appeared behind the cursor"
    assert len(set(seen)) == 20
    assert (await call("GET", "/v1/events?after=evt_gone"))[0] == 410


async def test_a_dead_letter_is_listed_and_sent_again_with_its_event(api: Api, call: Caller) -> None:
    """Redelivery starts over under the same event id."""
    now = api.world.clock.now()
    async with api.world.database.begin() as conn:
        row = {"tenant": "default", "id": "main", "source": "config", "url": "https://x.example", "events": ["*"]}
        await conn.execute(insert(endpoint).values(**row, secrets=[], created_at=now, updated_at=now))
        await record_events(conn, [event_of(api, 1)], now=now, new_id=api.world.new_id)
        await conn.execute(delivery.update().values(status="dead", attempts=10))
    await api.world.jobs()
    _, page = await call("GET", "/v1/deliveries?status=dead&endpoint=main")
    (dead,) = page["data"]
    _, again = await call("POST", f"/v1/deliveries/{dead['id']}/redeliver")
    assert (again["status"], again["attempts"], again["event"]) == ("pending", 0, dead["event"])
    assert (await call("POST", f"/v1/deliveries/{dead['id']}/redeliver"))[1]["code"] == "pending"
    assert await api.world.jobs() == [("deliver", {"delivery": dead["id"]})]


def stripe_event(api: Api, **changes: Any) -> tuple[bytes, str]:
    """A body and its signature."""
    stamp = int(api.world.clock.now().timestamp())
    told = {
        "id": "evt_stripe_1",
        "object": "event",
        "type": "crypto.onramp_session.updated",
        "created": stamp,
        "livemode": False,
        "data": {
            "object": {"id": "cos_1", "object": "crypto.onramp_session", "client_secret": "cos_1_secret_x"},
        },
    }
    text = json.dumps(told | changes).encode()
    digest = hmac.new(STRIPE_SECRET.encode(), f"{stamp}.".encode() + text, hashlib.sha256).hexdigest()
    return text, f"t={stamp},v1={digest}"


async def post_stripe(api: Api, path: str, text: bytes, signature: str) -> int:
    async with api.http.post(api.url + path, data=text, headers={"Stripe-Signature": signature}) as answer:
        return answer.status


async def test_a_stripe_webhook_is_on_disk_before_it_is_answered_and_acts_once(api: Api) -> None:
    """One row and one job for one event, however often it comes; what is kept holds no secret."""
    text, signature = stripe_event(api)
    for path in ("/webhooks/stripe/default", "/webhooks/stripe/default"):
        assert await post_stripe(api, path, text, signature) == 200
    async with api.world.database.begin() as conn:
        (row,) = (await conn.execute(select(inbox))).mappings().all()
    assert row["payload"] == {
        "type": "crypto.onramp_session.updated",
        "session": "cos_1",
        "livemode": False,
    }
    assert await api.world.jobs() == [("stripe_event", {"tenant": "default", "session": "cos_1"})]


async def test_a_forged_stripe_webhook_changes_nothing(api: Api) -> None:
    """Wrong signature 400; a tenant without a secret, or the bare path beside several tenants, is no path at all."""
    text, signature = stripe_event(api)
    before = await api.counts()
    assert await post_stripe(api, "/webhooks/stripe/default", text + b" ", signature) == 400
    assert await post_stripe(api, "/webhooks/stripe/other", text, signature) == 404
    assert await post_stripe(api, "/webhooks/stripe", text, signature) == 404
    assert await api.counts() == before


async def test_an_event_of_the_other_mode_is_kept_and_not_acted_on(api: Api) -> None:
    """A live event for a test account is authentic and none of its business."""
    assert await post_stripe(api, "/webhooks/stripe/default", *stripe_event(api, livemode=True)) == 200
    assert await api.world.jobs() == []


async def test_readiness_is_about_the_store_and_networks_decide_only_when_asked(api: Api) -> None:
    """A network that can't be read is listed, and decides for those who name it."""
    async with api.http.get(api.url + "/readyz") as answer:
        body = await answer.json()
        assert (answer.status, body["networks"]["local-evm"]["status"]) == (200, "stale")
    async with api.http.get(api.url + "/readyz?network=local-evm") as answer:
        assert answer.status == 503
    await api.world.step()
    async with api.http.get(api.url + "/readyz?network=local-evm") as answer:
        assert answer.status == 200
    for path, status in (("/healthz", 200), ("/metrics", 200), ("/openapi.json", 200), ("/readyz?network=x", 422)):
        async with api.http.get(api.url + path) as answer:
            assert answer.status == status
            assert ADDRESS not in await answer.text()
