"""Webhooks of wallet backends: verified, on disk, answered; then applied once, in order, or told why not."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import AsyncConnection

from config.errors import FieldError
from tests.integration.api.backend import apply, created, outcomes, payloads, post, refusals, say
from tests.integration.api.conftest import OLD_SOURCE_SECRET, OTHER_SOURCE_SECRET, Api, Caller
from tests.integration.api.test_retention import find_anywhere, sweeper
from tests.integration.api.test_store_away import away
from tests.integration.watcher.world import ADDRESS
from tests.nodes.processes import until
from watcher.asks.beforehand import Sources
from watcher.inbound.apply import INBOUND_TASK, Inbound
from watcher.inbound.kinds import KINDS
from watcher.inbound.model import Kind, Subject, Told
from watcher.jobs.engine import JobEngine
from watcher.metrics import Metrics
from watcher.model import NewEvent
from watcher.store.database import conninfo
from watcher.store.wallets import claim_wallet
from watcher.wallet_plan import Refused

__all__ = ["away"]  # a fixture


async def test_an_accepted_webhook_is_on_disk_with_its_job(api: Api, call: Caller) -> None:
    """202 comes once the row and the job that applies it are committed; killed then, it is applied all the same."""
    assert await post(api, created(label="Main")) == (202, {"id": "msg_1", "duplicate": False})
    assert await outcomes(api) == {"msg_1": None}
    assert (await call("GET", "/v1/wallets/w-1"))[0] == 404
    assert await apply(api) == 1
    assert await outcomes(api) == {"msg_1": "applied"}
    assert (await call("GET", "/v1/wallets/w-1"))[1]["label"] == "Main"


async def test_a_webhook_again_is_no_second_effect(api: Api, call: Caller) -> None:
    """The same id and bytes are answered as a duplicate, before they were applied and after, for thirty days."""
    await post(api, created())
    assert await post(api, created()) == (202, {"id": "msg_1", "duplicate": True})
    assert await apply(api) == 1
    await call("PATCH", "/v1/wallets/w-1", {"label": "Changed since"})
    api.world.clock.advance(days=29)
    await sweeper(api).prune()
    assert await post(api, created()) == (202, {"id": "msg_1", "duplicate": True})
    assert await apply(api) == 0
    assert (await call("GET", "/v1/wallets/w-1"))[1]["label"] == "Changed since"


async def test_a_job_that_runs_again_does_nothing_again(api: Api, call: Caller) -> None:
    """A worker that died after the commit is replaced: its webhook is not applied twice."""
    await post(api, created())
    ((_, args),) = await api.world.jobs()
    inbound = Inbound(Sources(api.world.database, api.world.settings), clock=api.world.clock, new_id=api.world.new_id)
    await asyncio.gather(*(inbound.apply_inbound(**args) for _ in range(4)))
    assert (await call("GET", "/v1/wallets/w-1"))[1]["version"] == 1
    await call("DELETE", "/v1/wallets/w-1")
    await inbound.apply_inbound(**args)
    assert (await call("GET", "/v1/wallets/w-1"))[0] == 404


async def test_a_crowd_of_one_webhook_is_one_job(api: Api) -> None:
    """Sent eight times at once: one is new, the others are told so."""
    answers = await asyncio.gather(*(post(api, created()) for _ in range(8)))
    assert sorted(answer["duplicate"] for _, answer in answers) == [False] + [True] * 7
    assert len(await api.world.jobs()) == 1


async def test_an_id_with_other_bytes_is_refused_and_told_once(api: Api, call: Caller) -> None:
    """409 id_reused each time, one event, and the first webhook counts."""
    await post(api, created(label="First"))
    for _ in range(2):
        status, problem = await post(api, created(label="Second"))
        assert (status, problem["code"], problem["errors"][0]["field"]) == (409, "id_reused", "webhook-id")
    (told,) = await refusals(api)
    assert told["inbound"] == {"object": "inbound", "id": "msg_1", "source": "main", "type": "wallet.created"}
    assert told["errors"][0]["code"] == "id_reused"
    await apply(api)
    assert (await call("GET", "/v1/wallets/w-1"))[1]["label"] == "First"
    _, page = await call("GET", "/v1/events")
    assert page["data"][-1]["subject"] == {"object": "inbound", "id": "msg_1"}


async def test_either_of_two_secrets_will_do(api: Api) -> None:
    """So that one can be replaced without a gap."""
    assert (await post(api, created()))[0] == 202
    assert (await post(api, created(), webhook_id="msg_2", secret=OLD_SOURCE_SECRET))[0] == 202


FORGED: dict[str, tuple[dict[str, Any], int, str]] = {
    "another source's secret": ({"secret": OTHER_SOURCE_SECRET}, 401, "no_match"),
    "an expired one": ({"age": timedelta(seconds=301)}, 401, "timestamp_too_old"),
    "one from the future": ({"age": timedelta(seconds=-301)}, 401, "timestamp_in_future"),
    "a changed time": ({"webhook_timestamp": "1"}, 401, "timestamp_too_old"),
    "a changed id": ({"webhook_id": "msg_2", "webhook-id": "msg_1"}, 401, "no_match"),
    "no signature": ({"webhook_signature": ""}, 401, "missing"),
    "a time that is none": ({"webhook_timestamp": "now"}, 401, "malformed"),
    "a source that never was": ({"path": "/webhooks/backend/nobody"}, 404, "not_found"),
    "Stripe's": ({"path": "/webhooks/backend/stripe"}, 404, "not_found"),
    "no source beside several": ({"path": "/webhooks/backend"}, 404, "not_found"),
    "a form": ({"Content_Type": "application/x-www-form-urlencoded"}, 415, "unsupported_media_type"),
    "text": ({"Content_Type": "text/plain"}, 415, "unsupported_media_type"),
    "a compressed one": ({"Content_Encoding": "gzip"}, 415, "unsupported_encoding"),
    "an id with spaces": ({"webhook_id": "msg 1"}, 422, "invalid_request"),
}


@pytest.mark.parametrize("name", FORGED)
async def test_what_is_not_from_a_backend_changes_nothing(api: Api, name: str) -> None:
    """Forged, expired, dated ahead, not JSON by its own words: a problem that says which, and no row."""
    changes, status, code = FORGED[name]
    before = await api.counts()
    answered, problem = await post(api, created(), **changes)
    assert (answered, problem["code"]) == (status, code)
    assert await api.counts() == before


async def test_a_replay_is_refused_once_it_is_old(api: Api) -> None:
    """Within five minutes it is a duplicate, later it is too old: never a second effect."""
    await post(api, created())
    assert (await post(api, created(), age=timedelta(minutes=5)))[1]["duplicate"]
    assert (await post(api, created(), age=timedelta(minutes=5, seconds=1)))[0] == 401


SHAPES: dict[str, tuple[bytes, int, str | None]] = {
    "not JSON": (b"{", 400, None),
    "a key twice": (b'{"type": "wallet.removed", "type": "wallet.created"}', 400, None),
    "no type": (b'{"data": {}}', 422, "/type"),
    "a type that is no text": (b'{"type": 1, "data": {}}', 422, "/type"),
    "not an object": (b"[]", 422, ""),
    "no data": (b'{"type": "wallet.created"}', 422, "/data"),
    "data that is no object": (b'{"type": "wallet.created", "data": []}', 422, "/data"),
    "a revision in the wrong place": (
        b'{"type": "wallet.removed", "data": {"id": "w-1"}, "revision": 1}',
        422,
        "/revision",
    ),
    "no id": (say("wallet.removed"), 422, "/data/id"),
    "a bad id": (say("wallet.removed", id="a b"), 422, "/data/id"),
    "no addresses": (say("wallet.created", id="w-1"), 422, "/data/addresses"),
    "a flag as text": (created(notify="yes"), 422, "/data/notify"),
    "an unknown field": (created(foo=1), 422, "/data/foo"),
    "more than an id": (say("wallet.removed", id="w-1", label="x"), 422, "/data/label"),
    "a revision as text": (created(revision="1"), 422, "/data/revision"),
    "a revision with a fraction": (created(revision=1.5), 422, "/data/revision"),
    "a revision below zero": (created(revision=-1), 422, "/data/revision"),
    "a revision beyond all": (created(revision=2**63), 422, "/data/revision"),
    "a fraction deep inside": (
        created(funding=[{"when": "low", "trigger": 0.5}]),
        422,
        "/data/funding/0/trigger",
    ),
    "a patch with a wrong value": (say("wallet.updated", id="w-1", asks={"paused_until": "soon"}), 422, "/data/asks"),
    "a patch with an unknown field": (say("wallet.updated", id="w-1", foo=None, bar=1), 422, "/data/bar"),
    "a patch without an id": (say("wallet.updated", id=None), 422, "/data/id"),
}


@pytest.mark.parametrize("name", SHAPES)
async def test_a_wrong_shape_is_refused_at_once(api: Api, name: str) -> None:
    """4xx that names the field, and nothing is stored: sent again in the right shape, it counts."""
    body, status, field = SHAPES[name]
    before = await api.counts()
    answered, problem = await post(api, body)
    assert answered == status
    if field is not None:
        assert any(error["field"].startswith(field) for error in problem["errors"])
    assert await api.counts() == before
    assert (await post(api, created()))[0] == 202


async def test_what_a_sender_puts_beside_is_no_fault(api: Api) -> None:
    """Standard Webhooks' own payload has a timestamp; others add an id."""
    body = {"type": "wallet.removed", "id": "evt_9", "timestamp": "2026-01-01T00:00:00Z", "data": {"id": "w-1"}}
    assert (await post(api, json.dumps(body).encode()))[0] == 202


async def test_an_unknown_type_is_kept_ignored_and_counted(api: Api) -> None:
    """202, so that a backend may send all it has; nothing of its data is kept."""
    assert (await post(api, say("invoice.paid", customer_ip_address="203.0.113.9", amount=1.5)))[0] == 202
    assert (await post(api, say("invoice.paid", customer_ip_address="203.0.113.9", amount=1.5)))[1]["duplicate"]
    assert await outcomes(api) == {"msg_1": "ignored"}
    assert await payloads(api) == [{"type": "invoice.paid"}]
    assert await api.world.jobs() == []
    async with api.http.get(api.url + "/metrics") as answer:
        assert 'topup_inbound_ignored_total{source="main"} 1.0' in await answer.text()


async def test_a_wallets_life_told_by_webhooks(api: Api, call: Caller) -> None:
    """Created as by PUT, changed as by PATCH, removed as by DELETE."""
    await post(api, created(label="Main", metadata={"a": "1"}), webhook_id="1")
    await post(api, say("wallet.updated", id="w-1", label=None, metadata={"b": "2"}), webhook_id="2")
    await apply(api)
    _, wallet = await call("GET", "/v1/wallets/w-1")
    assert (wallet["label"], wallet["metadata"], wallet["version"]) == (None, {"a": "1", "b": "2"}, 2)
    await post(api, say("wallet.removed", id="w-1"), webhook_id="3")
    await apply(api)
    assert (await call("GET", "/v1/wallets/w-1"))[0] == 404
    assert set((await outcomes(api)).values()) == {"applied"}


REFUSED: dict[str, tuple[bytes, str, str]] = {
    "a wrong checksum": (
        say("wallet.created", id="w-2", addresses={"local-evm": ADDRESS[:-1] + "1"}),
        "/data/addresses/local-evm",
        "bad_checksum",
    ),
    "an unknown user": (created("w-2", user="nobody"), "/data/user", "unknown_user"),
    "another address": (
        say("wallet.created", id="w-1", addresses={"local-evm": ADDRESS.lower()[:-1] + "1"}),
        "/data/addresses/local-evm",
        "address_is_set",
    ),
    "a wallet that isn't there": (say("wallet.updated", id="w-2", label="x"), "/data/id", "not_found"),
    "a patch that leaves no address": (
        say("wallet.updated", id="w-1", addresses=None),
        "/data/addresses",
        "required",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_refused_later_is_told(api: Api, call: Caller, name: str) -> None:
    """One inbound.refused with the field and the reason; the job is over, and nothing else was changed."""
    body, field, code = REFUSED[name]
    await call("PUT", "/v1/wallets/w-1", {"addresses": {"local-evm": ADDRESS}})
    _, before = await call("GET", "/v1/wallets")
    assert (await post(api, body))[0] == 202
    assert await apply(api) == 1
    assert await outcomes(api) == {"msg_1": "refused"}
    (told,) = await refusals(api)
    assert (told["inbound"]["id"], told["inbound"]["source"]) == ("msg_1", "main")
    assert [(e["field"], e["code"]) for e in told["errors"]] == [(field, code)]
    assert await api.world.jobs() == []
    assert (await call("GET", "/v1/wallets"))[1] == before


async def test_a_refused_webhook_does_not_count_as_heard(api: Api, call: Caller) -> None:
    """Its revision is still free: sent again once the fault is mended, it is applied."""
    await post(api, created(user="u-1", revision=5), webhook_id="1")
    await apply(api)
    await call("PUT", "/v1/users/u-1", {})
    await post(api, created(user="u-1", revision=5), webhook_id="2")
    await apply(api)
    assert await outcomes(api) == {"1": "refused", "2": "applied"}


async def test_a_lower_revision_is_ignored_whatever_its_type(api: Api, call: Caller) -> None:
    """Over created, updated and removed alike; another wallet and another tenant count for themselves."""
    await post(api, created(revision=7, label="Seven"), webhook_id="1")
    await post(api, say("wallet.updated", id="w-1", label="Six", revision=6), webhook_id="2")
    await post(api, say("wallet.removed", id="w-1", revision=7), webhook_id="3")
    await post(api, created(revision=3, label="Three"), webhook_id="4")
    await post(api, created("w-2", revision=1), webhook_id="5")
    theirs = "/webhooks/backend/theirs"
    await post(api, created(revision=1), webhook_id="6", secret=OTHER_SOURCE_SECRET, path=theirs)
    await apply(api)
    assert await outcomes(api) == {
        **dict.fromkeys(("1", "5", "6"), "applied"),
        **dict.fromkeys(("2", "3", "4"), "outdated"),
    }
    assert (await call("GET", "/v1/wallets/w-1"))[1]["label"] == "Seven"


async def test_each_tenant_writes_its_own(api: Api, call: Caller) -> None:
    """The source says whose it is: the same id is two wallets."""
    stranger = await api.caller("other")
    await post(api, created(), secret=OTHER_SOURCE_SECRET, path="/webhooks/backend/theirs")
    await apply(api)
    assert (await call("GET", "/v1/wallets/w-1"))[0] == 404
    assert (await stranger("GET", "/v1/wallets/w-1"))[0] == 200


async def work(api: Api, url: str, *, stumbling: set[str]) -> None:
    """Run the jobs as the daemon does, until all are done; those named fail at their first try."""
    inbound = Inbound(Sources(api.world.database, api.world.settings), clock=api.world.clock, new_id=api.world.new_id)

    async def stumble(**args: str) -> None:
        if args["inbound_id"] in stumbling:
            stumbling.remove(args["inbound_id"])
            raise RuntimeError("the first time always fails")
        await inbound.apply_inbound(**args)

    async def all_handled() -> bool:
        return None not in (await outcomes(api)).values()

    engine = JobEngine(conninfo(url), {INBOUND_TASK: stumble}, name="test", metrics=Metrics(CollectorRegistry()))
    running = asyncio.create_task(engine.run())
    await until(all_handled, seconds=30, what="every webhook handled")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_webhooks_of_one_wallet_are_applied_in_the_order_of_their_coming(
    api: Api, call: Caller, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixteen workers, three wallets, each with a first webhook that fails once: no later one overtakes it."""
    monkeypatch.setattr("watcher.jobs.engine.POLL_SECONDS", 0.05)
    wallets = ("w-1", "w-2", "w-3")
    for number in range(4):
        for wallet in wallets:
            await post(api, created(wallet, label=f"{number}"), webhook_id=f"{wallet}:{number}")
            await post(api, say("wallet.removed", id=wallet), webhook_id=f"{wallet}:{number}:gone")
    for wallet in wallets:
        await post(api, created(wallet, label="last"), webhook_id=f"{wallet}:last")
    await work(api, database_url, stumbling={f"{wallet}:0" for wallet in wallets})
    assert set((await outcomes(api)).values()) == {"applied"}
    for wallet in wallets:
        _, shown = await call("GET", f"/v1/wallets/{wallet}")
        assert (shown["label"], shown["version"]) == ("last", 9)


async def test_what_needs_an_earlier_one_waits_for_it(
    api: Api, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A webhook about another thing that is refused only because its wallet is still on the way is tried again."""

    async def need_wallet(conn: AsyncConnection, told: Told) -> list[NewEvent]:
        if await claim_wallet(conn, told.tenant.id, "w-1") is None:
            raise Refused([FieldError("/wallet", "not_found", "is no wallet")])
        return []

    kinds = {**KINDS, "probe.sent": Kind("probe", Subject, need_wallet)}
    monkeypatch.setattr("watcher.inbound.apply.KINDS", kinds)
    monkeypatch.setattr("watcher.api.webhooks_backend.KINDS", kinds)
    await post(api, created(), webhook_id="1")
    await post(api, say("probe.sent", id="p-1"), webhook_id="2")
    await work(api, database_url, stumbling={"1"})
    assert await outcomes(api) == {"1": "applied", "2": "applied"}


async def test_an_ip_address_is_not_kept_with_the_webhook(api: Api) -> None:
    """Handled: what stays is the type and the thing. Not handled for a day: the address is taken out."""
    await post(api, created(customer_ip_address="203.0.113.9"))
    await apply(api)
    assert await payloads(api) == [{"type": "wallet.created", "object": "wallet", "id": "w-1"}]
    assert await find_anywhere(api, "203.0.113.9") == ["wallet"]
    await post(api, created("w-2", customer_ip_address="203.0.113.10"), webhook_id="msg_2")
    api.world.clock.advance(hours=24)
    await sweeper(api).prune()
    assert await find_anywhere(api, "203.0.113") == []
    await apply(api)
    assert await outcomes(api) == {"msg_1": "applied", "msg_2": "applied"}


async def test_an_ip_address_that_waited_is_forgotten_a_day_after_it_came(api: Api) -> None:
    """The day begins when it was sent, not when the webhook's turn came."""
    await post(api, created(customer_ip_address="203.0.113.9"))
    api.world.clock.advance(hours=20)
    await apply(api)
    assert await find_anywhere(api, "203.0.113.9") == ["wallet"]
    api.world.clock.advance(hours=4)
    await sweeper(api).prune()
    assert await find_anywhere(api, "203.0.113.9") == []


async def test_without_a_store_no_webhook_is_accepted(api: Api, away: Caller) -> None:
    """503, never a 202 for what is not on disk."""
    elsewhere = Api(api.world, api.http, away.url, api.seconds)
    status, problem = await post(elsewhere, created())
    assert (status, problem["code"]) == (503, "store_unavailable")
