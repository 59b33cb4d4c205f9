"""What would lose money or ask for it twice: asks whose wallet changes, payments that come late, or in part."""

import asyncio
import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from notifier.model import SessionStatus
from tests.fakes.settings import (
    ETH,
    SOLANA,
    make_network,
    make_policy,
    make_settings,
    make_solana,
    make_tenant,
    make_token,
)
from tests.integration.api.conftest import Api, Caller, serve
from tests.integration.api.test_transactions import DOLLAR, OTHER, TRANSFER, USDC_HOLDING, asked, get, propose, step
from tests.integration.watcher.test_asking import TRANSACTION, Asking
from tests.integration.watcher.world import ADDRESS, ETH_HOLDING
from watcher.model import TopUp
from watcher.store.database import Database
from watcher.sweeps import Sweeper

SOLANA_ADDRESS = "bufoH37MTiMTNAfBS4VEZ94dCEwMsmeSijD2vZRShuV"
LEVEL = {"when": "low", "network": "local-evm", "asset": "USDC", "trigger": "20", "target": "50"}


@asynccontextmanager
async def serve_asks(database: Database, tmp_path: Path) -> AsyncIterator[Api]:
    """One wallet without levels, with coins for gas and no token."""
    network = make_network()
    token = replace(make_token(), maximum=500 * DOLLAR)
    network = replace(network, assets=(*network.assets, token))
    settings = make_settings(tmp_path, network=network, tenant=make_tenant(policies={"default": make_policy(low=())}))
    world = Asking(database, replace(settings, networks={**settings.networks, SOLANA: make_solana()}))
    await world.start()
    async with serve(world) as served:
        await world.register()
        await step(served, {ETH_HOLDING: ETH})
        yield served


@pytest.fixture
async def api(database: Database, tmp_path: Path) -> AsyncIterator[Api]:
    async with serve_asks(database, tmp_path) as served:
        yield served


def the_world(api: Api) -> Asking:
    assert isinstance(api.world, Asking)
    return api.world


def transfer(amount: str, id_: str = "tx-1", **changes: Any) -> dict[str, Any]:
    return {**TRANSFER, "id": id_, "needs": [{"asset": "USDC", "amount": amount}], **changes}


async def test_a_wallet_written_anew_keeps_what_is_asked_for_its_asks(api: Api, call: Caller) -> None:
    """A new label is no reason to withdraw a link and send a second one for the same money."""
    await propose(api, call, transfer("10"))
    (before,) = await api.world.top_ups()
    await api.world.register(label="Main")
    await step(api)
    (after,) = await api.world.top_ups()
    assert (after.id, after.status) == (before.id, "open")


async def test_a_wallet_written_anew_keeps_added_funds(api: Api, call: Caller) -> None:
    """The same for what the person pressed for."""
    body = {"wallet": "w-1", "network": "local-evm", "asset": "USDC", "amount": "5"}
    assert (await call("POST", "/v1/top-ups", body))[0] == 201
    await api.world.register(label="Main")
    await step(api)
    assert [t.status for t in await api.world.top_ups()] == ["open"]


async def test_a_removed_wallet_s_asks_are_cancelled(api: Api, call: Caller) -> None:
    """Nothing is watched, asked or told for it afterwards, nor when the wallet comes back."""
    await propose(api, call, transfer("10"))
    await propose(api, call, transfer("0.5", "tx-2", gas={"payer": "other"}))
    assert (await call("DELETE", "/v1/wallets/w-1"))[0] == 204
    for id_ in ("tx-1", "tx-2"):
        assert (await get(call, id_))["status"] == "cancelled"
    assert {t.status for t in await api.world.top_ups()} <= {"superseded", "cancelled"}
    events = await api.world.events()
    assert events.count("transaction.cancelled") == 2
    await api.world.observer.refresh_watched()
    assert api.world.chain._watched == set()
    await api.world.register()
    await step(api)
    await step(api)
    assert await asked(api) == {}
    assert await api.world.events() == events


async def test_an_ask_on_a_network_that_the_wallet_has_left_is_cancelled(api: Api, call: Caller) -> None:
    """Its address there is nobody's any more: what is open is withdrawn, and nothing new is asked."""
    await api.world.register(addresses={"local-evm": ADDRESS, "local-solana": SOLANA_ADDRESS})
    await propose(api, call, transfer("10"))
    await api.world.register(addresses={"local-solana": SOLANA_ADDRESS})
    assert (await get(call))["status"] == "cancelled"
    await step(api)
    await step(api)
    assert await asked(api) == {}
    assert await api.world.events() == [
        "top_up.opened",
        "transaction.short",
        "top_up.retracted",
        "transaction.cancelled",
    ]


async def test_a_level_that_is_gone_is_asked_for_no_more(api: Api, call: Caller) -> None:
    """40 for a level and 10 for an ask in one top-up of 40: without the level it is 10, and then nothing."""
    await api.world.register(funding=[LEVEL])
    await step(api, {USDC_HOLDING: 10 * DOLLAR})
    await propose(api, call, transfer("20"))
    assert await asked(api) == {"USDC": str(40 * DOLLAR)}
    await api.world.register(funding=[])
    await step(api)
    assert await asked(api) == {"USDC": str(10 * DOLLAR)}
    assert (await call("POST", "/v1/transactions/tx-1/cancel"))[0] == 200
    assert await asked(api) == {}


async def test_an_ask_ends_though_its_network_left_the_config(api: Api, call: Caller) -> None:
    """It expires and says so; reading it and listing it still work meanwhile."""
    await propose(api, call, transfer("10"))
    world = the_world(api)
    later = copy.copy(world)
    later.settings = replace(world.settings, networks={SOLANA: make_solana()})
    async with serve(later) as served:
        reader = Caller(served.http, served.url, call.key)
        assert (await get(reader))["status"] == "unknown"
        assert (await reader("GET", "/v1/transactions"))[0] == 200
        world.clock.advance(hours=25)
        sweeper = Sweeper(world.database, later.settings.networks, clock=world.clock, new_id=world.new_id)
        await sweeper.expire_asks()
        assert (await get(reader))["status"] == "expired"
    assert (await world.events())[-1] == "transaction.expired"


async def press(api: Api, status: str = "open") -> TopUp:
    """The newest top-up with this status, its session made and paid."""
    world = the_world(api)
    await world.work()
    paid = [t for t in await world.top_ups() if t.status == status][-1]
    session = next(s for s in world.onramp.sessions.values() if s.metadata["top_up"] == paid.id)
    transaction = TRANSACTION[:-2] + f"{len(world.chain.receipts):02}"
    world.onramp.become(session.id, SessionStatus.FULFILLMENT_COMPLETE, transaction=transaction)
    await world.follower.look_at_session(paid.id)
    return next(t for t in await world.top_ups() if t.id == paid.id)


async def arrive(api: Api, paid: TopUp, amount: int, *, balance: int) -> None:
    """What was paid comes, so much of it."""
    world = the_world(api)
    session = next(s for s in world.onramp.sessions.values() if s.metadata["top_up"] == paid.id)
    assert session.transaction is not None
    world.chain.receipts[session.transaction, USDC_HOLDING] = amount
    await step(api, {USDC_HOLDING: balance})
    await step(api)


def checkout(amount: str, id_: str, mode: str = "whole_price") -> dict[str, Any]:
    price = {"asset": "USDC", "amount": amount}
    return {"id": id_, "wallet": "w-1", "network": "local-evm", "price": price, "mode": mode}


async def test_a_withdrawn_top_up_that_is_paid_all_the_same_covers_its_ask(api: Api, call: Caller) -> None:
    """The link was open in a tab: what it brings lands late, and is not short for ever."""
    await propose(api, call, transfer("10"))
    (open_one,) = await api.world.top_ups()
    await the_world(api).work()
    assert (await call("POST", f"/v1/top-ups/{open_one.id}/cancel"))[0] == 200
    await step(api)
    assert (await get(call))["status"] == "short"
    paid = await press(api, "cancelled")
    assert (paid.status, paid.late) == ("settling", True)
    await arrive(api, paid, 10 * DOLLAR, balance=10 * DOLLAR)
    assert (await get(call))["status"] == "covered"
    assert len(await api.world.top_ups()) == 1


async def test_an_ask_given_up_is_covered_by_money_from_elsewhere(api: Api, call: Caller) -> None:
    """Nothing is asked for it again, and it still says how it stands."""
    await propose(api, call, transfer("10"))
    (open_one,) = await api.world.top_ups()
    assert (await call("POST", f"/v1/top-ups/{open_one.id}/cancel"))[0] == 200
    await step(api, {USDC_HOLDING: 10 * DOLLAR})
    assert (await get(call))["status"] == "covered"
    await step(api, {USDC_HOLDING: 0})
    assert (await get(call))["status"] == "covered"
    assert await asked(api) == {}


async def test_an_ask_given_up_takes_nothing_from_those_that_are_not(api: Api, call: Caller) -> None:
    """100 given up, 10 there: another ask for 10 is covered, and is not asked for."""
    await propose(api, call, transfer("100"))
    (open_one,) = await api.world.top_ups()
    assert (await call("POST", f"/v1/top-ups/{open_one.id}/cancel"))[0] == 200
    await step(api, {USDC_HOLDING: 10 * DOLLAR})
    await propose(api, call, transfer("10", "tx-2"))
    assert (await get(call, "tx-2"))["status"] == "covered"
    assert await asked(api) == {}


async def test_two_purchases_that_came_in_part_are_filled_one_after_the_other(api: Api, call: Caller) -> None:
    """40 of 30 and 20: the first is complete, for the second 10 more are asked for, and then nothing."""
    await propose(api, call, checkout("30", "order-1"), "checkout")
    await propose(api, call, checkout("20", "order-2"), "checkout")
    paid = await press(api)
    await arrive(api, paid, 40 * DOLLAR, balance=40 * DOLLAR)
    assert (await get(call, "order-1", "checkout"))["status"] == "covered"
    assert (await get(call, "order-2", "checkout"))["status"] == "short"
    assert await asked(api) == {"USDC": str(10 * DOLLAR)}
    await arrive(api, await press(api), 10 * DOLLAR, balance=50 * DOLLAR)
    assert (await get(call, "order-2", "checkout"))["status"] == "covered"
    await propose(api, call, transfer("5"))
    assert await asked(api) == {"USDC": str(5 * DOLLAR)}


async def test_more_than_the_maximum_is_asked_for_in_parts(api: Api, call: Caller) -> None:
    """1200 where 500 is the most at once: covered once all of it is there, not with the first part."""
    for kind, body in (("transaction", transfer("1200")), ("checkout", checkout("1200", "order-1"))):
        status, _ = await call("POST", f"/v1/{kind}s", body)
        assert status == 201
        for there, part in ((0, 500), (500, 500), (1000, 200)):
            await step(api, {USDC_HOLDING: there * DOLLAR})
            assert (await get(call, body["id"], kind))["status"] == "short"
            assert await asked(api) == {"USDC": str(part * DOLLAR)}
            paid = await press(api)
            await arrive(api, paid, part * DOLLAR, balance=(there + part) * DOLLAR)
        assert (await get(call, body["id"], kind))["status"] == "covered"
        assert await asked(api) == {}
        assert (await call("POST", f"/v1/{kind}s/{body['id']}/complete", {}))[0] == 200


async def test_one_id_for_two_wallets_at_once_is_one_ask(api: Api, call: Caller) -> None:
    """Whoever comes second has used the id of another body, however close together they are."""
    await api.world.register(id="w-2", addresses={"local-evm": OTHER})
    for number in range(5):
        bodies = [transfer("10", f"tx-{number}", wallet=wallet) for wallet in ("w-1", "w-2")]
        answers = await asyncio.gather(*(call("POST", "/v1/transactions", body) for body in bodies))
        assert sorted(status for status, _ in answers) == [201, 409]


async def test_a_repeated_proposal_outlives_its_wallet(api: Api, call: Caller) -> None:
    """The same body gives the ask as it is, though its wallet was removed meanwhile."""
    await propose(api, call, transfer("10"))
    assert (await call("DELETE", "/v1/wallets/w-1"))[0] == 204
    status, answer = await call("POST", "/v1/transactions", transfer("10"))
    assert (status, answer["status"]) == (200, "cancelled")
    assert (await call("POST", "/v1/transactions", transfer("11")))[0] == 409
