"""Requests made to break something: 4xx or what was asked for, never 5xx, never another caller's change undone."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from tests.integration.api.conftest import Api, Caller
from tests.integration.api.test_asks import LINK, asked
from tests.integration.watcher.world import ADDRESS
from watcher.store.tables import wallet

__all__ = ["asked"]  # a fixture

LOW = {"when": "low", "network": "local-evm", "asset": "ETH", "trigger": "1", "target": "3"}


def body(**changes: Any) -> dict[str, Any]:
    return {"addresses": {"local-evm": ADDRESS}, **changes}


@pytest.mark.parametrize(
    "path",
    [
        "/v1/wallets?after=%00",
        "/v1/wallets?network=a%00",
        "/v1/events?after=%00",
        "/v1/deliveries?after=%00",
        "/v1/top-ups?after=%00",
        "/v1/top-ups?updated_after=9999-12-31T23:59:59-14:00",
        "/v1/wallets?updated_after=0001-01-01T00:00:00%2B14:00",
    ],
)
async def test_a_query_that_the_store_could_not_take_is_refused_by_name(call: Caller, path: str) -> None:
    """NUL characters and times at the ends of the calendar are the caller's fault: 422 names the parameter."""
    status, problem = await call("GET", path)
    assert status == 422
    name = path.partition("?")[2].partition("=")[0]
    assert [error["field"] for error in problem["errors"]] == [f"?{name}"]


@pytest.mark.parametrize("network", [[], {}, ["local-evm"], None, 1.5, True])
async def test_a_network_of_another_type_is_refused(call: Caller, network: Any) -> None:
    """Lists and objects where a name belongs are a fault of that field, not of ours."""
    status, problem = await call("PUT", "/v1/wallets/w-1", body(funding=[{**LOW, "network": network}]))
    assert status == 422
    assert "/funding/0/network" in [error["field"] for error in problem["errors"]]


@pytest.mark.parametrize("until", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"])
async def test_a_time_that_could_not_be_read_back_is_never_stored(api: Api, call: Caller, until: str) -> None:
    """Such a row would break every list that it stands in, for ever."""
    before = await api.counts()
    status, problem = await call("PUT", "/v1/wallets/w-1", body(asks={"paused_until": until}))
    assert (status, problem["errors"][0]["field"]) == (422, "/asks/paused_until")
    assert await api.counts() == before
    assert (await call("GET", "/v1/wallets"))[0] == 200


async def test_patches_at_the_same_time_all_count(call: Caller) -> None:
    """Twelve patches of twelve keys, at once: none undoes another."""
    await call("PUT", "/v1/wallets/w-1", body())
    await asyncio.gather(*(call("PATCH", "/v1/wallets/w-1", {"metadata": {str(i): "x"}}) for i in range(12)))
    _, patched = await call("GET", "/v1/wallets/w-1")
    assert patched["metadata"] == {str(i): "x" for i in range(12)}


async def test_a_patch_does_not_bring_a_removed_wallet_back(call: Caller) -> None:
    """404 after a delete, and it stays deleted."""
    await call("PUT", "/v1/wallets/w-1", body())
    await call("DELETE", "/v1/wallets/w-1")
    assert (await call("PATCH", "/v1/wallets/w-1", {"label": "x"}))[0] == 404
    assert (await call("GET", "/v1/wallets/w-1"))[0] == 404


async def test_a_patch_cannot_rename(call: Caller) -> None:
    """An id in the body is a field like any unknown one."""
    await call("PUT", "/v1/wallets/w-1", body())
    status, problem = await call("PATCH", "/v1/wallets/w-1", {"id": "w-2"})
    assert (status, problem["errors"][0]["field"]) == (422, "/id")


async def test_a_kept_answer_gives_no_link(api: Api, call: Caller, asked: str) -> None:
    """What is kept with an Idempotency-Key is the answer without its link, which outlives the ask there."""
    path = f"/v1/top-ups/{asked}/resend"
    first = (await call("POST", path, Idempotency_Key="k"))[1]
    assert first["link"] == LINK
    assert (await call("POST", path, Idempotency_Key="k"))[1] == first | {"link": None}
    other = await api.caller(scopes=("asks:write",))
    assert (await other("POST", path, Idempotency_Key="k"))[1]["link"] is None


async def test_the_latest_ip_address_stands_until_its_day_is_over(api: Api, call: Caller) -> None:
    """A repeated write brings a new one; a write without one leaves it for the ask that is being made."""

    async def stored() -> str | None:
        async with api.world.database.begin() as conn:
            found: str | None = (await conn.execute(select(wallet.c.customer_ip_address))).scalar_one()
            return found

    await call("PUT", "/v1/wallets/w-1", body(customer_ip_address="203.0.113.9"))
    await call("PUT", "/v1/wallets/w-1", body(customer_ip_address="203.0.113.10"))
    assert await stored() == "203.0.113.10"
    await call("PATCH", "/v1/wallets/w-1", {"label": "Main"})
    assert await stored() == "203.0.113.10"
    await call("PUT", "/v1/wallets/w-1", body(customer_ip_address="::ffff:203.0.113.11"))
    assert await stored() == "203.0.113.11"
    await call("DELETE", "/v1/wallets/w-1")
    assert await stored() is None


@pytest.mark.parametrize(
    "tail",
    [
        b"Transfer-Encoding: chunked\r\n\r\nZZ\r\nabc\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcXX\r\n0\r\n\r\n",
        b"Content-Length: abc\r\n\r\n",
        b"Idempotency-Key: \xff\xe9\r\nContent-Length: 2\r\n\r\n{}",
        b"Content-Encoding: \xff\r\nContent-Length: 2\r\n\r\n{}",
        b"Stripe-Signature: t=1,v1=\xe9\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
async def test_broken_framing_and_odd_header_bytes_are_4xx(api: Api, call: Caller, tail: bytes) -> None:
    """Bytes that no client library would send get an answer that blames the sender."""
    head = f"PUT /v1/wallets/w-1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {call.key}\r\n"
    host, port = api.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head.encode() + b"Content-Type: application/json\r\n" + tail)
    status_line = await asyncio.wait_for(reader.readline(), 20)
    writer.close()
    await writer.wait_closed()
    assert status_line.split()[1].startswith(b"4")
