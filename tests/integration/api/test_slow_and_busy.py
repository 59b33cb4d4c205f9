"""Callers that stall, crowd or come twice: each gets an answer, and one thing happens once."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import func, select

from tests.integration.api.conftest import Api, Caller
from tests.integration.api.test_asks import asked, post_stripe, stripe_event
from tests.integration.watcher.world import ADDRESS
from tests.nodes.processes import until
from watcher.api import strict_json
from watcher.store.tables import wallet

__all__ = ["asked"]  # a fixture

BODY: dict[str, Any] = {"addresses": {"local-evm": ADDRESS}}


async def open_request(api: Api, call: Caller, *, length: int, sent: bytes) -> tuple[bytes, bytes]:
    """Status line and rest of the answer to a PUT whose body never gets further than `sent`."""
    host, port = api.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = (
        f"PUT /v1/wallets/w-1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {call.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )
    writer.write(head.encode() + sent)
    status = await asyncio.wait_for(reader.readline(), 20)
    rest = await asyncio.wait_for(reader.read(4096), 20)
    writer.close()
    await writer.wait_closed()
    await until(no_connection, seconds=20, what="the server's end of the connection")
    return status, rest


async def no_connection() -> bool:
    """Whether the server has let go of every connection."""
    return all(getattr(t.get_coro(), "__qualname__", "") != "RequestHandler.start" for t in asyncio.all_tasks())


async def test_a_body_that_stops_coming_is_given_up(api: Api, call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """408 once the limit is over, and nothing is stored of the half that came."""
    monkeypatch.setattr(strict_json, "READ_SECONDS", 0.2)
    before = await api.counts()
    status, rest = await open_request(api, call, length=100, sent=b'{"addresses": {')
    assert status.split()[1] == b"408"
    assert b'"code": "too_slow"' in rest
    assert await api.counts() == before


async def test_a_body_that_says_it_is_too_large_is_not_waited_for(api: Api, call: Caller) -> None:
    """413 by its Content-Length alone, before a byte of it came."""
    status, _ = await open_request(api, call, length=10**9, sent=b"")
    assert status.split()[1] == b"413"


async def test_a_crowd_that_registers_one_wallet_makes_one(api: Api, call: Caller) -> None:
    """Ten first PUTs of one id at once: one is 201, nine are 200, all with the same answer and one row."""
    answers = await asyncio.gather(*(call("PUT", "/v1/wallets/w-1", BODY) for _ in range(10)))
    assert sorted(status for status, _ in answers) == [200] * 9 + [201]
    assert all(shown == answers[0][1] for _, shown in answers)
    async with api.world.database.begin() as conn:
        assert (await conn.execute(select(func.count()).select_from(wallet))).scalar_one() == 1


async def test_a_crowd_with_two_addresses_agrees_on_one(call: Caller) -> None:
    """The first address to come is the wallet's; the other is 409 address_is_set, every time."""
    other = {"addresses": {"local-evm": ADDRESS.lower()[:-1] + "1"}}
    answers = await asyncio.gather(*(call("PUT", "/v1/wallets/w-1", BODY if i % 2 else other) for i in range(10)))
    _, shown = await call("GET", "/v1/wallets/w-1")
    assert sorted(status for status, _ in answers) == [200] * 4 + [201] + [409] * 5
    assert all(a["addresses"] == shown["addresses"] for status, a in answers if status != 409)


async def test_an_erased_wallet_put_again_by_a_crowd_comes_back_once(call: Caller) -> None:
    """DELETE and PUT at once end in one of the two states, never in between."""
    await call("PUT", "/v1/wallets/w-1", BODY)
    tasks = [call("DELETE", "/v1/wallets/w-1") if i % 2 else call("PUT", "/v1/wallets/w-1", BODY) for i in range(10)]
    assert {status for status, _ in await asyncio.gather(*tasks)} <= {200, 201, 204, 404}
    status, _ = await call("PUT", "/v1/wallets/w-1", BODY)
    assert status in (200, 201)
    assert (await call("GET", "/v1/wallets"))[1]["data"][0]["id"] == "w-1"


async def test_a_crowd_with_one_idempotency_key_acts_once(api: Api, call: Caller, asked: str) -> None:
    """Eight presses that race with one key: one event, one answer for all."""
    path = f"/v1/top-ups/{asked}/resend"
    answers = await asyncio.gather(*(call("POST", path, Idempotency_Key="k") for _ in range(8)))
    assert {status for status, _ in answers} == {200}
    assert {shown["version"] for _, shown in answers} == {answers[0][1]["version"]}
    assert (await api.world.events()).count("top_up.link_ready") == 1


async def test_a_refused_action_may_be_tried_again_with_its_key(api: Api, call: Caller, asked: str) -> None:
    """Only what was done is kept: a 409 of the moment is not repeated for ever."""
    path = f"/v1/top-ups/{asked}/resend"
    async with api.world.database.begin() as conn:
        await conn.exec_driver_sql("update session set link = null")
    assert (await call("POST", path, Idempotency_Key="k"))[1]["code"] == "no_link"
    async with api.world.database.begin() as conn:
        await conn.exec_driver_sql("update session set link = 'https://crypto.link.example/cos_1'")
    assert (await call("POST", path, Idempotency_Key="k"))[0] == 200


@pytest.mark.parametrize("key", ["", " ", "k" * 256, "\u00e9"])
async def test_a_bad_idempotency_key_is_refused_by_name(api: Api, call: Caller, asked: str, key: str) -> None:
    """A key that could not be told from another does nothing at all."""
    status, problem = await call("POST", f"/v1/top-ups/{asked}/cancel", Idempotency_Key=key)
    assert (status, problem["errors"][0]["field"]) == (422, "Idempotency-Key")
    assert (await call("GET", f"/v1/top-ups/{asked}"))[1]["status"] == "open"


async def test_a_crowd_that_cancels_cancels_once(api: Api, call: Caller, asked: str) -> None:
    """Eight cancels without a key: every one is 200, and there is one event."""
    answers = await asyncio.gather(*(call("POST", f"/v1/top-ups/{asked}/cancel") for _ in range(8)))
    assert {(status, shown["status"]) for status, shown in answers} == {(200, "cancelled")}
    assert (await api.world.events()).count("top_up.cancelled") == 1


async def test_a_crowd_of_one_stripe_event_is_one_job(api: Api) -> None:
    """Stripe may send an event several times at once: all are 200, one is acted on."""
    told = stripe_event(api)
    statuses = await asyncio.gather(*(post_stripe(api, "/webhooks/stripe/default", *told) for _ in range(8)))
    assert set(statuses) == {200}
    assert len(await api.world.jobs()) == 1
