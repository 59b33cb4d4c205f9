"""Many wallets: what a step looks at is bounded, and what changes is taken up one wallet at a time."""

from pathlib import Path
from typing import Any

import pytest
from eth_utils.address import to_checksum_address
from sqlalchemy import func, select, update

from chains.model import NATIVE, Holding
from tests.fakes.chain import FakeChain
from tests.fakes.settings import ETH, EVM, make_settings
from tests.integration.watcher.world import ETH_HOLDING, World
from watcher.registration import register_wallet
from watcher.rotation import MOST_ATTENDED, MOST_JUDGED
from watcher.store.attention import FIRST, list_watched
from watcher.store.database import Database
from watcher.store.tables import decision, holding, requirement
from watcher.wallet_plan import WalletSpec


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> World:
    return await World(database, make_settings(tmp_path)).start()


def at(number: int) -> Holding:
    """The coins of one of many."""
    return Holding(EVM, NATIVE, to_checksum_address(f"0x{(0xE0 << 152) + number:040x}"))


async def register_many(world: World, count: int) -> None:
    """Wallets `w-0` and so on, taken up together."""
    async with world.database.begin() as conn:
        for number in range(count):
            body: dict[str, Any] = {
                "id": f"w-{number}",
                "addresses": {"local-evm": at(number).address},
                "policy": "default",
            }
            spec = WalletSpec(**body, body=body)
            await register_wallet(conn, spec, world.tenant, world.settings, world.stamp())
    await world.observer.refresh_watched()


async def test_one_wallet_is_taken_up_and_let_go_alone(world: World) -> None:
    """A notice that names a wallet has that wallet watched, or no longer, whatever else there is."""
    await world.register()
    held = set(world.chain.watched)
    assert ETH_HOLDING in held
    await world.observer.refresh_wallets([("default", "w-1")])
    assert set(world.chain.watched) == held
    world.chain.unwatch([ETH_HOLDING])
    await world.observer.refresh_wallets([("default", "w-1")])
    assert set(world.chain.watched) == held
    await world.remove("w-1")
    world.chain.watch([ETH_HOLDING])
    await world.observer.refresh_wallets([("default", "w-1")])
    assert ETH_HOLDING not in world.chain.watched


async def test_an_address_that_others_watch_stays_watched(world: World) -> None:
    """Of two wallets at one address, one that goes takes nothing from the other."""
    await world.register()
    await world.register(id="w-2")
    await world.remove("w-1")
    await world.observer.refresh_wallets([("default", "w-1")])
    assert ETH_HOLDING in world.chain.watched


async def test_a_start_reads_what_has_changed_and_no_more(world: World) -> None:
    """After a restart, recorded balances are recalled: a wallet that fell meanwhile is asked for, the rest is left."""
    await register_many(world, 3)
    await world.step({at(n): 2 * ETH for n in range(3)})
    world.chain = world.observer.chain = FakeChain(EVM)
    world.chain.mine({at(0): 2 * ETH, at(1): ETH - 1, at(2): 2 * ETH})
    await world.observer.refresh_watched()
    assert world.chain.find_step().dirty == {at(1)}
    await world.observe()
    assert [t.wallet for t in await world.top_ups()] == ["w-1"]


async def test_many_that_are_low_are_looked_at_in_turn(world: World) -> None:
    """With more low holdings than a step looks at, one that recovers unseen is found within two; few are judged."""
    count = MOST_ATTENDED + 50
    await register_many(world, count)
    await world.step({at(n): 1 for n in range(count)})
    await world.step()
    async with world.database.begin() as conn:
        low = (await conn.execute(select(func.count()).where(requirement.c.status == "low"))).scalar_one()
        assert low == count
        await conn.execute(update(holding).values(read_at=None))
    world.chain.mine({at(count - 1): 5 * ETH, at(0): 5 * ETH})
    world.chain.forget(world.chain.find_step())
    await world.observe()
    await world.observe()
    async with world.database.begin() as conn:
        read = (await conn.execute(select(func.count()).where(holding.c.read_at.is_not(None)))).scalar_one()
        changed = select(func.count()).where(
            decision.c.outcome == "fine", decision.c.wallet.in_(["w-0", f"w-{count - 1}"])
        )
        assert (await conn.execute(changed)).scalar_one() == 2
    assert read <= 2 * MOST_JUDGED + 2


async def test_pages_name_each_holding_once(world: World) -> None:
    """Page after page, all that is watched comes once, with its balance where one was read."""
    await register_many(world, 7)
    await world.step({at(3): 2 * ETH})
    seen, behind = [], FIRST
    while True:
        async with world.database.begin() as conn:
            page = await list_watched(conn, EVM, behind=behind, limit=3)
        seen += page
        if len(page) < 3:
            break
        behind = (page[-1][0].asset, page[-1][0].address)
    natives = [(each, balance) for each, balance in seen if each.asset == NATIVE]
    assert len(seen) == len({each for each, _ in seen})
    assert {each for each, _ in natives} == {at(n) for n in range(7)}
    amounts = [balance.amount for each, balance in natives if balance and each == at(3)]
    assert amounts == [2 * ETH]
