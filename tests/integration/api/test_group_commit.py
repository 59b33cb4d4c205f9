"""Webhooks that arrive together share a transaction: each is answered only once it is on disk, and none for another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest
from sqlalchemy import text

from tests.integration.api.backend import apply, created, outcomes, post, say
from tests.integration.api.conftest import Api, Caller
from watcher.api.problems import translate
from watcher.asks.beforehand import Sources
from watcher.inbound.apply import INBOUND_TASK, Inbound
from watcher.inbound.intake import MOST_A_JOB, Full, Intake, Kept
from watcher.store.errors import StoreUnavailable
from watcher.store.inbox import Arrival


def arrival(webhook_id: str, *, body: bytes = b"{}") -> Arrival:
    wallet = f"w-{webhook_id}"
    return Arrival(
        "default",
        "main",
        webhook_id,
        sha256(body).digest(),
        {"type": "wallet.removed", "data": {"id": wallet}},
        datetime(2026, 1, 1, tzinfo=UTC),
        about=f"wallet:{wallet}",
        task=INBOUND_TASK,
        args={"tenant": "default", "source": "main", "inbound_id": webhook_id},
        together=True,
    )


async def keep_all(intake: Intake, *arrivals: Arrival) -> list[Any]:
    """All at once, so that they share a transaction."""
    return await asyncio.gather(*(intake.keep(each) for each in arrivals), return_exceptions=True)


async def on_commit(api: Api, webhook_id: str, then: str) -> None:
    """Have PostgreSQL do something as it commits that webhook."""
    statements = (
        f"create function on_commit() returns trigger language plpgsql as 'begin {then}; return null; end'",
        f"""create constraint trigger on_commit after insert on inbox deferrable initially deferred
        for each row when (new.id = '{webhook_id}') execute function on_commit()""",
    )
    async with api.world.database.begin() as conn:
        for statement in statements:
            await conn.execute(text(statement))


@asynccontextmanager
async def held_up(api: Api) -> AsyncIterator[None]:
    """Nobody can write to the inbox meanwhile."""
    async with api.world.database.begin() as conn:
        await conn.execute(text("lock table inbox in exclusive mode"))
        yield


async def count_transactions(api: Api) -> int:
    async with api.world.database.begin() as conn:
        return int((await conn.execute(text("select count(distinct xmin::text) from inbox"))).scalar_one())


async def test_a_crowd_shares_transactions_and_each_is_applied(api: Api, call: Caller) -> None:
    """A hundred at once: each is new, all are on disk with jobs that serve several, and each wallet is there."""
    bodies = [created(f"w-{number}") for number in range(100)]
    async with held_up(api):
        sending = [asyncio.create_task(post(api, body, webhook_id=f"m-{n}")) for n, body in enumerate(bodies)]
        await asyncio.sleep(0.5)
        assert not any(each.done() for each in sending)
    answers = await asyncio.gather(*sending)
    assert answers == [(202, {"id": f"m-{number}", "duplicate": False}) for number in range(100)]
    assert await count_transactions(api) < 20
    assert len(await outcomes(api)) == 100
    assert await apply(api) < 100 / MOST_A_JOB + 20
    assert set((await outcomes(api)).values()) == {"applied"}
    assert (await call("GET", "/v1/wallets/w-99"))[0] == 200


async def test_one_id_several_times_in_a_transaction(api: Api) -> None:
    """The first is stored, the same again is a duplicate, other bytes are told apart; one job."""
    intake = Intake(api.world.database)
    sent = (arrival("a"), arrival("a"), arrival("a", body=b"other"), arrival("b"))
    assert await keep_all(intake, *sent) == [Kept.NEW, Kept.SAME, Kept.OTHER, Kept.NEW]
    assert await keep_all(intake, *sent[:3]) == [Kept.SAME, Kept.SAME, Kept.OTHER]
    assert await count_transactions(api) == 1
    assert [args["also"] for _, args in await api.world.jobs()] == [[["main", "b"]]]


async def test_one_that_makes_the_transaction_fail_takes_nobody_along(api: Api) -> None:
    """Its error is its own; the others are stored one by one, with a job each."""
    await on_commit(api, "bad", "raise exception ''no''")
    good, bad, other = await keep_all(Intake(api.world.database), arrival("a"), arrival("bad"), arrival("b"))
    assert (good, other) == (Kept.NEW, Kept.NEW)
    assert isinstance(bad, Exception)
    assert await outcomes(api) == {"a": None, "b": None}
    assert [args["inbound_id"] for _, args in await api.world.jobs()] == ["a", "b"]


async def test_a_commit_that_never_came_is_no_202(api: Api) -> None:
    """The connection dies while PostgreSQL commits: 503 with a time to come back, no row, no job; later it counts."""
    await on_commit(api, "msg_1", "perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(5)")
    status, problem = await post(api, created())
    assert (status, problem["code"]) == (503, "store_unavailable")
    assert await outcomes(api) == {}
    assert await api.world.jobs() == []
    async with api.world.database.begin() as conn:
        await conn.execute(text("drop trigger on_commit on inbox"))
    assert await post(api, created()) == (202, {"id": "msg_1", "duplicate": False})


async def test_nobody_waits_longer_than_a_transaction_may_take(api: Api) -> None:
    """All who wait are told at once that the store does not answer; nothing of theirs is stored afterwards."""
    intake = Intake(api.world.database, longest_seconds=0.2)
    async with held_up(api):
        first = asyncio.create_task(intake.keep(arrival("a")))
        await asyncio.sleep(0.05)
        began = asyncio.get_running_loop().time()
        answers = await keep_all(intake, arrival("b"), arrival("c"))
        answers += await asyncio.gather(first, return_exceptions=True)
        assert asyncio.get_running_loop().time() - began < 2
    assert {type(each) for each in answers} == {StoreUnavailable}
    assert await intake.keep(arrival("d")) is Kept.NEW
    assert await outcomes(api) == {"d": None}


async def test_too_many_are_sent_away(api: Api) -> None:
    """503 with a Retry-After for one more than may wait; those before it are stored."""
    answers = await keep_all(Intake(api.world.database, most_waiting=2), arrival("a"), arrival("b"), arrival("c"))
    assert answers[:2] == [Kept.NEW, Kept.NEW]
    assert isinstance(answers[2], Full)
    problem = translate(answers[2])
    assert problem is not None
    assert (problem.status, problem.headers["Retry-After"]) == (503, "1")
    assert await outcomes(api) == {"a": None, "b": None}


async def test_applying_steps_aside_only_for_a_while(api: Api) -> None:
    """While anything waits to be stored, no more than a quarter of a second; then not at all."""
    intake = Intake(api.world.database)
    async with held_up(api):
        storing = asyncio.create_task(intake.keep(arrival("a")))
        await asyncio.sleep(0)
        async with asyncio.timeout(2):
            await intake.quiet()
        assert not storing.done()
    await storing
    async with asyncio.timeout(2):
        await intake.quiet()


async def test_what_waits_about_one_wallet_is_applied_by_one_job(api: Api, call: Caller) -> None:
    """The job of the last applies all that came before it, in the order of their coming; the others find it done."""
    for number in range(12):
        await post(api, created(label=f"{number}"), webhook_id=f"{number}:there")
        await post(api, say("wallet.removed", id="w-1"), webhook_id=f"{number}:gone")
    await post(api, created(label="last"), webhook_id="last")
    jobs = [args for _, args in await api.world.jobs()]
    inbound = Inbound(Sources(api.world.database, api.world.settings), clock=api.world.clock, new_id=api.world.new_id)
    await inbound.apply_inbound(**jobs[-1])
    assert set((await outcomes(api)).values()) == {"applied"}
    _, shown = await call("GET", "/v1/wallets/w-1")
    assert (shown["label"], shown["version"]) == ("last", 25)
    for args in jobs:
        await inbound.apply_inbound(**args)
    assert (await call("GET", "/v1/wallets/w-1"))[1] == shown


async def test_one_that_fails_holds_up_only_its_own(api: Api) -> None:
    """In a job for several, the others are applied; the job fails, and its next run applies the rest in order."""
    intake = Intake(api.world.database)
    assert await keep_all(intake, *(arrival(name) for name in "abc")) == [Kept.NEW] * 3
    ((_, args),) = await api.world.jobs()
    inbound = Inbound(Sources(api.world.database, api.world.settings), clock=api.world.clock, new_id=api.world.new_id)
    await on_close(api, "b")
    with pytest.raises(Exception, match="no"):
        await inbound.apply_inbound(**args)
    assert await outcomes(api) == {"a": "applied", "b": None, "c": "applied"}
    async with api.world.database.begin() as conn:
        await conn.execute(text("drop trigger on_close on inbox"))
    await inbound.apply_inbound(**args)
    assert await outcomes(api) == dict.fromkeys("abc", "applied")


async def on_close(api: Api, webhook_id: str) -> None:
    """Have PostgreSQL refuse that the webhook is handled."""
    statements = (
        "create function on_close() returns trigger language plpgsql as 'begin raise exception ''no''; end'",
        f"""create trigger on_close before update on inbox
        for each row when (new.id = '{webhook_id}') execute function on_close()""",
    )
    async with api.world.database.begin() as conn:
        for statement in statements:
            await conn.execute(text(statement))
