"""Asks over the API: judged by the loop, one open top-up a holding, whatever wants it."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, update

from chains.model import Holding
from config.model import Level
from notifier.model import SessionStatus
from tests.fakes.settings import ETH, EVM, SHIB, USDC, make_network, make_policy, make_settings, make_tenant, make_token
from tests.integration.api.conftest import Api, Caller, serve
from tests.integration.watcher.test_asking import TRANSACTION, Asking
from tests.integration.watcher.world import ADDRESS, ETH_HOLDING
from watcher.store.database import Database
from watcher.store.tables import app_user, network_status, wallet

USDC_HOLDING = Holding(EVM, USDC, ADDRESS)
SHIB_HOLDING = Holding(EVM, SHIB, ADDRESS)
DOLLAR = 10**6
GAS = 65_000
"""Base units of a typical transaction on the fake chain, where a unit of gas costs one."""
LOTS = "1" + "0" * 36
OTHER = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
COMMON = {"id": "a-1", "wallet": "w-1", "network": "local-evm"}
TRANSFER = {"id": "tx-1", "wallet": "w-1", "network": "local-evm", "needs": [{"asset": "USDC", "amount": "10"}]}


@pytest.fixture
async def api(database: Database, tmp_path: Path) -> AsyncIterator[Api]:
    """One wallet without levels; ETH and USDC are sold, SHIB is not. The gas buffer is two typical transactions."""
    network = make_network()
    tokens = (make_token(), make_token(SHIB, "SHIB", us=False, eu=False))
    network = replace(network, assets=(*network.assets, *tokens))
    policy = make_policy(low=(), gas_buffer=Level(transactions=2))
    settings = make_settings(tmp_path, network=network, tenant=make_tenant(policies={"default": policy}))
    settings = replace(settings, tenants={**settings.tenants, "other": replace(make_tenant(), id="other")})
    world = Asking(database, settings)
    await world.start()
    async with serve(world) as served:
        await world.register()
        await world.step()
        yield served


async def step(api: Api, balances: Mapping[Holding, int] | None = None) -> None:
    await api.world.observer.refresh_watched()
    await api.world.step(balances)


async def test_a_head_from_before_the_proposal_says_nothing_of_it(api: Api, call: Caller) -> None:
    """Money that came just before is not asked for again: the ask waits for a look that began after it."""
    api.world.chain.looked_at = api.world.clock.now() - timedelta(seconds=1)
    await call("POST", "/v1/transactions", TRANSFER)
    await step(api)
    assert (await get(call, "tx-1"))["status"] == "unknown"
    assert await api.world.top_ups() == []
    api.world.chain.looked_at = api.world.clock.now()
    await step(api, {USDC_HOLDING: 10 * DOLLAR, ETH_HOLDING: ETH})
    assert (await get(call, "tx-1"))["status"] == "covered"


async def propose(api: Api, call: Caller, body: dict[str, Any], kind: str = "transaction") -> Any:
    """The ask as the next step leaves it."""
    status, answer = await call("POST", f"/v1/{kind}s", body)
    assert status == 201, answer
    assert answer["status"] in ("unknown", "not_funds")
    await step(api)
    return await get(call, body["id"], kind)


async def get(call: Caller, id_: str = "tx-1", kind: str = "transaction") -> Any:
    status, answer = await call("GET", f"/v1/{kind}s/{id_}")
    assert status == 200
    return answer


async def asked(api: Api) -> dict[str, str | None]:
    """What is asked for in each open top-up, by asset."""
    shown: dict[str, str | None] = {}
    for ask in await api.world.top_ups():
        if ask.status == "open":
            assert ask.destinations[0].symbol not in shown
            shown[ask.destinations[0].symbol] = None if ask.asked is None else str(ask.asked)
    return shown


async def pay(api: Api, symbol: str, brings: Mapping[Holding, int]) -> None:
    """Pay the open top-up for this asset, and have it arrive."""
    world = api.world
    assert isinstance(world, Asking)
    await world.work()
    ask = next(t for t in await world.top_ups() if t.status == "open" and t.destinations[0].symbol == symbol)
    session = next(s for s in world.onramp.sessions.values() if s.metadata["top_up"] == ask.id)
    number = len(world.chain.receipts)
    transaction = TRANSACTION[:-1] + str(number)
    world.onramp.become(session.id, SessionStatus.FULFILLMENT_COMPLETE, transaction=transaction)
    await world.follower.look_at_session(ask.id)
    ((holding, amount),) = brings.items()
    world.chain.receipts[transaction, holding] = ask.asked or 1
    await step(api, {holding: amount})


async def test_token_and_gas_are_asked_for_together_gas_first(api: Api, call: Caller) -> None:
    """Missing is what is stated, plus gas and buffer, less the balance; two top-ups in one group, gas first."""
    await step(api, {USDC_HOLDING: 3_100_000})
    found = await propose(api, call, TRANSFER)
    assert found["status"] == "short"
    usdc, eth = found["bill"]["assets"]
    assert (usdc["needed"], usdc["balance"], usdc["missing"], usdc["asked"]) == ("10", "3.1", "6.9", "6.9")
    assert usdc["landed_when"] == {"balance_at_least": "10"}
    assert [(line["what"], line["amount"]) for line in eth["lines"]] == [
        ("gas", "0.000000000000065"),
        ("buffer", "0.00000000000013"),
    ]
    assert eth["missing"] == eth["asked"] == "0.000000000000195"
    first, second = found["top_ups"]
    assert [t["destinations"][0]["asset"] for t in (first, second)] == ["ETH", "USDC"]
    assert first["group"] == second["group"]
    assert first["for"] == second["for"] == [{"object": "transaction", "id": "tx-1"}]
    assert await api.world.events() == ["top_up.opened", "top_up.opened", "transaction.short"]


async def test_gas_paid_by_another_is_not_asked_for(api: Api, call: Caller) -> None:
    """A sponsored transaction needs the token alone."""
    await propose(api, call, {**TRANSFER, "gas": {"payer": "other"}})
    assert await asked(api) == {"USDC": str(10 * DOLLAR)}


async def test_a_stated_fee_is_used_as_it_is(api: Api, call: Caller) -> None:
    """Gas limit times the caller's own maximum, and the value, in one coin."""
    native = {**TRANSFER, "needs": [{"asset": "ETH", "amount": "1"}], "gas": {"limit": 100, "max_fee_per_gas": "7"}}
    found = await propose(api, call, native)
    (eth,) = found["bill"]["assets"]
    assert [line["what"] for line in eth["lines"]] == ["required", "gas", "buffer"]
    assert await asked(api) == {"ETH": str(ETH + 700 + 2 * GAS)}


async def test_what_is_there_already_is_covered_and_nothing_is_asked(api: Api, call: Caller) -> None:
    """Balance for both: covered, no top-up; and a fall afterwards is not asked for any more."""
    await step(api, {USDC_HOLDING: 10 * DOLLAR, ETH_HOLDING: ETH})
    found = await propose(api, call, TRANSFER)
    assert (found["status"], found["top_ups"]) == ("covered", [])
    await step(api, {USDC_HOLDING: 0})
    assert (await get(call))["status"] == "covered"
    assert await api.world.top_ups() == []


async def test_from_short_to_landed_it_is_covered(api: Api, call: Caller) -> None:
    """Paid and arrived: both top-ups land, the ask is covered once, and says what it received."""
    await propose(api, call, TRANSFER)
    await pay(api, "ETH", {ETH_HOLDING: 3 * GAS})
    assert (await get(call))["status"] == "short"
    await pay(api, "USDC", {USDC_HOLDING: 10 * DOLLAR})
    found = await get(call)
    assert found["status"] == "covered"
    assert sorted(entry["asset"] for entry in found["received"]) == ["ETH", "USDC"]
    assert {t["status"] for t in found["top_ups"]} == {"landed"}
    assert (await api.world.events()).count("transaction.covered") == 1
    status, done = await call("POST", "/v1/transactions/tx-1/complete", {"transaction_hash": TRANSACTION})
    assert (status, done["status"], done["transaction_hash"]) == (200, "done", TRANSACTION)
    assert (await api.world.events())[-1] == "transaction.done"


async def test_a_need_that_an_open_top_up_covers_joins_it(api: Api, call: Caller) -> None:
    """The first asks for 100 rounded up to the minimum of nothing; a second that the balance leaves room for joins."""
    await step(api, {ETH_HOLDING: ETH})
    await propose(api, call, {**TRANSFER, "needs": [{"asset": "USDC", "amount": "100"}]})
    await step(api, {USDC_HOLDING: 95 * DOLLAR})
    found = await propose(api, call, {**TRANSFER, "id": "tx-2", "needs": [{"asset": "USDC", "amount": "40"}]})
    assert await asked(api) == {"USDC": str(100 * DOLLAR)}
    (ask,) = await api.world.top_ups()
    assert found["status"] == "short"
    assert [t["id"] for t in found["top_ups"]] == [ask.id]
    assert [line["what"] for line in found["bill"]["assets"][0]["lines"]] == ["required", "other_asks"]
    assert found["bill"]["assets"][0]["missing"] == "45"


async def test_a_need_that_is_not_covered_supersedes_while_unpaid(api: Api, call: Caller) -> None:
    """10 open, 5 more: one top-up of 15 in its place, for both."""
    await step(api, {ETH_HOLDING: ETH})
    await propose(api, call, TRANSFER)
    await propose(api, call, {**TRANSFER, "id": "tx-2", "needs": [{"asset": "USDC", "amount": "5"}]})
    old, new = await api.world.top_ups()
    assert (old.status, old.superseded_by, new.asked) == ("superseded", new.id, 15 * DOLLAR)
    shown = (await get(call, "tx-2"))["top_ups"]
    assert shown[-1]["for"] == [{"object": "transaction", "id": i} for i in ("tx-1", "tx-2")]
    assert "top_up.superseded" in await api.world.events()
    await step(api)
    await step(api)
    assert len(await api.world.top_ups()) == 2


async def test_money_on_its_way_counts(api: Api, call: Caller) -> None:
    """10 paid and not there yet: a need of 4 more asks for 4, not for 14; and never a second time for the 10."""
    await step(api, {ETH_HOLDING: ETH})
    await propose(api, call, TRANSFER)
    world = api.world
    assert isinstance(world, Asking)
    await world.work()
    (ask,) = await world.top_ups()
    world.onramp.become("cos_1", SessionStatus.FULFILLMENT_PROCESSING)
    await world.follower.look_at_session(ask.id)
    await step(api)
    found = await propose(api, call, {**TRANSFER, "id": "tx-2", "needs": [{"asset": "USDC", "amount": "4"}]})
    assert await asked(api) == {"USDC": str(4 * DOLLAR)}
    assert found["bill"]["assets"][0]["in_flight"] == "10"


async def test_a_cancelled_ask_withdraws_what_was_for_it_alone(api: Api, call: Caller) -> None:
    """Two needs in one top-up: with one gone it is asked for less, with both nothing."""
    await step(api, {ETH_HOLDING: ETH})
    await propose(api, call, TRANSFER)
    await propose(api, call, {**TRANSFER, "id": "tx-2", "needs": [{"asset": "USDC", "amount": "5"}]})
    status, gone = await call("POST", "/v1/transactions/tx-1/cancel")
    assert (status, gone["status"]) == (200, "cancelled")
    await step(api)
    assert await asked(api) == {"USDC": str(5 * DOLLAR)}
    assert (await call("POST", "/v1/transactions/tx-2/cancel"))[0] == 200
    assert await asked(api) == {}
    assert (await api.world.top_ups())[-1].status == "retracted"
    assert (await call("POST", "/v1/transactions/tx-2/complete", {}))[0] == 409
    assert (await call("POST", "/v1/transactions/tx-2/cancel"))[0] == 200


async def test_an_ask_expires_and_takes_its_top_up_with_it(api: Api, call: Caller) -> None:
    """24 hours by default."""
    await propose(api, call, TRANSFER)
    api.world.clock.advance(hours=24, seconds=1)
    world = api.world
    assert isinstance(world, Asking)
    await world.sweeper.expire_asks()
    assert (await get(call))["status"] == "expired"
    assert {t.status for t in await world.top_ups()} == {"retracted"}
    await step(api)
    assert await asked(api) == {}


async def test_what_is_not_sold_is_no_reason_to_buy_the_gas(api: Api, call: Caller) -> None:
    """A token that Stripe does not sell is missing: not_funds, with what is sold instead, and no top-up at all."""
    found = await propose(api, call, {**TRANSFER, "needs": [{"asset": "SHIB", "amount": "10"}]})
    assert (found["status"], found["reason"]["code"]) == ("not_funds", "not_sold_here")
    assert found["reason"]["alternatives"][0] == {"network": "local-evm", "asset": "ETH"}
    assert await asked(api) == {}
    await step(api, {SHIB_HOLDING: 10 * DOLLAR})
    assert (await get(call))["status"] == "short"
    assert await asked(api) == {"ETH": str(3 * GAS)}
    assert [e for e in await api.world.events() if e.startswith("transaction")] == [
        "transaction.not_funds",
        "transaction.short",
    ]


async def test_a_level_and_an_ask_share_one_top_up(api: Api, call: Caller) -> None:
    """The larger of what the levels and what the asks want, and the bill says so."""
    low = {"when": "low", "network": "local-evm", "asset": "USDC", "trigger": "20", "target": "50"}
    await api.world.register(funding=[low])
    await step(api, {USDC_HOLDING: 10 * DOLLAR, ETH_HOLDING: ETH})
    assert await asked(api) == {"USDC": str(40 * DOLLAR)}
    await propose(api, call, {**TRANSFER, "needs": [{"asset": "USDC", "amount": "45"}]})
    assert await asked(api) == {"USDC": str(40 * DOLLAR)}
    await propose(api, call, {**TRANSFER, "id": "tx-2", "needs": [{"asset": "USDC", "amount": "100"}]})
    assert await asked(api) == {"USDC": str(135 * DOLLAR)}
    (_, ask) = await api.world.top_ups()
    assert [line["what"] for line in (ask.bill or {})["assets"][0]["lines"]] == ["required", "required"]


async def test_the_same_body_is_the_same_ask(api: Api, call: Caller) -> None:
    """200 and nothing new; another body under its id is 409."""
    await propose(api, call, TRANSFER)
    status, again = await call("POST", "/v1/transactions", TRANSFER)
    assert (status, again["version"]) == (200, 2)
    status, problem = await call("POST", "/v1/transactions", {**TRANSFER, "notify": False})
    assert (status, problem["code"]) == (409, "id_reused")
    assert len(await api.world.top_ups()) == 2


async def test_while_the_network_is_stale_it_is_neither_yes_nor_no(api: Api, call: Caller) -> None:
    """Unknown, and nothing is opened; what was short before is unknown meanwhile."""
    await propose(api, call, TRANSFER)
    async with api.world.database.begin() as conn:
        await conn.execute(update(network_status).values(fresh=False))
    assert (await get(call))["status"] == "unknown"
    status, found = await call("POST", "/v1/transactions", {**TRANSFER, "id": "tx-2"})
    assert (status, found["status"], found["bill"]) == (201, "unknown", None)


async def test_a_refused_person_is_not_asked_again_for_the_same(api: Api, call: Caller) -> None:
    """A top-up withdrawn by the backend ends the asking for that ask, not the ask."""
    await step(api, {ETH_HOLDING: ETH})
    await propose(api, call, TRANSFER)
    (ask,) = await api.world.top_ups()
    assert (await call("POST", f"/v1/top-ups/{ask.id}/cancel"))[0] == 200
    await step(api)
    await step(api)
    assert await asked(api) == {}
    assert (await get(call))["status"] == "short"


async def test_preflight_says_how_it_would_stand_and_opens_nothing(api: Api, call: Caller) -> None:
    """The same bill, id null, and not a row more."""
    await step(api, {USDC_HOLDING: 3_100_000})
    before = await api.counts()
    body = {name: value for name, value in TRANSFER.items() if name != "id"}
    status, found = await call("POST", "/v1/preflight", {"transaction": body})
    assert (status, found["id"], found["status"]) == (200, None, "short")
    assert [a["missing"] for a in found["bill"]["assets"]] == ["6.9", "0.000000000000195"]
    assert await api.counts() == before
    status, found = await call("POST", "/v1/preflight", {"transaction": TRANSFER})
    assert (status, found["errors"][0]["field"]) == (422, "/transaction/id")


async def test_a_checkout_for_the_whole_price_lands_when_it_arrives(api: Api, call: Caller) -> None:
    """The balance that is there does not count, and what others bring does not land it."""
    await step(api, {USDC_HOLDING: 100 * DOLLAR, ETH_HOLDING: ETH})
    order = {"id": "order-9", "wallet": "w-1", "network": "local-evm", "price": {"asset": "USDC", "amount": "30"}}
    found = await propose(api, call, {**order, "mode": "whole_price"}, "checkout")
    assert found["status"] == "short"
    assert found["bill"]["assets"][0]["landed_when"] == {"received_at_least": "30"}
    assert await asked(api) == {"USDC": str(30 * DOLLAR)}
    await step(api, {USDC_HOLDING: 200 * DOLLAR})
    assert (await get(call, "order-9", "checkout"))["status"] == "short"
    await pay(api, "USDC", {USDC_HOLDING: 230 * DOLLAR})
    assert (await get(call, "order-9", "checkout"))["status"] == "covered"


async def test_a_checkout_for_the_difference_counts_the_balance(api: Api, call: Caller) -> None:
    """30 for a price of 30 with 12 there: 18."""
    await step(api, {USDC_HOLDING: 12 * DOLLAR, ETH_HOLDING: ETH})
    order = {"id": "order-9", "wallet": "w-1", "network": "local-evm", "price": {"asset": "USDC", "amount": "30"}}
    await propose(api, call, order, "checkout")
    assert await asked(api) == {"USDC": str(18 * DOLLAR)}


async def test_a_price_in_fiat_is_turned_into_the_first_asset_that_is_sold(api: Api, call: Caller) -> None:
    """700 usd at a peg, rounded up to a base unit; without a rate it is not_funds, and says so."""
    await step(api, {ETH_HOLDING: ETH})
    order = {**COMMON, "price": {"fiat": "usd", "amount": "700.0000001"}, "pay_in": ["SHIB", "USDC"]}
    found = await propose(api, call, order, "checkout")
    (usdc, _) = found["bill"]["assets"]
    assert (usdc["asset"], usdc["needed"]) == ("USDC", "700.000001")
    assert usdc["lines"][1] == {"what": "rate", "amount": "0", "value": "1", "source": "peg", "fiat": "usd"}
    found = await propose(api, call, {**order, "id": "a-2", "price": {"fiat": "eur", "amount": "7"}}, "checkout")
    assert (found["status"], found["reason"]["code"]) == ("not_funds", "no_rate")
    status, problem = await call(
        "POST", "/v1/checkouts", {**order, "id": "a-3", "price": {"fiat": "usd", "amount": "0"}}
    )
    assert (status, problem["errors"][0]["code"]) == (422, "not_positive")


async def test_a_swap_is_paid_with_the_first_that_is_sold(api: Api, call: Caller) -> None:
    """SHIB is not: USDC, without an amount; on landing it is covered with what arrived."""
    await step(api, {ETH_HOLDING: ETH})
    pay_in = [{"asset": "SHIB", "amount": "5"}, {"asset": "USDC"}, {"asset": "ETH"}]
    body = {"id": "swap-3", "wallet": "w-1", "network": "local-evm", "want": "0xtoken", "pay_in": pay_in}
    found = await propose(api, call, body, "swap")
    assert (found["status"], await asked(api)) == ("short", {"USDC": None})
    await pay(api, "USDC", {USDC_HOLDING: 1})
    found = await get(call, "swap-3", "swap")
    assert found["status"] == "covered"
    assert found["received"][0]["asset"] == "USDC"
    assert (await api.world.events())[-1] == "swap.covered"


async def test_a_swap_that_nothing_can_be_bought_for_says_what_can(api: Api, call: Caller) -> None:
    """not_funds at once, with alternatives, in a region where the first is not sold."""
    async with api.world.database.begin() as conn:
        now = api.world.clock.now()
        row = {"tenant": "default", "id": "u-gb", "country": "GB", "contacts": {}, "metadata": {}, "version": 1}
        await conn.execute(insert(app_user).values(**row, created_at=now, updated_at=now))
        await conn.execute(update(wallet).values(user_id="u-gb"))
    body = {"id": "s", "wallet": "w-1", "network": "local-evm", "want": "X", "pay_in": [{"asset": "USDC"}]}
    found = await propose(api, call, body, "swap")
    assert (found["status"], found["reason"]["code"]) == ("not_funds", "not_sold_in_region")
    assert found["top_ups"] == []


async def add(call: Caller, amount: str | None, key: str | None = None) -> Any:
    body = {"wallet": "w-1", "network": "local-evm", "asset": "USDC", "amount": amount}
    headers = {"Idempotency_Key": key} if key else {}
    status, answer = await call("POST", "/v1/top-ups", body, raw=None, **headers)
    assert status in (200, 201), answer
    return answer


async def test_added_funds_are_asked_for_whatever_is_there(api: Api, call: Caller) -> None:
    """So much on top of the balance; the same key twice is one press, and it lands when it arrives."""
    await step(api, {USDC_HOLDING: 100 * DOLLAR})
    first = await add(call, "50", "press-1")
    again = await add(call, "50", "press-1")
    assert first["id"] == again["id"]
    assert (first["asked"], first["for"]) == ("50", [{"object": "wallet", "id": "w-1"}])
    await step(api)
    await step(api, {USDC_HOLDING: 140 * DOLLAR})
    assert await asked(api) == {"USDC": str(50 * DOLLAR)}
    await pay(api, "USDC", {USDC_HOLDING: 190 * DOLLAR})
    assert (await api.world.top_ups())[0].status == "landed"
    assert await asked(api) == {}


async def test_a_second_press_takes_the_place_of_the_first(api: Api, call: Caller) -> None:
    """20, then 50: one open top-up of 50; then as much as they choose: the same one."""
    await step(api)
    await add(call, "20")
    await add(call, "50")
    await step(api)
    assert await asked(api) == {"USDC": str(50 * DOLLAR)}
    await add(call, None)
    await step(api)
    assert await asked(api) == {"USDC": str(50 * DOLLAR)}


async def test_added_funds_come_on_top_of_what_an_ask_needs(api: Api, call: Caller) -> None:
    """10 for a transaction, 50 added: 60."""
    await step(api, {ETH_HOLDING: ETH})
    await propose(api, call, TRANSFER)
    await add(call, "50")
    await step(api)
    assert await asked(api) == {"USDC": str(60 * DOLLAR)}


async def test_what_is_not_sold_can_t_be_added(api: Api, call: Caller) -> None:
    """422 that names the asset, and nothing is stored."""
    body = {"wallet": "w-1", "network": "local-evm", "asset": "SHIB", "amount": "1"}
    before = await api.counts()
    status, problem = await call("POST", "/v1/top-ups", body)
    assert (status, problem["errors"][0]["field"], problem["errors"][0]["code"]) == (422, "/asset", "not_sold_here")
    assert await api.counts() == before


async def test_a_link_is_made_at_the_press_with_the_person_s_address(api: Api, call: Caller) -> None:
    """What Stripe is told is the address of the press; the link is given to those that may read it."""
    made = await add(call, "50")
    status, pending = await call("POST", f"/v1/top-ups/{made['id']}/link", {"customer_ip_address": "203.0.113.9"})
    assert (status, pending["link_status"]) == (200, "pending")
    world = api.world
    assert isinstance(world, Asking)
    await world.work()
    status, ready = await call("POST", f"/v1/top-ups/{made['id']}/link", {})
    assert (status, ready["link_status"], ready["link"][:8]) == (200, "ready", "https://")
    (body,) = world.onramp.bodies
    assert body["customer_ip_address"] == "203.0.113.9"
    assert (await call("POST", f"/v1/top-ups/{made['id']}/cancel"))[0] == 200
    assert (await call("POST", f"/v1/top-ups/{made['id']}/link", {}))[0] == 409
    writer = await api.caller(scopes=("asks:write",))
    assert (await writer("POST", f"/v1/top-ups/{made['id']}/link", {}))[0] == 403


CREATE = {"wallet_addresses", "lock_wallet_address", "destination_networks", "metadata"}
PAIR = {"destination_network", "destination_currency", "destination_currencies"}


async def test_the_fields_sent_to_stripe_are_the_guide_s_for_each_recipe(api: Api, call: Caller) -> None:
    """Funding names no asset and no amount, a swap no amount where none is known; nothing else is ever sent."""
    world = api.world
    assert isinstance(world, Asking)
    created = [{"when": "created", "networks": ["local-evm"]}]
    await world.register(id="w-2", addresses={"local-evm": OTHER}, funding=created)
    price = {"asset": "USDC", "amount": "30"}
    pay_in = [{"asset": "USDC"}]
    common = {"wallet": "w-1", "network": "local-evm", "gas": {"payer": "other"}}
    recipes: dict[str, dict[str, Any]] = {
        "transaction": {**common, "id": "1", "needs": [price]},
        "checkout": {**common, "id": "1", "price": price, "mode": "whole_price"},
        "swap": {**common, "id": "1", "want": "X", "pay_in": pay_in},
    }
    sent = {"funding": await take_body(world)}
    for kind, body in recipes.items():
        await propose(api, call, body, kind)
        sent[kind] = await take_body(world)
        await call("POST", f"/v1/{kind}s/1/cancel")
    assert set(sent["funding"]) == CREATE
    assert set(sent["transaction"]) == set(sent["checkout"]) == CREATE | PAIR | {"destination_amount"}
    assert set(sent["swap"]) == CREATE | PAIR
    assert set(sent["funding"]["metadata"]) == {"top_up", "attempt", "tenant", "installation"}


async def test_a_policy_may_name_what_a_new_wallet_is_asked_for(api: Api) -> None:
    """One asset and its amount: the guide's first request with the pair and the amount filled in."""
    world = api.world
    assert isinstance(world, Asking)
    created = [{"when": "created", "networks": ["local-evm"], "assets": ["USDC"], "amount": "25"}]
    await world.register(id="w-2", addresses={"local-evm": OTHER}, funding=created)
    body = await take_body(world)
    assert set(body) == CREATE | PAIR | {"destination_amount"}
    assert (body["destination_currencies"], body["destination_amount"]) == (["usdc"], "25")


async def take_body(world: Asking) -> dict[str, Any]:
    """What Stripe was sent for the one session asked for since."""
    before = len(world.onramp.bodies)
    await world.work()
    (body,) = world.onramp.bodies[before:]
    return body


@pytest.mark.parametrize(
    ("kind", "changes", "field", "code"),
    [
        ("transaction", {"needs": [{"asset": "USDC", "amount": "0"}]}, "/needs/0/amount", "not_positive"),
        ("transaction", {"needs": [{"asset": "USDC", "amount": "1e3"}]}, "/needs/0/amount", "not_a_decimal"),
        ("transaction", {"needs": [{"asset": "USDC", "amount": 1}]}, "/needs/0/amount", "not_a_string"),
        ("transaction", {"needs": [{"asset": "USDC", "amount": "0.0000001"}]}, "/needs/0/amount", "not_a_decimal"),
        ("transaction", {"needs": [{"asset": "DOGE", "amount": "1"}]}, "/needs/0/asset", "unknown_asset"),
        ("transaction", {"needs": [{"asset": "USDC", "amount": "1"}] * 2}, "/needs/1/asset", "repeated"),
        ("transaction", {"needs": [], "gas": {"payer": "other"}}, "/needs", "required"),
        ("transaction", {"transaction": {"to": "0x00"}}, "/needs", "not_wanted"),
        ("transaction", {"gas": {"limit": 0}}, "/gas/limit", "greater_than_equal"),
        ("transaction", {"gas": {"payer": "other", "limit": 5}}, "/gas", "value_error"),
        ("transaction", {"wallet": "nobody"}, "/wallet", "unknown_wallet"),
        ("transaction", {"network": "base"}, "/network", "unknown_network"),
        ("transaction", {"expires_at": "2020-01-01T00:00:00Z"}, "/expires_at", "out_of_range"),
        ("transaction", {"id": "a b"}, "/id", "string_pattern_mismatch"),
        ("transaction", {"surprise": 1}, "/surprise", "unknown_field"),
        ("checkout", {"price": {"asset": "USDC", "amount": "0"}}, "/price/amount", "not_positive"),
        ("checkout", {"price": {"asset": "USDC", "fiat": "usd", "amount": "1"}}, "/price", "value_error"),
        ("checkout", {"price": {"fiat": "usd", "amount": "7"}}, "/pay_in", "required"),
        ("checkout", {"mode": "half"}, "/mode", "literal_error"),
        ("checkout", {"price": {"fiat": "usd", "amount": LOTS}, "pay_in": ["USDC"]}, "/price/amount", "too_large"),
        ("checkout", {"price": {"asset": "USDC", "amount": LOTS}}, "/price/amount", "too_large"),
        ("checkout", {"gas": {"limit": 10**8, "max_fee_per_gas": LOTS}}, "/gas/max_fee_per_gas", "too_large"),
        ("transaction", {"needs": [{"asset": "USDC", "amount": LOTS}]}, "/needs/0/amount", "too_large"),
        ("transaction", {"gas": {"limit": 10**8, "max_fee_per_gas": LOTS}}, "/gas/max_fee_per_gas", "too_large"),
        ("swap", {"gas": {"limit": 10**8, "max_fee_per_gas": LOTS}}, "/gas/max_fee_per_gas", "too_large"),
        ("swap", {"pay_in": [{"asset": "USDC", "amount": LOTS}]}, "/pay_in/0/amount", "too_large"),
        ("swap", {"pay_in": []}, "/pay_in", "too_short"),
        ("swap", {"pay_in": [{"asset": "USDC"}, {"asset": USDC}]}, "/pay_in", "repeated"),
        ("swap", {"pay_in": [{"asset": "USDC", "amount": "-1"}]}, "/pay_in/0/amount", "not_a_decimal"),
    ],
)
async def test_a_bad_ask_is_refused_whole(
    api: Api, call: Caller, *, kind: str, changes: dict[str, Any], field: str, code: str
) -> None:
    """422 at the field, and not a row is stored."""
    good: dict[str, dict[str, Any]] = {
        "transaction": TRANSFER,
        "checkout": {**COMMON, "price": {"asset": "USDC", "amount": "30"}},
        "swap": {**COMMON, "want": "X", "pay_in": [{"asset": "USDC"}]},
    }
    before = await api.counts()
    status, problem = await call("POST", f"/v1/{kind}s", {**good[kind], **changes})
    assert status == 422
    assert (field, code) in {(e["field"], e["code"]) for e in problem["errors"]}
    assert await api.counts() == before


async def test_another_tenant_s_ask_is_not_there(api: Api, call: Caller) -> None:
    """404 for reading, ending and asking on its wallet's behalf, as if it had never been."""
    await propose(api, call, TRANSFER)
    other = await api.caller("other")
    assert (await other("GET", "/v1/transactions/tx-1"))[0] == 404
    assert (await other("POST", "/v1/transactions/tx-1/cancel"))[0] == 404
    status, problem = await other("POST", "/v1/transactions", TRANSFER)
    assert (status, problem["errors"][0]["code"]) == (422, "unknown_wallet")


async def test_what_is_met_is_followed_until_its_top_up_has_landed(api: Api, call: Caller) -> None:
    """The balance covers the ask before Stripe names the transaction: on a quiet chain it is still read, and lands."""
    await step(api, {ETH_HOLDING: ETH})
    await propose(api, call, TRANSFER)
    world = api.world
    assert isinstance(world, Asking)
    await world.work()
    (ask,) = await world.top_ups()
    world.onramp.become("cos_1", SessionStatus.FULFILLMENT_PROCESSING)
    await world.follower.look_at_session(ask.id)
    await step(api, {USDC_HOLDING: 10 * DOLLAR})
    assert (await get(call))["status"] == "covered"
    world.onramp.become("cos_1", SessionStatus.FULFILLMENT_COMPLETE, transaction=TRANSACTION)
    world.chain.receipts[TRANSACTION, USDC_HOLDING] = 10 * DOLLAR
    await world.follower.look_at_session(ask.id)
    await world.observer.refresh_watched()
    await world.observer.nudge([(ask.tenant, ask.wallet)])
    assert world.chain.find_step().dirty == {USDC_HOLDING}
    await world.observe()
    assert (await world.top_ups())[0].status == "landed"


async def test_until_the_closing_depth_an_ask_may_alternate(api: Api, call: Caller) -> None:
    """Covered at the head, short again after a fall, and asked for; three deep it is covered for good."""
    api.world.chain.depth = 3
    await step(api, {USDC_HOLDING: 10 * DOLLAR, ETH_HOLDING: ETH})
    await propose(api, call, TRANSFER)
    assert (await get(call))["status"] == "covered"
    await step(api, {USDC_HOLDING: 9 * DOLLAR})
    assert (await get(call))["status"] == "short"
    assert await asked(api) == {"USDC": str(DOLLAR)}
    await step(api, {USDC_HOLDING: 10 * DOLLAR})
    await step(api)
    await step(api)
    await step(api, {USDC_HOLDING: 0})
    assert (await get(call))["status"] == "covered"
    told = [e for e in await api.world.events() if e.startswith("transaction")]
    assert told == ["transaction.covered", "transaction.short", "transaction.covered"]


async def test_a_reorg_that_brings_the_money_back_withdraws_the_ask(api: Api, call: Caller) -> None:
    """The spend is gone from the chain: covered again, and the top-up is retracted once Stripe says unpaid."""
    await step(api, {USDC_HOLDING: 10 * DOLLAR, ETH_HOLDING: ETH})
    await step(api, {USDC_HOLDING: 4 * DOLLAR})
    await propose(api, call, TRANSFER)
    world = api.world
    assert isinstance(world, Asking)
    await world.work()
    assert await asked(api) == {"USDC": str(6 * DOLLAR)}
    world.chain.reorg(2)
    await step(api)
    await step(api)
    await world.work()
    assert (await get(call))["status"] == "covered"
    assert (await world.top_ups())[0].status == "retracted"
    assert (await world.events()).count("top_up.retracted") == 1
