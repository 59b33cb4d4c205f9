"""Deliveries on a real database, to a real receiver: one id for ever, the documented delays, dead letters, links."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from notifier.model import Attempt, Endpoint, OutgoingEvent, Verdict
from notifier.retries import DELAYS
from notifier.webhook import WebhookChannel
from tests.fakes.receiver import HANG, Receiver
from tests.fakes.settings import ETH, make_settings, make_tenant
from tests.integration.watcher.test_asking import Asking
from tests.integration.watcher.world import ETH_HOLDING
from tests.nodes.processes import until
from watcher.deliver import MOST_AT_ONCE, Deliverer
from watcher.store.database import Database
from watcher.store.declare import declare_tenants
from watcher.store.endpoints import (
    SigningSecret,
    StoredEndpoint,
    find_endpoint,
    insert_endpoint,
    remove_endpoints,
    update_endpoint,
    write_secrets,
)
from watcher.store.tables import delivery, endpoint, event

NEW = "whsec_" + base64.b64encode(b"n" * 32).decode()


class Delivering(Asking):
    """The world with a receiver."""

    receiver: Receiver
    deliverer: Deliverer
    declared: dict[tuple[str, str], Endpoint]

    async def deliver_next(self) -> None:
        """Every delivery that is queued now."""
        for name, args in await self.jobs():
            if name == "deliver":
                await self.deliverer.send(**args)

    async def restart(self, *declared: Endpoint) -> None:
        """With these endpoints in the configuration."""
        tenant = replace(self.tenant, endpoints=declared)
        async with self.database.begin() as conn:
            found = await declare_tenants(conn, [tenant], console=False, now=self.clock.now())
        self.declared.clear()
        self.declared.update(found)

    def during(self, act: Callable[[], Awaitable[None]], outcome: Attempt) -> Deliverer:
        """One whose attempts have this outcome, after that."""
        channels = {"http": Meanwhile(act, outcome)}
        return Deliverer(self.database, channels, self.declared, clock=self.clock, jitter=lambda n: n // 2)

    async def find(self, endpoint_id: str) -> StoredEndpoint | None:
        async with self.database.begin() as conn:
            return await find_endpoint(conn, "default", endpoint_id)

    async def rows(self) -> list[Any]:
        async with self.database.begin() as conn:
            query = select(delivery).order_by(delivery.c.created_at, delivery.c.id)
            return list((await conn.execute(query)).mappings())


@pytest.fixture
async def world(database: Database, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Delivering]:
    async with Receiver(answers=getattr(request, "param", ())) as receiver:
        target = Endpoint("main", receiver.url, (receiver.secret,), events=("wallet.*",), include_links=True)
        tenant = replace(make_tenant(), endpoints=(target,))
        made = Delivering(database, make_settings(tmp_path, tenant=tenant))
        await made.start()
        async with WebhookChannel(clock=lambda: datetime.now(UTC), allow_private=True) as channel:
            made.declared = {("default", "main"): target}
            made.receiver = receiver
            made.deliverer = Deliverer(
                database, {"http": channel}, made.declared, clock=made.clock, jitter=lambda n: n // 2
            )
            yield made


def moved(world: Delivering) -> Endpoint:
    """The same endpoint with another URL of its receiver."""
    return replace(world.tenant.endpoints[0], url=world.receiver.url + "/moved")


async def test_an_event_reaches_those_who_want_it(world: Delivering) -> None:
    """wallet.low matches the endpoint's pattern, top_up.opened doesn't."""
    await world.run_low()
    await world.deliver_next()
    assert [d.event["type"] for d in world.receiver.ledger] == ["wallet.low"]
    assert [row["status"] for row in await world.rows()] == ["delivered"]


@pytest.mark.parametrize("world", [(500,) * 10], indirect=True)
async def test_ten_attempts_with_one_id_and_then_a_dead_letter(world: Delivering) -> None:
    """Each attempt at its exact time, under the event's one id; after the tenth it is dead and stays listed."""
    await world.run_low()
    await world.deliver_next()
    for delay in DELAYS:
        (row,) = await world.rows()
        assert int((row["next_attempt_at"] - world.clock.now()).total_seconds()) == delay
        world.clock.advance(seconds=delay)
        await world.deliver_next()
    (row,) = await world.rows()
    assert (row["status"], row["attempts"], row["last_status_code"]) == ("dead", 10, 500)
    assert len({d.id for d in world.receiver.ledger}) == 1
    assert all(d.verified for d in world.receiver.ledger)


@pytest.mark.parametrize("world", [(410,)], indirect=True)
async def test_a_receiver_that_is_gone_is_left_alone(world: Delivering) -> None:
    """410 ends the delivery and switches the endpoint off, over restarts, until it is declared with another URL."""
    await world.run_low()
    await world.deliver_next()
    assert [row["status"] for row in await world.rows()] == ["dead"]
    since = world.clock.now()
    for _ in range(2):
        off = await world.find("main")
        assert off is not None
        assert (off.enabled, off.gone_at) == (False, since)
        world.clock.advance(days=1)
        await world.restart(world.tenant.endpoints[0])
    await world.restart(moved(world))
    on = await world.find("main")
    assert on is not None
    assert (on.enabled, on.gone_at) == (True, None)


async def test_a_restart_with_the_same_configuration_changes_no_endpoint(world: Delivering) -> None:
    """Its version stays; it grows with a change; one that is declared no more is no more."""
    before = await world.find("main")
    world.clock.advance(days=1)
    await world.restart(world.tenant.endpoints[0])
    assert await world.find("main") == before
    await world.restart(moved(world))
    after = await world.find("main")
    assert before is not None
    assert after is not None
    assert after.version > before.version
    await world.run_low()
    await world.restart()
    assert await world.find("main") is None
    assert [(row["status"], row["last_detail"]) for row in await world.rows()] == [("dead", "endpoint removed")]


async def test_a_410_from_the_old_address_leaves_the_new_one_on(world: Delivering) -> None:
    """What was under way when the endpoint was moved says nothing about where it is now."""
    await world.run_low()
    (args,) = [args for name, args in await world.jobs() if name == "deliver"]
    await world.during(lambda: world.restart(moved(world)), Attempt(Verdict.GONE, 410)).send(**args)
    on = await world.find("main")
    assert on is not None
    assert (on.enabled, on.gone_at) == (True, None)


@pytest.mark.parametrize("world", [(HANG,) * MOST_AT_ONCE], indirect=True)
async def test_a_receiver_that_never_answers_takes_few_places(world: Delivering) -> None:
    """Beyond a few attempts under way, further ones come back later at once, and count as no attempt."""
    await world.register()
    for low in (True, False) * 3:
        await world.step({ETH_HOLDING: ETH // 2 if low else 9 * ETH})
    ids = [args["delivery"] for name, args in await world.jobs() if name == "deliver"]
    assert len(ids) > MOST_AT_ONCE
    hanging = [asyncio.create_task(world.deliverer.send(d)) for d in ids[:MOST_AT_ONCE]]
    try:
        await until(partial(_heard, world, MOST_AT_ONCE), seconds=10, what="attempts under way")
        await asyncio.wait_for(world.deliverer.send(ids[-1]), 5)
        assert await world.jobs() == [("deliver", {"delivery": ids[-1]})]
        assert next(row for row in await world.rows() if row["id"] == ids[-1])["attempts"] == 0
    finally:
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)


async def _heard(world: Delivering, count: int) -> bool:
    return len(world.receiver.ledger) == count


@pytest.mark.parametrize("world", [(410, 500, 500)], indirect=True)
async def test_what_was_queued_for_a_receiver_that_is_gone_is_dead_unsent(world: Delivering) -> None:
    """After a 410 nothing more is sent there: what was on its way is a dead letter, and can be sent once it is back."""
    await world.run_low()
    await world.deliver_next()
    async with world.database.begin() as conn:
        (ended,) = (await conn.execute(select(delivery.c.id))).scalars()
        await conn.execute(delivery.update().values(status="pending", attempts=1))
    await world.deliverer.send(ended)
    (row,) = await world.rows()
    assert (row["status"], row["last_detail"], len(world.receiver.ledger)) == ("dead", "endpoint disabled", 1)
    await world.restart(moved(world))
    async with world.database.begin() as conn:
        await conn.execute(delivery.update().values(status="pending", attempts=0))
    await world.deliverer.send(ended)
    assert len(world.receiver.ledger) == 2
    assert len({d.id for d in world.receiver.ledger}) == 1


class Meeting:
    """A channel on which two attempts meet before either has its outcome."""

    def __init__(self) -> None:
        self._both = asyncio.Barrier(2)

    async def send(self, event: OutgoingEvent, endpoint: Endpoint) -> Attempt:
        del event, endpoint
        await asyncio.wait_for(self._both.wait(), 20)
        return Attempt(Verdict.RETRY, 500, "answered 500")


class Meanwhile:
    """A channel on which something happens while the attempt is under way."""

    def __init__(self, act: Callable[[], Awaitable[None]], outcome: Attempt) -> None:
        self._act = act
        self._outcome = outcome

    async def send(self, event: OutgoingEvent, endpoint: Endpoint) -> Attempt:
        del event, endpoint
        await self._act()
        return self._outcome


async def test_one_attempt_made_by_two_jobs_has_one_that_follows(world: Delivering) -> None:
    """A frozen worker's job runs again elsewhere; when both come to their end, the delays don't halve from then on."""
    await world.run_low()
    (args,) = [args for name, args in await world.jobs() if name == "deliver"]
    channels, endpoints = {"http": Meeting()}, {("default", "main"): world.tenant.endpoints[0]}
    twice = Deliverer(world.database, channels, endpoints, clock=world.clock, jitter=lambda n: n // 2)
    await asyncio.gather(twice.send(**args), twice.send(**args))
    assert [row["attempts"] for row in await world.rows()] == [1]
    assert await world.jobs() == [("deliver", args)]


async def test_a_delivery_done_is_not_done_again(world: Delivering) -> None:
    """The job may run twice; the receiver hears once."""
    await world.run_low()
    jobs = [args for name, args in await world.jobs() if name == "deliver"]
    for _ in range(2):
        for args in jobs:
            await world.deliverer.send(**args)
    assert len(world.receiver.ledger) == 1


async def test_links_go_to_endpoints_that_may_have_them_and_nowhere_else(world: Delivering) -> None:
    """include_links gets the link while it is of use; the stored event never has it."""
    all_events = Endpoint("main", world.receiver.url, (world.receiver.secret,), include_links=True)
    async with world.database.begin() as conn:
        tenant = replace(world.tenant, endpoints=(all_events,))
        await declare_tenants(conn, [tenant], console=False, now=world.clock.now())
    await world.register()
    await world.step({ETH_HOLDING: ETH // 2})
    for name, args in await world.jobs():
        if name == "create_session":
            await world.dispatcher.create_session(**args)
    await world.deliver_next()
    links = [d.event["data"]["top_up"]["link"] for d in world.receiver.ledger if d.event["type"] == "top_up.link_ready"]
    assert links == ["https://crypto.link.example/cos_1"]
    async with world.database.begin() as conn:
        stored = str((await conn.execute(select(event.c.data))).all())
    assert "crypto.link.example" not in stored


async def make(world: Delivering, *secrets: SigningSecret, receiver: Receiver) -> None:
    """An endpoint made over the API."""
    values = {
        "url": receiver.url,
        "events": ["wallet.*"],
        "include_links": False,
        "enabled": True,
        "secrets": write_secrets(secrets),
    }
    async with world.database.begin() as conn:
        await insert_endpoint(conn, "default", "mine", values, now=world.clock.now())


async def test_an_endpoint_of_the_api_is_read_at_each_attempt(world: Delivering) -> None:
    """Nothing of it is remembered between attempts: not its URL, not its secrets, not that it was on."""
    async with Receiver(answers=(500, 500)) as old, Receiver(answers=(500,), secret=old.secret) as new:
        await make(world, SigningSecret(old.secret), receiver=old)
        await world.run_low()
        await world.deliver_next()
        async with world.database.begin() as conn:
            await update_endpoint(conn, "default", "mine", {"url": new.url}, now=world.clock.now())
        world.clock.advance(seconds=DELAYS[0])
        await world.deliver_next()
        async with world.database.begin() as conn:
            await update_endpoint(conn, "default", "mine", {"enabled": False}, now=world.clock.now())
        world.clock.advance(seconds=DELAYS[1])
        await world.deliver_next()
        assert [(len(r.ledger), all(d.verified for d in r.ledger)) for r in (old, new)] == [(1, True), (1, True)]
    assert ("mine", "dead", "endpoint disabled") in [
        (row["endpoint"], row["status"], row["last_detail"]) for row in await world.rows()
    ]


async def test_an_old_secret_signs_until_its_end_and_no_longer(world: Delivering) -> None:
    """A receiver that knows only the old one verifies until then; one that knows the new one does throughout."""
    end = world.clock.now() + timedelta(seconds=DELAYS[0])
    async with Receiver(answers=(500,) * 2) as receiver:
        await make(world, SigningSecret(NEW), SigningSecret(receiver.secret, end), receiver=receiver)
        await world.run_low()
        await world.deliver_next()
        world.clock.advance(seconds=DELAYS[0])
        await world.deliver_next()
        receiver.secret = NEW
        world.clock.advance(seconds=DELAYS[1])
        await world.deliver_next()
        assert [d.verified for d in receiver.ledger] == [True, False, True]
        assert [len(d.headers["webhook-signature"].split(" ")) for d in receiver.ledger] == [2, 1, 1]


async def test_what_is_under_way_to_a_removed_endpoint_ends_once(world: Delivering) -> None:
    """It is a dead letter from the removal on, whatever an attempt under way comes to, and is tried no more."""

    async def remove() -> None:
        async with world.database.begin() as conn:
            await remove_endpoints(conn, "default", endpoint.c.id == "mine", now=world.clock.now())

    async with Receiver() as receiver:
        await make(world, SigningSecret(receiver.secret), receiver=receiver)
        await world.run_low()
        jobs = [args for name, args in await world.jobs() if name == "deliver"]
        mine = {row["id"] for row in await world.rows() if row["endpoint"] == "mine"}
        (under_way,) = [args for args in jobs if args["delivery"] in mine]
        await world.during(remove, Attempt(Verdict.RETRY, 500, "answered 500")).send(**under_way)
        await world.deliverer.send(**under_way)
        assert receiver.ledger == []
    assert await world.jobs() == []
    (row,) = [row for row in await world.rows() if row["endpoint"] == "mine"]
    assert (row["status"], row["last_detail"], row["next_attempt_at"]) == ("dead", "endpoint removed", None)
