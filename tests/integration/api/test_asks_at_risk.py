"""What would lose money or ask for it twice: asks whose wallet changes, payments that come late, or in part."""

import copy
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

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
from tests.integration.api.test_transactions import DOLLAR, TRANSFER, USDC_HOLDING, asked, get, propose, step
from tests.integration.watcher.test_asking import Asking
from tests.integration.watcher.world import ADDRESS, ETH_HOLDING
from watcher.store.database import Database
from watcher.sweeps import Sweeper

SOLANA_ADDRESS = "bufoH37MTiMTNAfBS4VEZ94dCEwMsmeSijD2vZRShuV"
LEVEL = {"when": "low", "network": "local-evm", "asset": "USDC", "trigger": "20", "target": "50"}


@pytest.fixture
async def api(database: Database, tmp_path: Path) -> AsyncIterator[Api]:
    """One wallet without levels, with coins for gas and no token."""
    network = make_network()
    network = replace(network, assets=(*network.assets, make_token()))
    settings = make_settings(tmp_path, network=network, tenant=make_tenant(policies={"default": make_policy(low=())}))
    world = Asking(database, replace(settings, networks={**settings.networks, SOLANA: make_solana()}))
    await world.start()
    async with serve(world) as served:
        await world.register()
        await step(served, {ETH_HOLDING: ETH})
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
