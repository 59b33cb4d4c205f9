"""Transactions, checkouts and swaps by webhook: the same as over the API, whichever way each comes."""

from typing import Any

import pytest

from tests.integration.api.backend import apply, created, outcomes, post, refusals, say
from tests.integration.api.conftest import Api, Caller
from tests.integration.api.test_retention import find_anywhere, sweeper
from tests.integration.watcher.world import ADDRESS

HASH = "0x" + "ab" * 32
NEEDS: dict[str, Any] = {"needs": [{"asset": "ETH", "amount": "2"}], "gas": {"payer": "other"}}
PRICE: dict[str, Any] = {"price": {"asset": "ETH", "amount": "0.2"}}
WANT: dict[str, Any] = {"want": "0x95aD61b0a150d79219dCF64E1E6Cc01f0B64C4cE", "pay_in": [{"asset": "ETH"}]}
OPENED = (
    ("transaction.proposed", "transactions", NEEDS),
    ("checkout.requested", "checkouts", PRICE),
    ("swap.requested", "swaps", WANT),
)


def body(ask_id: str = "a-1", **own: Any) -> dict[str, Any]:
    return {"id": ask_id, "wallet": "w-1", "network": "local-evm", **own}


@pytest.fixture(autouse=True)
async def registered(call: Caller) -> None:
    await call("PUT", "/v1/wallets/w-1", {"addresses": {"local-evm": ADDRESS}})


@pytest.mark.parametrize(("kind", "path", "own"), OPENED)
async def test_an_ask_by_webhook_is_the_ask_of_the_api(
    api: Api, call: Caller, kind: str, path: str, own: dict[str, Any]
) -> None:
    """The same body over the API finds it there; a revision is no part of it."""
    assert (await post(api, say(kind, **body(**own), revision=3)))[0] == 202
    await apply(api)
    status, shown = await call("GET", f"/v1/{path}/a-1")
    assert (status, shown["id"], shown["status"]) == (200, "a-1", "unknown")
    assert (await call("POST", f"/v1/{path}", body(**own)))[0] == 200
    assert await outcomes(api) == {"msg_1": "applied"}


async def test_what_was_proposed_is_completed_or_cancelled(api: Api, call: Caller) -> None:
    """A second time is no fault; the other end is one, and is told."""
    await post(api, say("transaction.proposed", **body(**NEEDS)), webhook_id="1")
    await post(api, say("checkout.requested", **body(**PRICE)), webhook_id="2")
    await post(api, say("transaction.completed", id="a-1", transaction_hash=HASH), webhook_id="3")
    await post(api, say("checkout.cancelled", id="a-1"), webhook_id="4")
    await post(api, say("transaction.completed", id="a-1"), webhook_id="5")
    await apply(api)
    assert (await call("GET", "/v1/transactions/a-1"))[1]["status"] == "done"
    assert (await call("GET", "/v1/checkouts/a-1"))[1]["status"] == "cancelled"
    assert set((await outcomes(api)).values()) == {"applied"}
    await call("POST", "/v1/checkouts", body("a-2", **PRICE))
    await call("POST", "/v1/checkouts/a-2/complete", {})
    await post(api, say("checkout.cancelled", id="a-2"), webhook_id="6")
    await apply(api)
    (told,) = await refusals(api)
    assert (told["inbound"]["id"], told["errors"][0]["code"]) == ("6", "over")


REFUSED: dict[str, tuple[bytes, str, str]] = {
    "no such wallet": (say("swap.requested", **body(**WANT) | {"wallet": "w-2"}), "/data/wallet", "unknown_wallet"),
    "no such network": (say("swap.requested", **body(**WANT) | {"network": "x"}), "/data/network", "unknown_network"),
    "price 0": (
        say("checkout.requested", **body(price={"asset": "ETH", "amount": "0"})),
        "/data/price/amount",
        "not_positive",
    ),
    "a price that is none": (
        say("checkout.requested", **body(price={"fiat": "usd", "amount": "a few"}, pay_in=["ETH"])),
        "/data/price/amount",
        "not_a_decimal",
    ),
    "an id that is taken": (say("transaction.proposed", **body("taken", **NEEDS)), "/data", "id_reused"),
    "no such transaction": (say("transaction.completed", id="a-9"), "/data/id", "not_found"),
    "no such checkout": (say("checkout.cancelled", id="taken"), "/data/id", "not_found"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_an_ask_that_is_refused_is_told(api: Api, call: Caller, name: str) -> None:
    """With its field, once, and nothing is opened."""
    sent, field, code = REFUSED[name]
    await call("POST", "/v1/transactions", body("taken", needs=[{"asset": "ETH", "amount": "1"}]))
    assert (await post(api, sent))[0] == 202
    await apply(api)
    (told,) = await refusals(api)
    assert [(e["field"], e["code"]) for e in told["errors"]] == [(field, code)]
    assert await outcomes(api) == {"msg_1": "refused"}


@pytest.mark.parametrize(("kind", "path", "own"), OPENED)
async def test_an_ask_of_the_wrong_shape_is_refused_at_once(
    api: Api, kind: str, path: str, own: dict[str, Any]
) -> None:
    """422 with the fields, and nothing is stored."""
    before = await api.counts()
    status, problem = await post(api, say(kind, **body(**own) | {"wallet": 1, "foo": 2}))
    assert status == 422
    assert {e["field"] for e in problem["errors"]} == {"/data/wallet", "/data/foo"}
    assert await api.counts() == before


async def test_a_price_in_fiat_has_its_rate(api: Api, call: Caller) -> None:
    """Looked up when the webhook is applied."""
    await post(api, say("checkout.requested", **body(price={"fiat": "usd", "amount": "0.5"}, pay_in=["ETH"])))
    await apply(api)
    await api.world.observer.refresh_watched()
    await api.world.step()
    _, shown = await call("GET", "/v1/checkouts/a-1")
    (asset,) = shown["bill"]["assets"]
    assert {"price", "rate"} <= {line["what"] for line in asset["lines"]}
    assert next(line["amount"] for line in asset["lines"] if line["what"] == "price") == "0.5"


async def test_an_older_telling_of_an_ask_changes_nothing(api: Api, call: Caller) -> None:
    """What was cancelled stays so, by its higher revision."""
    await post(api, say("checkout.requested", **body(**PRICE), revision=2), webhook_id="1")
    await post(api, say("checkout.cancelled", id="a-1", revision=3), webhook_id="2")
    await post(api, say("checkout.requested", **body(**PRICE), revision=1), webhook_id="3")
    await apply(api)
    assert await outcomes(api) == {"1": "applied", "2": "applied", "3": "outdated"}
    assert (await call("GET", "/v1/checkouts/a-1"))[1]["status"] == "cancelled"


async def test_an_ask_for_a_wallet_that_was_told_just_before_finds_it(api: Api, call: Caller) -> None:
    """Both by webhook, one after the other."""
    await post(api, created("w-2"), webhook_id="1")
    await post(api, say("swap.requested", **body(**WANT) | {"wallet": "w-2"}), webhook_id="2")
    await apply(api)
    assert (await call("GET", "/v1/swaps/a-1"))[1]["status"] == "unknown"


async def test_the_ip_address_of_an_ask_has_its_day_from_when_it_was_sent(api: Api) -> None:
    """Not from when its turn came."""
    await post(api, say("checkout.requested", **body(**PRICE), customer_ip_address="203.0.113.9"))
    api.world.clock.advance(hours=20)
    await apply(api)
    assert await find_anywhere(api, "203.0.113.9") == ["wallet"]
    api.world.clock.advance(hours=4)
    await sweeper(api).prune()
    assert await find_anywhere(api, "203.0.113.9") == []
