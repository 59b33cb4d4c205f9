"""What is kept for how long: events 90 days, an IP address one day, answers and webhooks thirty."""

from typing import Any

from sqlalchemy import insert, select

from tests.fakes.onramp import FakeOnramp
from tests.integration.api.conftest import Api, Caller
from tests.integration.api.test_asks import event_of, post_stripe, stripe_event
from tests.integration.watcher.world import ADDRESS
from watcher.dispatch import Dispatcher
from watcher.session_request import Onramps
from watcher.store.events import record_events
from watcher.store.tables import endpoint, wallet
from watcher.sweeps import Sweeper

BODY: dict[str, Any] = {"addresses": {"local-evm": ADDRESS}, "customer_ip_address": "203.0.113.9"}


def sweeper(api: Api) -> Sweeper:
    return Sweeper(api.world.database, api.world.settings.networks, clock=api.world.clock, new_id=api.world.new_id)


async def write_event(api: Api, number: int) -> str:
    """One event. Gives its id."""
    new = event_of(api, number)
    async with api.world.database.begin() as conn:
        await record_events(conn, [new], now=api.world.clock.now(), new_id=api.world.new_id)
    return new.id


async def test_events_are_read_for_ninety_days(api: Api, call: Caller) -> None:
    """Up to then a cursor is good; afterwards it is 410 and the event and its deliveries are gone, newer ones not."""
    now = api.world.clock.now()
    async with api.world.database.begin() as conn:
        row = {"tenant": "default", "id": "main", "source": "config", "url": "https://x.example", "events": ["*"]}
        await conn.execute(insert(endpoint).values(**row, secrets=[], created_at=now, updated_at=now))
    old = await write_event(api, 1)
    api.world.clock.advance(days=89)
    new = await write_event(api, 2)
    await sweeper(api).prune()
    status, page = await call("GET", f"/v1/events?after={old}")
    assert (status, [e["id"] for e in page["data"]]) == (200, [new])
    api.world.clock.advance(days=1, seconds=1)
    await sweeper(api).prune()
    status, problem = await call("GET", f"/v1/events?after={old}")
    assert (status, problem["code"]) == (410, "cursor_expired")
    assert [e["id"] for e in (await call("GET", "/v1/events"))[1]["data"]] == [new]
    assert [d["event"] for d in (await call("GET", "/v1/deliveries"))[1]["data"]] == [new]


async def test_an_ip_address_is_kept_no_longer_than_a_day(api: Api, call: Caller) -> None:
    """It is in the wallet's row while an ask may need it, and nowhere in the store a day later."""

    async def kept() -> str | None:
        async with api.world.database.begin() as conn:
            found: str | None = (await conn.execute(select(wallet.c.customer_ip_address))).scalar_one()
            return found

    await call("PUT", "/v1/wallets/w-1", {**BODY, "funding": [{"when": "created", "networks": ["local-evm"]}]})
    (job,) = await api.world.jobs()
    dispatcher = Dispatcher(
        api.world.database,
        Onramps({"default": FakeOnramp()}, "ins_1", api.world.settings),
        clock=api.world.clock,
        new_id=api.world.new_id,
    )
    await dispatcher.create_session(**job[1])
    assert sorted(await find_anywhere(api, "203.0.113")) == ["session", "wallet"]
    api.world.clock.advance(hours=23)
    await sweeper(api).prune()
    assert await kept() == "203.0.113.9"
    api.world.clock.advance(hours=1)
    await sweeper(api).prune()
    assert await kept() is None
    assert await find_anywhere(api, "203.0.113") == []


async def find_anywhere(api: Api, needle: str) -> list[str]:
    """The tables that hold a text, in any column."""
    async with api.world.database.begin() as conn:
        names = (await conn.exec_driver_sql("select tablename from pg_tables where schemaname = 'public'")).scalars()
        return [
            name
            for name in names.all()
            if (
                await conn.exec_driver_sql(
                    f'select exists (select from "{name}" t where strpos(t::text, %(needle)s) > 0)',  # noqa: S608  a table's own name
                    {"needle": needle},
                )
            ).scalar_one()
        ]


async def test_a_repeated_webhook_is_known_for_thirty_days(api: Api) -> None:
    """Longer than Stripe tries: in that time a repetition is no second job."""
    assert await post_stripe(api, "/webhooks/stripe/default", *stripe_event(api)) == 200
    await api.world.jobs()
    for days, jobs in ((29, 0), (2, 1)):
        api.world.clock.advance(days=days)
        await sweeper(api).prune()
        assert await post_stripe(api, "/webhooks/stripe/default", *stripe_event(api)) == 200
        assert len(await api.world.jobs()) == jobs


async def test_no_webhook_leaves_a_secret_behind(api: Api) -> None:
    """The client_secret that Stripe sends along is in no table."""
    assert await post_stripe(api, "/webhooks/stripe/default", *stripe_event(api)) == 200
    assert await find_anywhere(api, "cos_1_secret") == []
    assert await find_anywhere(api, "evt_stripe_1") == ["inbox"]
