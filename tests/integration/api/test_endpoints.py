"""Endpoints over the API: made once with a secret that is shown once, replaced, rotated, tested, removed."""

import asyncio
import base64
import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from notifier.model import Endpoint
from notifier.webhook import WebhookChannel
from tests.fakes.receiver import Receiver
from tests.integration.api.conftest import Api, Caller, serve, two_tenants
from tests.integration.api.test_asks import event_of
from tests.integration.api.test_retention import sweeper
from tests.integration.watcher.world import World
from watcher.api.auth import SCOPES
from watcher.api.endpoints import MOST_ENDPOINTS, MOST_SECRETS
from watcher.deliver import Deliverer
from watcher.log import Logging
from watcher.store.database import Database
from watcher.store.declare import declare_tenants
from watcher.store.events import record_events
from watcher.store.tables import endpoint, idempotency

PATH = "/v1/endpoints/mine"
BODY: dict[str, Any] = {"url": "https://backend.example/hook", "events": ["top_up.*"]}


async def declare(api: Api) -> Endpoint:
    """An endpoint of the configuration, from a restart on."""
    target = Endpoint("main", "https://declared.example/KEY", ("whsec_declared",))
    tenants = dict(api.world.settings.tenants)
    tenants["default"] = replace(tenants["default"], endpoints=(target,))
    async with api.world.database.begin() as conn:
        await declare_tenants(conn, tenants.values(), console=True, now=api.world.clock.now())
    return target


async def record(api: Api) -> None:
    """An event that every endpoint with `*` wants."""
    stamp = api.world.stamp()
    event = replace(event_of(api, 1), subject_id=stamp.new_id("net"))
    async with api.world.database.begin() as conn:
        await record_events(conn, [event], now=stamp.now, new_id=stamp.new_id)


async def deliver(api: Api, *, allow_private: bool = True) -> None:
    """Everything that is queued."""
    async with WebhookChannel(clock=lambda: datetime.now(UTC), allow_private=allow_private) as channel:
        deliverer = Deliverer(api.world.database, {"http": channel}, {}, clock=api.world.clock, jitter=lambda n: n // 2)
        for name, args in await api.world.jobs():
            assert name == "deliver"
            await deliverer.send(**args)


async def test_its_secret_is_shown_once(api: Api, call: Caller) -> None:
    """201 carries 32 random bytes as whsec_; no answer after it, no list, no event, no kept answer and no log does."""
    log = io.StringIO()
    with Logging("debug", stream=log):
        status, made = await call("PUT", PATH, BODY)
        secret = made.pop("secret")
        again = await call("PUT", PATH, BODY)
        rotated = (await call("POST", f"{PATH}/rotate", Idempotency_Key="k"))[1].pop("secret")
        repeated = await call("POST", f"{PATH}/rotate", Idempotency_Key="k")
        told = [await call("GET", PATH), await call("GET", "/v1/endpoints"), await call("POST", f"{PATH}/test")]
        told += [await call("GET", "/v1/events"), await call("GET", "/v1/deliveries")]
    assert (status, again) == (201, (200, made))
    assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32
    assert len({secret, rotated, (await call("PUT", "/v1/endpoints/second", BODY))[1]["secret"]}) == 3
    assert repeated[1]["secret"] is None
    async with api.world.database.begin() as conn:
        kept = (await conn.execute(select(idempotency.c.answer))).scalars().all()
    assert "whsec_" not in json.dumps([told, repeated, kept]) + log.getvalue()


async def test_the_same_body_twice_changes_nothing_and_another_replaces(api: Api, call: Caller) -> None:
    """PUT is idempotent; another body is 200 too, with a grown version and the secret that it had."""
    _, made = await call("PUT", PATH, BODY)
    api.world.clock.advance(hours=1)
    same = await call("PUT", PATH, {**BODY, "include_links": False, "enabled": True, "events": ["top_up.*"] * 2})
    assert same == (200, {name: value for name, value in made.items() if name != "secret"})
    status, other = await call("PUT", PATH, {"url": "https://other.example/", "include_links": True, "enabled": False})
    assert (status, other["version"] > made["version"], "secret" in other) == (200, True, False)
    written = ("url", "events", "include_links", "enabled")
    assert [other[name] for name in written] == ["https://other.example/", ["*"], True, False]
    assert await call("GET", PATH) == (200, other)


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"url": "ftp://x.example"}, "/url", None),
        ({"url": "https://"}, "/url", None),
        ({"url": "https://x.example:0/"}, "/url", "bad_url"),
        ({"url": "https://x.example:99999/"}, "/url", "bad_url"),
        ({"url": "https://[::1/"}, "/url", "bad_url"),
        ({"url": "https://x.example/a b"}, "/url", "bad_url"),
        ({"url": "https://x.example/\n"}, "/url", "bad_url"),
        ({"url": "https://x.example/" + "a" * 2048}, "/url", None),
        ({"url": None}, "/url", "not_a_string"),
        ({"events": []}, "/events", None),
        ({"events": ["top_up.opend"]}, "/events/0", "unknown_event"),
        ({"events": ["*", "walet.*"]}, "/events/1", "unknown_event"),
        ({"events": ["endpoint.test"]}, "/events/0", "unknown_event"),
        ({"events": ["top_*.opened"]}, "/events/0", None),
        ({"events": "*"}, "/events", "not_a_list"),
        ({"include_links": "yes"}, "/include_links", "not_a_boolean"),
        ({"enabled": None}, "/enabled", "not_a_boolean"),
        ({"secret": "whsec_mine"}, "/secret", "unknown_field"),
    ],
)
async def test_a_bad_endpoint_is_refused_by_its_field(
    api: Api, call: Caller, change: dict[str, Any], field: str, code: str | None
) -> None:
    """422 at the field, and nothing is stored."""
    before = await api.counts()
    status, problem = await call("PUT", PATH, BODY | change)
    assert (status, [e["field"] for e in problem["errors"]]) == (422, [field])
    assert code in (None, problem["errors"][0]["code"])
    assert await api.counts() == before


async def test_where_the_guard_is_on_a_receiver_is_told_encrypted_or_not_at_all(
    database: Database, tmp_path: Path
) -> None:
    """http is for local use, where the operator has said so."""
    settings = replace(two_tenants(tmp_path), allow_private_receivers=False)
    async with serve(await World(database, settings).start()) as guarded:
        call = await guarded.caller()
        status, problem = await call("PUT", PATH, BODY | {"url": "http://backend.example/hook"})
        assert (status, problem["errors"][0]["field"], problem["errors"][0]["code"]) == (422, "/url", "not_encrypted")
        assert (await call("PUT", PATH, BODY))[0] == 201


async def test_links_go_only_where_one_who_may_read_them_sends_them(api: Api, call: Caller) -> None:
    """include_links needs links:read; without it neither a new endpoint nor an old one gets them, or is moved."""
    poor = await api.caller(scopes=tuple(s for s in SCOPES if s not in ("links:read", "admin")))
    with_links = {**BODY, "include_links": True}
    status, problem = await poor("PUT", PATH, with_links)
    assert (status, problem["code"]) == (403, "missing_scope")
    assert (await call("PUT", PATH, with_links))[0] == 201
    assert (await poor("PUT", PATH, {**with_links, "url": "https://theirs.example"}))[0] == 403
    assert (await poor("PUT", PATH, BODY))[1]["include_links"] is False


async def test_a_url_is_for_those_who_may_write_it(api: Api, call: Caller) -> None:
    """It may hold a key: a key that only reads learns of no endpoint where it leads, and no event tells of it."""
    await call("PUT", PATH, BODY)
    await call("POST", f"{PATH}/test")
    reader = await api.caller(scopes=tuple(s for s in SCOPES if s not in ("endpoints:write", "admin")))
    assert (await reader("GET", PATH))[0] == (await reader("GET", "/v1/endpoints"))[0] == 403
    assert "backend.example" not in json.dumps([await call("GET", "/v1/events"), await call("GET", "/v1/deliveries")])


async def test_what_the_configuration_declares_is_read_here_and_written_there(api: Api, call: Caller) -> None:
    """Listed and readable with its source; PUT, DELETE and rotate are 409, of the console's name too."""
    assert (await call("PUT", "/v1/endpoints/console", BODY))[1]["code"] == "declared_in_config"
    declared = await declare(api)
    await call("PUT", PATH, BODY)
    _, page = await call("GET", "/v1/endpoints")
    assert [(e["id"], e["source"]) for e in page["data"]] == [
        ("console", "config"),
        ("main", "config"),
        ("mine", "api"),
    ]
    before = (await call("GET", "/v1/endpoints/main"))[1]
    assert (before["url"], before["enabled"]) == (declared.url, True)
    for name in ("main", "console"):
        for method, action, body in (("PUT", "", BODY), ("DELETE", "", None), ("POST", "/rotate", None)):
            status, problem = await call(method, f"/v1/endpoints/{name}{action}", body)
            assert (status, problem["code"]) == (409, "declared_in_config")
    assert (await call("GET", "/v1/endpoints/main"))[1] == before
    other = await api.caller("other")
    assert (await other("PUT", "/v1/endpoints/console", BODY))[1]["code"] == "declared_in_config"
    assert (await other("PUT", "/v1/endpoints/main", BODY))[0] == 201


async def test_sixteen_are_enough(api: Api, call: Caller) -> None:
    """A crowd that makes twenty gets sixteen, declared ones aside; one that is deleted makes room."""
    await declare(api)
    made = await asyncio.gather(*(call("PUT", f"/v1/endpoints/e-{i:02}", BODY) for i in range(20)))
    assert sorted(status for status, _ in made) == [201] * MOST_ENDPOINTS + [409] * 4
    assert {problem["code"] for status, problem in made if status == 409} == {"too_many_endpoints"}
    first = next(shown["id"] for status, shown in made if status == 201)
    assert (await call("PUT", f"/v1/endpoints/{first}", BODY))[0] == 200
    assert (await call("DELETE", f"/v1/endpoints/{first}"))[0] == 204
    assert (await call("PUT", "/v1/endpoints/one-more", BODY))[0] == 201


async def test_a_crowd_that_makes_one_endpoint_learns_one_secret(call: Caller) -> None:
    """Ten first PUTs of one id at once: one 201 with the secret, nine 200 without."""
    answers = await asyncio.gather(*(call("PUT", PATH, BODY) for _ in range(10)))
    assert sorted(status for status, _ in answers) == [200] * 9 + [201]
    assert ["secret" in shown for status, shown in answers if status == 201] == [True]
    assert not [shown for status, shown in answers if status == 200 and "secret" in shown]


async def test_endpoints_are_listed_page_by_page(api: Api, call: Caller) -> None:
    """Each once, in the order of ids; updated_after narrows."""
    for i in range(5):
        await call("PUT", f"/v1/endpoints/e-{i}", BODY)
    api.world.clock.advance(hours=1)
    since = api.world.clock.now() - timedelta(minutes=1)
    await call("POST", "/v1/endpoints/e-3/rotate")
    seen, after = [], ""
    while True:
        _, page = await call("GET", f"/v1/endpoints?limit=2{after}")
        seen += [e["id"] for e in page["data"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert seen == [f"e-{i}" for i in range(5)]
    _, page = await call("GET", f"/v1/endpoints?updated_after={since:%Y-%m-%dT%H:%M:%SZ}")
    assert [e["id"] for e in page["data"]] == ["e-3"]


async def test_a_removed_endpoint_is_as_good_as_none(api: Api, call: Caller) -> None:
    """404 everywhere, what waited for it is dead, nothing new is queued; its deliveries stay listed."""
    await call("PUT", PATH, BODY | {"events": ["*"]})
    await record(api)
    assert (await call("DELETE", PATH))[0] == 204
    await record(api)
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/rotate"), ("POST", "/test")):
        theirs = await call(method, PATH + path)
        never = await call(method, f"/v1/endpoints/never{path}")
        assert theirs[0] == 404
        assert theirs[1] | {"request_id": ""} == never[1] | {"request_id": ""}
    assert (await call("GET", "/v1/endpoints"))[1]["data"] == []
    (dead,) = (await call("GET", "/v1/deliveries?endpoint=mine"))[1]["data"]
    assert (dead["status"], dead["last_detail"], dead["next_attempt_at"]) == ("dead", "endpoint removed", None)
    async with api.world.database.begin() as conn:
        assert (await conn.execute(select(endpoint.c.secrets))).scalars().all() == [[]]


async def test_an_endpoint_made_again_has_a_new_secret_and_no_older_version(api: Api, call: Caller) -> None:
    """With or without deliveries behind it, within the same moment: 201, another secret, versions go on."""
    _, first = await call("PUT", PATH, BODY | {"events": ["*"]})
    for _ in range(2):
        await record(api)
        await call("DELETE", PATH)
        status, second = await call("PUT", PATH, BODY)
        assert (status, second["secret"] != first["secret"]) == (201, True)
        assert second["version"] > first["version"]
        first = second


async def test_what_was_removed_is_forgotten_once_no_delivery_names_it(api: Api, call: Caller) -> None:
    """A day after its removal when none ever did, else with the last of its deliveries; a living one never."""

    async def rows() -> list[str]:
        await sweeper(api).prune()
        async with api.world.database.begin() as conn:
            return list((await conn.execute(select(endpoint.c.id).order_by(endpoint.c.id))).scalars())

    for name in ("used", "unused", "living"):
        await call("PUT", f"/v1/endpoints/{name}", BODY | {"events": ["*"] if name == "used" else ["top_up.*"]})
    await record(api)
    for name in ("used", "unused"):
        await call("DELETE", f"/v1/endpoints/{name}")
    assert await rows() == ["living", "unused", "used"]
    api.world.clock.advance(days=1, seconds=1)
    assert await rows() == ["living", "used"]
    api.world.clock.advance(days=90)
    assert await rows() == ["living"]


async def test_after_a_rotation_both_secrets_are_good_for_a_day(api: Api, call: Caller) -> None:
    """A receiver that hasn't heard of the new one verifies for 24 h, rotated again or not; then new ones do."""
    async with Receiver() as receiver:
        _, made = await call("PUT", PATH, {"url": receiver.url})
        receiver.secret = made["secret"]
        await call("POST", f"{PATH}/rotate")
        api.world.clock.advance(hours=12)
        new = (await call("POST", f"{PATH}/rotate"))[1]["secret"]
        for seconds in (0, 12 * 3600 - 1, 1):
            api.world.clock.advance(seconds=seconds)
            await call("POST", f"{PATH}/test")
            await deliver(api)
        receiver.secret = new
        await call("POST", f"{PATH}/test")
        await deliver(api)
        assert [d.verified for d in receiver.ledger] == [True, True, False, True]
        signatures = [len(d.headers["webhook-signature"].split(" ")) for d in receiver.ledger]
        assert signatures == [3, 3, 2, 2]


async def test_no_valid_secret_is_thrown_away_to_make_room(api: Api, call: Caller) -> None:
    """Who rotates on and on is told when there is room again, and then there is."""
    await call("PUT", PATH, BODY)
    assert {(await call("POST", f"{PATH}/rotate"))[0] for _ in range(MOST_SECRETS - 1)} == {200}
    status, problem = await call("POST", f"{PATH}/rotate")
    assert (status, problem["code"]) == (409, "too_many_secrets")
    api.world.clock.advance(days=1)
    assert (await call("POST", f"{PATH}/rotate"))[0] == 200


async def test_a_test_reaches_its_endpoint_alone(api: Api, call: Caller) -> None:
    """Signed, whatever the patterns are, one version newer each time; other endpoints don't hear of it."""
    async with Receiver() as receiver, Receiver() as other:
        _, made = await call("PUT", PATH, {"url": receiver.url, "events": ["network.*"]})
        await call("PUT", "/v1/endpoints/other", {"url": other.url})
        receiver.secret = made["secret"]
        first = await call("POST", f"{PATH}/test", Idempotency_Key="k")
        assert await call("POST", f"{PATH}/test", Idempotency_Key="k") == first
        _, second = await call("POST", f"{PATH}/test")
        await deliver(api)
        assert [d.verified for d in receiver.ledger] == [True, True]
        assert other.ledger == []
    told = [d.event for d in receiver.ledger]
    assert [first[1]["event"], second["event"]] == [event["id"] for event in told]
    assert (first[0], first[1]["type"], first[1]["status"]) == (200, "endpoint.test", "pending")
    assert [event["subject"] for event in told] == [{"object": "endpoint", "id": "mine"}] * 2
    assert told[1]["version"] > told[0]["version"] > made["version"]
    assert [event["data"]["endpoint"]["version"] for event in told] == [event["version"] for event in told]
    assert (await call("GET", "/v1/deliveries?endpoint=mine"))[1]["data"][0]["status"] == "delivered"


async def test_a_test_dials_no_private_address(api: Api, call: Caller) -> None:
    """The test goes the way of every event: past the guard that no tenant gets around."""
    async with Receiver() as receiver:
        await call("PUT", PATH, {"url": receiver.url})
        await call("POST", f"{PATH}/test")
        await deliver(api, allow_private=False)
        assert receiver.ledger == []
    (dead,) = (await call("GET", "/v1/deliveries"))[1]["data"]
    assert (dead["status"], dead["last_detail"]) == ("dead", "address not allowed")


async def test_an_endpoint_that_was_gone_is_back_when_it_is_written_anew(api: Api, call: Caller) -> None:
    """410: shown off and since when, and no test goes there; the very same PUT switches it on again."""
    async with Receiver(answers=(410,)) as receiver:
        body = {"url": receiver.url}
        await call("PUT", PATH, body)
        await call("POST", f"{PATH}/test")
        await deliver(api)
        _, gone = await call("GET", PATH)
        assert (gone["enabled"], gone["gone_at"]) == (False, "2026-01-02T03:04:05.000Z")
        status, problem = await call("POST", f"{PATH}/test")
        assert (status, problem["code"]) == (409, "endpoint_disabled")
        status, back = await call("PUT", PATH, body)
        assert (status, back["enabled"], back["gone_at"]) == (200, True, None)
        assert (await call("POST", f"{PATH}/test"))[0] == 200
        await deliver(api)
        assert len(receiver.ledger) == 2
        receiver.answers.append(410)
        await call("POST", f"{PATH}/test")
        await deliver(api)
        _, off = await call("PUT", PATH, {**body, "enabled": False})
        assert (off["enabled"], off["gone_at"]) == (False, None)


async def test_an_endpoint_that_the_configuration_takes_over_is_its_own(api: Api, call: Caller) -> None:
    """Declared under an id that the API had made: shown as declared, and the API's secrets are forgotten."""
    await call("PUT", "/v1/endpoints/main", BODY)
    await declare(api)
    shown = (await call("GET", "/v1/endpoints/main"))[1]
    assert (shown["source"], shown["url"]) == ("config", "https://declared.example/KEY")
    async with api.world.database.begin() as conn:
        assert all(kept == [] for kept in (await conn.execute(select(endpoint.c.secrets))).scalars())


async def test_lists_of_what_happened_begin_where_they_are_told(api: Api, call: Caller) -> None:
    """updated_after: deliveries by their last change, events by when they were recorded."""
    await call("PUT", PATH, BODY | {"events": ["*"]})
    await record(api)
    since = f"{api.world.clock.now():%Y-%m-%dT%H:%M:%SZ}"
    api.world.clock.advance(seconds=1)
    await record(api)
    events = (await call("GET", "/v1/events"))[1]["data"]
    _, page = await call("GET", f"/v1/events?updated_after={since}")
    assert [e["id"] for e in page["data"]] == [events[1]["id"]]
    _, page = await call("GET", f"/v1/deliveries?updated_after={since}")
    assert [d["event"] for d in page["data"]] == [events[1]["id"]]
    await call("DELETE", PATH)
    _, page = await call("GET", f"/v1/deliveries?updated_after={since}")
    assert [d["event"] for d in page["data"]] == [e["id"] for e in events]


async def test_an_event_recorded_while_its_endpoint_is_removed_is_recorded_all_the_same(api: Api, call: Caller) -> None:
    """Neither waits for the other or fails; what was queued a moment too late is a dead letter, unsent."""
    async with Receiver() as receiver:
        await call("PUT", PATH, {"url": receiver.url})
        stamp = api.world.stamp()
        async with api.world.database.begin() as conn:
            await record_events(conn, [event_of(api, 1)], now=stamp.now, new_id=stamp.new_id)
            assert (await asyncio.wait_for(call("DELETE", PATH), 5))[0] == 204
        await deliver(api)
        assert receiver.ledger == []
    assert await api.world.events() == ["network.stale"]
    (dead,) = (await call("GET", "/v1/deliveries"))[1]["data"]
    assert (dead["status"], dead["last_detail"]) == ("dead", "endpoint removed")
