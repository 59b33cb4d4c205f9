"""Idempotency keys and scripted faults, as Stripe documents the one and as the ledger must tell the other."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from notifier.sandbox.server import SandboxOptions, open_sandbox
from tests.integration.sandbox.conftest import TOP_UP, StripeClient


async def count_sessions(stripe: StripeClient) -> int:
    _, listed, _ = await stripe.get(limit="100")
    return len(listed["data"])


async def test_same_key_same_answer(stripe: StripeClient) -> None:
    """A repetition replays status and body, says so in a header, and makes nothing."""
    first = await stripe.create(TOP_UP, key="tu_1:1")
    reordered = dict(reversed(list(TOP_UP.items())))
    again = await stripe.create(reordered, key="tu_1:1")

    assert first[:2] == again[:2]
    assert "Idempotent-Replayed" not in first[2]
    assert again[2]["Idempotent-Replayed"] == "true"
    assert await count_sessions(stripe) == 1


async def test_other_parameters_under_a_key(stripe: StripeClient) -> None:
    """One key, two bodies: `idempotency_error`, and the first session stands."""
    await stripe.create(TOP_UP, key="tu_1:1")
    status, body, _ = await stripe.create({**TOP_UP, "destination_amount": "0.6"}, key="tu_1:1")
    assert (status, body["error"]["type"]) == (400, "idempotency_error")
    assert await count_sessions(stripe) == 1


async def test_a_key_belongs_to_its_account(stripe: StripeClient) -> None:
    """Two accounts may use one key."""
    other = StripeClient(stripe.url, stripe.http, key="sk_test_other")
    first, second = await stripe.create(TOP_UP, key="k"), await other.create(TOP_UP, key="k")
    assert first[1]["id"] != second[1]["id"]


async def test_refused_parameters_are_not_stored(stripe: StripeClient) -> None:
    """After a refusal the same key may be used with a repaired body."""
    status, _, _ = await stripe.create({**TOP_UP, "destination_amount": "0"}, key="k")
    assert status == 400
    status, _, headers = await stripe.create(TOP_UP, key="k")
    assert status == 200
    assert "Idempotent-Replayed" not in headers


@pytest.mark.parametrize(("length", "status"), [(255, 200), (256, 400)])
async def test_length_of_a_key(stripe: StripeClient, length: int, status: int) -> None:
    """255 characters at most."""
    answer = await stripe.create(TOP_UP, key="k" * length)
    assert answer[0] == status


@pytest.fixture
async def slow(http: aiohttp.ClientSession) -> AsyncIterator[StripeClient]:
    async with open_sandbox(SandboxOptions("127.0.0.1", 0, create_seconds=0.3)) as url:
        yield StripeClient(url, http)


async def test_two_at_once(slow: StripeClient) -> None:
    """While the first is at work the second is 409; later it is the replay."""
    answers = await asyncio.gather(*(slow.create(TOP_UP, key="k") for _ in range(3)))

    assert sorted(a[0] for a in answers) == [200, 409, 409]
    refused = next(a[1] for a in answers if a[0] == 409)
    assert refused["error"]["code"] == "idempotency_key_in_use"
    status, _, headers = await slow.create(TOP_UP, key="k")
    assert (status, headers["Idempotent-Replayed"]) == (200, "true")
    assert await count_sessions(slow) == 1


async def test_429_passes(stripe: StripeClient) -> None:
    """Nothing is made or stored: the same key succeeds afterwards."""
    await stripe.control("/faults", {"on": "create", "kind": "429", "times": 2})
    statuses = [(await stripe.create(TOP_UP, key="k"))[0] for _ in range(3)]
    assert statuses == [429, 429, 200]


async def test_disabled(stripe: StripeClient) -> None:
    """Minting switched off is a 400 of type api_error, and passes."""
    await stripe.control("/faults", {"on": "create", "kind": "disabled"})
    status, body, _ = await stripe.create(TOP_UP, key="k")
    assert (status, body["error"]["type"], body["error"]["code"]) == (400, "api_error", "crypto_onramp_disabled")
    assert (await stripe.create(TOP_UP, key="k"))[0] == 200


async def test_500_is_stored(stripe: StripeClient) -> None:
    """A 500 is replayed for ever under its key, and has made nothing."""
    await stripe.control("/faults", {"on": "create", "kind": "500"})
    answers = [await stripe.create(TOP_UP, key="k") for _ in range(2)]
    assert [a[0] for a in answers] == [500, 500]
    assert answers[1][2]["Idempotent-Replayed"] == "true"
    assert await count_sessions(stripe) == 0
    assert (await stripe.create(TOP_UP, key="k2"))[0] == 200


async def test_500_after_effect(stripe: StripeClient) -> None:
    """The session exists although every answer under its key is a 500; list and ledger show it."""
    await stripe.control("/faults", {"on": "create", "kind": "500_after_effect"})
    answers = [await stripe.create(TOP_UP, key="k") for _ in range(2)]
    assert [a[0] for a in answers] == [500, 500]
    _, listed, _ = await stripe.get()
    (session,) = listed["data"]
    assert session["metadata"] == {"top_up": "tu_1"}
    first, second, *_ = await stripe.ledger()
    assert (first["session"], second["session"], second["replayed"]) == (session["id"], session["id"], True)


async def test_answer_that_never_comes(stripe: StripeClient) -> None:
    """The session is made, its answer is lost, and the key gives it."""
    await stripe.control("/faults", {"on": "create", "kind": "timeout_after_effect"})
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await stripe.create(TOP_UP, key="k")
    status, body, headers = await stripe.create(TOP_UP, key="k")
    assert (status, headers["Idempotent-Replayed"]) == (200, "true")
    _, listed, _ = await stripe.get()
    assert [s["id"] for s in listed["data"]] == [body["id"]]


@pytest.mark.parametrize("operation", ["retrieve", "list"])
@pytest.mark.parametrize(("kind", "expected"), [("429", 429), ("500", 500)])
async def test_faults_of_reads(stripe: StripeClient, operation: str, kind: str, expected: int) -> None:
    """Reads fail as told, once, and only the operation named."""
    session = await stripe.session()
    await stripe.control("/faults", {"on": operation, "kind": kind})
    path = "/" + session["id"] if operation == "retrieve" else ""
    assert [(await stripe.get(path))[0] for _ in range(2)] == [expected, 200]


@pytest.mark.parametrize(
    "order",
    [
        {},
        {"on": "pay", "kind": "500"},
        {"on": "create", "kind": "501"},
        {"on": "create", "kind": "500", "times": 0},
        [],
    ],
)
async def test_bad_fault(stripe: StripeClient, order: object) -> None:
    """A fault that does not exist is refused by name."""
    status, body = await stripe.control("/faults", order)
    assert status == 400
    assert body["error"]["message"]


async def test_ledger(stripe: StripeClient) -> None:
    """Every request stands in order with key, parameters and outcome; nothing that is a secret does."""
    session = await stripe.session()
    await stripe.create({"colour": "red"}, key="k")
    await stripe.get("/" + session["id"])
    await stripe.get()
    await stripe.create(TOP_UP, headers={})

    entries = await stripe.ledger()
    assert [(e["operation"], e["status"], e["code"]) for e in entries] == [
        ("create", 200, None),
        ("create", 400, "parameter_unknown"),
        ("retrieve", 200, None),
        ("list", 200, None),
        ("create", 401, None),
    ]
    assert entries[0]["session"] == session["id"]
    assert entries[0]["params"]["metadata"] == {"top_up": "tu_1"}
    assert entries[1]["idempotency_key"] == "k"
    assert "sk_test" not in str(entries)
    assert session["client_secret"] not in str(entries)
    assert session["redirect_url"] not in str(entries)
