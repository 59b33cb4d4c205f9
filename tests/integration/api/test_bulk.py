"""Many wallets at once over the API: a stream in, a line answered each, and the same lines out again."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import select, text

from tests.integration.api.conftest import Api, Caller
from tests.integration.api.test_slow_and_busy import no_connection
from tests.integration.watcher.world import ADDRESS
from tests.nodes.processes import until
from watcher import bulk, ndjson
from watcher.store.tables import wallet

NDJSON = "application/x-ndjson"


def line(wallet_id: str, **changes: Any) -> bytes:
    return json.dumps({"id": wallet_id, "addresses": {"local-evm": ADDRESS}, **changes}).encode() + b"\n"


async def send(call: Caller, body: Any, **headers: str) -> tuple[int, list[Any]]:
    """Status and the lines of the answer."""
    sent = {"Authorization": f"Bearer {call.key}", "Content-Type": NDJSON}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    async with call.http.post(call.url + "/v1/wallets/import", data=body, headers=sent) as answer:
        return answer.status, [json.loads(text) async for text in answer.content]


async def export(call: Caller) -> bytes:
    headers = {"Authorization": f"Bearer {call.key}"}
    async with call.http.get(call.url + "/v1/wallets/export", headers=headers) as answer:
        assert (answer.status, answer.content_type) == (200, NDJSON)
        return await answer.read()


def told(answers: list[Any]) -> list[tuple[int, str | None, str]]:
    return [(a["line"], a["id"], a["status"]) for a in answers]


async def test_each_line_is_answered_in_its_order(call: Caller) -> None:
    """Created, changed, the same, and refused with every fault; a bad line doesn't stop the next."""
    await call("PUT", "/v1/wallets/w-1", {"addresses": {"local-evm": ADDRESS}, "initial": "wait_for_drop"})
    body = line("w-1") + line("w-1", label="x") + b"\n" + line("w-2", policy="nope", user="nobody") + line("w-3")
    status, answers = await send(call, body)
    assert status == 200
    assert told(answers) == [
        (1, "w-1", "unchanged"),
        (2, "w-1", "updated"),
        (4, "w-2", "refused"),
        (5, "w-3", "created"),
    ]
    assert {(e["field"], e["code"]) for e in answers[2]["errors"]} == {
        ("/policy", "unknown_policy"),
        ("/user", "unknown_user"),
    }
    assert answers[3]["errors"] == []
    assert [w["id"] for w in (await call("GET", "/v1/wallets"))[1]["data"]] == ["w-1", "w-3"]


BAD: dict[str, tuple[bytes, str, str]] = {
    "not JSON": (b"{\n", "", "not_json"),
    "not an object": (b"[]\n", "", "not_an_object"),
    "not UTF-8": (b'{"id": "\xff"}\n', "", "not_json"),
    "a key twice": (b'{"id": "a", "id": "b"}\n', "", "not_json"),
    "a depth bomb": (b"[" * 60_000 + b"\n", "", "not_json"),
    "no id": (b'{"addresses": {}}\n', "/id", "required"),
    "an id that is none": (line("a b"), "/id", "string_pattern_mismatch"),
    "a number for an id": (b'{"id": 1, "addresses": {}}\n', "/id", "not_a_string"),
    "an unknown field": (line("w-2", foo=1), "/foo", "unknown_field"),
    "a wrong checksum": (line("w-2", addresses={"local-evm": ADDRESS[:-1] + "1"}), "/addresses/local-evm", "checksum"),
    "another address": (line("w-1", addresses={"local-evm": "0x" + "12" * 20}), "/addresses/local-evm", "is_set"),
    "too long": (line("w-2", label="x" * 70_000), "", "too_large"),
    "very much too long": (line("w-2", label="x" * 700_000), "", "too_large"),
}


@pytest.mark.parametrize("name", BAD)
async def test_one_bad_line_is_refused_alone(call: Caller, name: str) -> None:
    """Its fault is told at its place, and the lines around it are taken."""
    bad, field, code = BAD[name]
    status, answers = await send(call, line("w-1") + bad + line("w-3"))
    assert (status, [a["status"] for a in answers]) == (200, ["created", "refused", "created"])
    assert [a["line"] for a in answers] == [1, 2, 3]
    faults = [(e["field"], e["code"]) for e in answers[1]["errors"]]
    assert any(place == field and code in fault for place, fault in faults), faults


async def test_a_last_line_needs_no_newline_and_no_line_at_all_is_nothing(call: Caller) -> None:
    """Windows' line ends are taken, too."""
    assert told((await send(call, line("w-1").strip() + b"\r\n" + line("w-2").strip()))[1]) == [
        (1, "w-1", "created"),
        (2, "w-2", "created"),
    ]
    assert await send(call, b"") == (200, [])
    assert await send(call, b"\n \n\r\n") == (200, [])


async def test_who_brings_many_asks_nobody_unless_told_to(api: Api, call: Caller) -> None:
    """`initial` is wait_for_drop where a line says nothing; a line that says ask is asked for."""
    funding = [{"when": "created", "networks": ["local-evm"]}]
    await send(call, line("w-1", funding=funding) + line("w-2", funding=funding, initial="ask"))
    assert (await call("GET", "/v1/wallets/w-1"))[1]["initial"] == "wait_for_drop"
    assert [t.wallet for t in await api.world.top_ups()] == ["w-2"]
    assert await api.world.events() == ["top_up.opened"]


async def test_what_is_exported_is_imported_again_unchanged(call: Caller) -> None:
    """Every living wallet once, by any way it came, in the order of ids; no IP address among it."""
    await call("PUT", "/v1/users/u-1", {})
    await call(
        "PUT",
        "/v1/wallets/w-2",
        {"addresses": {"eip155": ADDRESS}, "user": "u-1", "customer_ip_address": "203.0.113.9"},
    )
    await call("PATCH", "/v1/wallets/w-2", {"label": "M\u00e4in", "metadata": {"a": "1"}})
    await send(call, line("w-1") + line("w-3") + line("w-4"))
    await call("DELETE", "/v1/wallets/w-3")
    exported = await export(call)
    bodies = [json.loads(text) for text in exported.splitlines()]
    assert [(b["id"], b["initial"]) for b in bodies] == [
        ("w-1", "wait_for_drop"),
        ("w-2", "ask"),
        ("w-4", "wait_for_drop"),
    ]
    assert (bodies[1]["label"], bodies[1]["addresses"]) == ("M\u00e4in", {"eip155": ADDRESS})
    assert b"203.0.113" not in exported
    _, answers = await send(call, exported)
    assert {a["status"] for a in answers} == {"unchanged"}
    for wallet_id in ("w-1", "w-2", "w-4"):
        await call("DELETE", f"/v1/wallets/{wallet_id}")
    _, answers = await send(call, exported)
    assert {a["status"] for a in answers} == {"created"}
    assert await export(call) == exported


async def test_an_export_is_of_every_page(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many pages there are; an empty one is empty."""
    assert await export(call) == b""
    monkeypatch.setattr(bulk, "PAGE", 2)
    await send(call, b"".join(line(f"w-{i}") for i in range(5)))
    assert [json.loads(text)["id"] for text in (await export(call)).splitlines()] == [f"w-{i}" for i in range(5)]


class Slowly:
    """A body that is sent piece by piece, as a test says."""

    def __init__(self) -> None:
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue()

    def say(self, piece: bytes) -> None:
        """The next piece; an empty one is the end."""
        self._pieces.put_nowait(piece)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self._pieces.get():
            yield piece

    def post(self, call: Caller) -> Any:
        """The request."""
        headers = {"Authorization": f"Bearer {call.key}", "Content-Type": NDJSON}
        return call.http.post(call.url + "/v1/wallets/import", data=self, headers=headers)


async def test_lines_are_answered_while_others_are_still_to_come(call: Caller) -> None:
    """Once committed, and not only at the stream's end: a sender may go on by what was answered."""
    body = Slowly()
    body.say(line("w-1") + line("w-2")[:10])
    async with body.post(call) as answer:
        assert json.loads(await answer.content.readline())["id"] == "w-1"
        assert (await call("GET", "/v1/wallets/w-1"))[0] == 200
        body.say(line("w-2")[10:])
        assert json.loads(await answer.content.readline())["id"] == "w-2"
        body.say(b"")
        assert await answer.content.readline() == b""


async def test_a_cut_connection_is_resumed_by_sending_again(api: Api, call: Caller) -> None:
    """What was answered is there, half a line is not; sent again, all is as if it had never broken."""
    everything = b"".join(line(f"w-{i}") for i in range(250))
    body = Slowly()
    body.say(b"".join(line(f"w-{i}") for i in range(150)) + line("w-150")[:-2])
    async with body.post(call) as answer:
        answered = [json.loads(await answer.content.readline())["id"] for _ in range(150)]
        answer.close()
    await until(no_connection, seconds=20, what="the server's end of the connection")
    async with api.world.database.begin() as conn:
        assert set((await conn.execute(select(wallet.c.id))).scalars()) == set(answered)
    _, answers = await send(call, everything)
    assert [a["status"] for a in answers] == ["unchanged"] * 150 + ["created"] * 100


async def test_a_line_that_does_not_come_ends_the_stream(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is for each line, not for all: slow lines are taken, one that never ends is not waited for."""
    monkeypatch.setattr(ndjson, "LINE_SECONDS", 0.4)
    forever = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        for number in range(3):
            await asyncio.sleep(0.2)  # three of them are more than the time for one
            yield line(f"w-{number}")
        yield line("w-3")[:20]
        await forever.wait()

    _, answers = await send(call, body())
    assert [a["status"] for a in answers] == ["created"] * 3 + ["refused"]
    assert (answers[3]["line"], answers[3]["errors"][0]["code"]) == (4, "too_slow")
    await until(no_connection, seconds=20, what="the server's end of the connection")


async def test_who_does_not_read_the_answers_is_cut_off(
    api: Api, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing piles up for him: after a while the connection is gone, and the daemon goes on."""
    monkeypatch.setattr("watcher.api.bulk.WRITE_SECONDS", 0.3)
    host, port = api.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port), limit=1024)
    head = (
        f"POST /v1/wallets/import HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {call.key}\r\n"
        f"Content-Type: {NDJSON}\r\nContent-Length: {10**9}\r\n\r\n"
    )
    writer.write(head.encode() + b"{\n" * 200_000)
    assert not await no_connection()
    await until(no_connection, seconds=60, what="the server's end of the connection")
    writer.transport.abort()
    assert (await call("GET", "/v1/wallets"))[0] == 200


async def test_two_imports_of_the_same_wallets_at_once_agree(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """In opposite orders: neither waits for the other for ever, and each wallet is created once."""
    monkeypatch.setattr(bulk, "AGAIN_AFTER_SECONDS", ())
    ids = [f"w-{i}" for i in range(60)]
    there, back = await asyncio.gather(
        send(call, b"".join(line(i) for i in ids)), send(call, b"".join(line(i) for i in reversed(ids)))
    )
    both = sorted(a["status"] for a in there[1] + back[1])
    assert both == ["created"] * 60 + ["unchanged"] * 60


async def test_a_batch_that_the_store_refused_is_tried_again(
    api: Api, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections that were cut between two batches cost nothing."""
    monkeypatch.setattr(bulk, "AGAIN_AFTER_SECONDS", (0.01,))

    async def body() -> AsyncIterator[bytes]:
        yield line("w-1")
        await asyncio.sleep(0.3)  # longer than a batch waits for more
        async with api.world.database.begin() as conn:
            await conn.execute(text("lock table wallet in access exclusive mode"))
            await conn.execute(text("set local statement_timeout = '60s'"))
            yield line("w-2")
            await conn.execute(text("select pg_sleep(5.5)"))  # longer than a statement may take
        yield line("w-3")

    _, answers = await send(call, body())
    assert told(answers) == [(1, "w-1", "created"), (2, "w-2", "created"), (3, "w-3", "created")]


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Content_Type": "application/json"}, 415, "unsupported_media_type"),
        ({"Content_Encoding": "gzip"}, 415, "unsupported_encoding"),
        ({"Authorization": "Bearer tuw_wrong"}, 401, "unauthorized"),
    ],
)
async def test_what_is_no_import_is_refused_before_a_line_is_read(
    api: Api, call: Caller, headers: dict[str, str], status: int, code: str
) -> None:
    """A problem as elsewhere, and no row."""
    before = await api.counts()
    answered, (problem,) = await send(call, line("w-1"), **headers)
    assert (answered, problem["code"]) == (status, code)
    assert await api.counts() == before


async def test_each_way_asks_for_its_own_scope(api: Api) -> None:
    """Who may read may export, who may write may import, each of them his own tenant's wallets."""
    reader = await api.caller(scopes=("wallets:read",))
    assert (await send(reader, line("w-1")))[0] == 403
    writer = await api.caller(scopes=("wallets:write",))
    assert (await send(writer, line("w-1")))[0] == 200
    assert (await writer("GET", "/v1/wallets/export"))[0] == 403
    assert (await reader("GET", "/v1/wallets/export?limit=1"))[0] == 422
    assert len((await export(reader)).splitlines()) == 1
    assert await export(await api.caller("other")) == b""
