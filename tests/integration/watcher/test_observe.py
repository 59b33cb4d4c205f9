"""A block's decisions: what is opened, told and recorded, and what is not."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from eth_utils.address import to_checksum_address
from sqlalchemy import insert, select

from chains.errors import BlockGone, Unavailable
from chains.model import NATIVE, BlockRef
from config.model import Level, LowFunding
from tests.fakes.settings import ETH, EVM, make_network, make_policy, make_settings, make_tenant
from tests.integration.watcher.world import ADDRESS, ETH_HOLDING, World
from watcher.model import TopUpStatus
from watcher.refresh import refresh_policies
from watcher.shards import find_shard
from watcher.store.database import Database
from watcher.store.shards import Fenced, take_shards
from watcher.store.tables import cursor, decision, holding, requirement

LOW = {"when": "low", "network": "local-evm", "asset": "ETH"}
OTHER = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> World:
    return await World(database, make_settings(tmp_path)).start()


async def lose_shard(world: World) -> None:
    """Another replica takes the shard of our wallet, and this one has not noticed."""
    share = world.shards.find(EVM)
    assert share is not None
    shard = find_shard(ADDRESS, share.total)
    async with world.database.begin() as conn:
        taken = await take_shards(conn, EVM, {shard: share.tokens[shard]}, name="other", now=world.clock.now())
    assert taken == {shard: share.tokens[shard] + 1}


async def test_a_wallet_that_runs_low_is_asked_for_once(world: World) -> None:
    """One fall below the trigger opens one ask for exactly target - balance, however many blocks it stays low."""
    await world.register()
    await world.step({ETH_HOLDING: 2 * ETH})
    assert await world.top_ups() == []
    await world.step({ETH_HOLDING: ETH - 1})
    await world.step({ETH_HOLDING: ETH - 2})
    await world.step()
    (ask,) = await world.top_ups()
    assert (ask.status, ask.asked, ask.needed) == (TopUpStatus.OPEN, 2 * ETH + 1, 3 * ETH)
    assert ask.decided == BlockRef(2, "0x02")
    assert await world.events() == ["wallet.low", "top_up.opened"]
    assert await world.jobs() == [("create_session", {"top_up": ask.id})]


async def test_a_head_from_before_the_registration_decides_nothing(world: World) -> None:
    """What a wallet had before it came may be less than it has: it is left to the next look, which comes unasked."""
    world.chain.looked_at = world.clock.now() - timedelta(seconds=1)
    await world.register()
    await world.step()
    assert await world.top_ups() == []
    assert await world.events() == []
    world.chain.looked_at = world.clock.now()
    await world.step({ETH_HOLDING: ETH - 1})
    assert [t.asked for t in await world.top_ups()] == [2 * ETH + 1]


async def test_the_same_levels_written_again_are_no_news(world: World) -> None:
    """A PUT that changes nothing holds no decision back."""
    await world.register()
    await world.step({ETH_HOLDING: 2 * ETH})
    world.clock.advance(seconds=10)
    world.chain.looked_at = world.clock.now() - timedelta(seconds=1)
    await world.register()  # the same again
    await world.step({ETH_HOLDING: ETH - 1})
    assert await world.events() == ["wallet.low", "top_up.opened"]


async def test_a_clock_that_is_far_ahead_holds_nothing_back(world: World) -> None:
    """Looks that come before their time for ever would decide nothing at all."""
    world.chain.looked_at = world.clock.now() - timedelta(minutes=1)
    await world.register()
    await world.step({ETH_HOLDING: 5})
    assert len(await world.top_ups()) == 1


async def test_a_decision_can_be_replayed_from_its_row(world: World) -> None:
    """Inputs, policy and outcome stand in one row."""
    await world.register()
    await world.step({ETH_HOLDING: 5})
    async with world.database.begin() as conn:
        (row,) = (await conn.execute(select(decision))).mappings().all()
    assert row["outcome"] == "opened"
    assert row["inputs"]["balance"] == "5"
    assert row["inputs"]["trigger"] == str(ETH)
    assert row["policy_version"] == "v1"


async def test_an_unreadable_chain_opens_nothing(world: World) -> None:
    """An error is not a zero: no balance, no decision, no cursor, and the next good block decides."""
    await world.register()
    world.chain.fail(Unavailable("no answer"))
    with pytest.raises(Unavailable):
        await world.observe()
    async with world.database.begin() as conn:
        assert (await conn.execute(select(holding.c.balance))).scalar_one() is None
        assert set((await conn.execute(select(cursor.c.height))).scalars()) == {None}
    assert await world.top_ups() == []
    world.chain.fail(None)
    await world.step({ETH_HOLDING: 1})
    assert len(await world.top_ups()) == 1


async def test_an_orphaned_block_decides_nothing(world: World) -> None:
    """Balances are read at the block's own hash: if it is gone, nothing is recorded."""
    await world.register()
    world.chain.mine({ETH_HOLDING: 1})
    step = world.chain.find_step()
    world.chain.reorg(1)
    with pytest.raises(BlockGone):
        await world.observer.observe(step)
    assert await world.top_ups() == []


async def test_a_replaced_owner_writes_nothing(world: World) -> None:
    """Once another process has taken the network, this one's block is refused whole."""
    await world.register()
    await lose_shard(world)
    with pytest.raises(Fenced):
        await world.step({ETH_HOLDING: 1})
    assert await world.top_ups() == []
    assert await world.events() == []


async def test_more_confirmations_delay_the_link_and_not_the_decision(database: Database, tmp_path: Path) -> None:
    """With open_confirmations 3 the session is asked for two blocks later, and not at all if the need has gone."""
    settings = make_settings(tmp_path, network=make_network(open_confirmations=3))
    world = await World(database, settings).start()
    await world.register()
    await world.step({ETH_HOLDING: 1})
    assert await world.jobs() == []
    await world.step()
    assert await world.jobs() == []
    await world.step()
    (ask,) = await world.top_ups()
    assert await world.jobs() == [("create_session", {"top_up": ask.id})]


async def test_a_removed_wallet_is_let_go(world: World) -> None:
    """Its unpaid ask is cancelled, it is no longer read, and its address stays its own."""
    await world.register()
    await world.step({ETH_HOLDING: 1})
    await world.remove("w-1")
    (ask,) = await world.top_ups()
    assert ask.status is TopUpStatus.CANCELLED
    await world.step({ETH_HOLDING: 0})
    assert len(await world.top_ups()) == 1
    async with world.database.begin() as conn:
        assert (await conn.execute(select(requirement))).all() == []


async def test_a_wallet_without_an_onramp_is_told_of_and_not_asked_for(database: Database, tmp_path: Path) -> None:
    """No Stripe key: the event says low and why nothing is asked."""
    settings = make_settings(tmp_path, tenant=replace(make_tenant(), stripe_secret_key=None))
    world = await World(database, settings).start()
    await world.register()
    await world.step({ETH_HOLDING: 1})
    assert await world.top_ups() == []
    assert await world.events() == ["wallet.low"]


async def test_one_write_twice_is_one_registration(world: World) -> None:
    """The same id with the same body is the wallet as it is: nothing changes, nothing is asked again."""
    assert (await world.register()).created
    again = await world.register()
    assert (again.created, again.changed) == (False, False)


async def test_replaying_a_block_changes_nothing(world: World) -> None:
    """A crash between read and commit costs a repetition: the same rows, no second ask, no second event."""
    await world.register()
    world.chain.mine({ETH_HOLDING: 1})
    step = world.chain.find_step()
    await world.observer.observe(step)
    await world.observer.observe(step)
    assert len(await world.top_ups()) == 1
    assert await world.events() == ["wallet.low", "top_up.opened"]


async def test_a_changed_policy_reaches_the_wallets_that_follow_it(database: Database, tmp_path: Path) -> None:
    """A trigger raised in the configuration counts after a restart; a wallet with its own funding keeps that."""
    world = await World(database, make_settings(tmp_path)).start()
    own = [{"when": "low", "network": "local-evm", "asset": "ETH", "trigger": "1", "target": "3"}]
    await world.register()
    await world.register(id="w-2", addresses={"local-evm": OTHER}, funding=own)
    await world.step({ETH_HOLDING: 2 * ETH, replace(ETH_HOLDING, address=OTHER): 2 * ETH})
    assert await world.top_ups() == []
    low = LowFunding(EVM, NATIVE, trigger=Level(amount=5 * ETH), target=Level(amount=6 * ETH))
    tenant = replace(make_tenant(), policies={"default": make_policy(version="v2", low=(low,))})
    world = await World(database, make_settings(tmp_path, tenant=tenant), clock=world.clock, chain=world.chain).start()
    assert await refresh_policies(database, world.settings, world.stamp()) == 2
    assert await refresh_policies(database, world.settings, world.stamp()) == 0
    await world.observer.refresh_watched()
    await world.step({ETH_HOLDING: 2 * ETH, replace(ETH_HOLDING, address=OTHER): 2 * ETH})
    assert [(ask.wallet, ask.asked) for ask in await world.top_ups()] == [("w-1", 4 * ETH)]


async def test_a_raised_trigger_is_judged_at_the_next_step(world: World) -> None:
    """A PUT that changes a level is a new question: asked at once, though no block touches the holding."""
    await world.register()
    await world.step({ETH_HOLDING: 2 * ETH})
    await world.register(funding=[{**LOW, "trigger": "3", "target": "4"}])
    await world.step()
    assert [(ask.asked, ask.needed) for ask in await world.top_ups()] == [(2 * ETH, 4 * ETH)]


async def test_a_low_wallet_is_not_told_of_again_by_a_changed_level(world: World) -> None:
    """Low before and after: one `wallet.low`; lowered below the balance it has recovered."""
    await world.register()
    await world.step({ETH_HOLDING: ETH // 2})
    await world.register(funding=[{**LOW, "trigger": "2", "target": "4"}])
    await world.step()
    assert (await world.events()).count("wallet.low") == 1
    await world.register(funding=[{**LOW, "trigger": "0.1", "target": "4"}])
    await world.step()
    assert (await world.events())[-1] == "wallet.recovered"


async def test_an_asset_that_the_config_has_dropped_is_let_go_and_the_rest_is_watched(
    world: World, database: Database, tmp_path: Path
) -> None:
    """A wallet still names it after a restart: that holding is left out, the others go on."""
    await world.register()
    await world.step({ETH_HOLDING: 2 * ETH})
    async with database.begin() as conn:
        row = dict((await conn.execute(select(requirement))).mappings().one())
        lost = {"network": EVM, "asset": OTHER, "address": row["address"]}
        await conn.execute(insert(holding).values(**lost))
        await conn.execute(insert(requirement).values(**{**row, **lost}))
    again = await World(database, make_settings(tmp_path), clock=world.clock, chain=world.chain).start()
    await again.observer.refresh_watched()
    await again.step({ETH_HOLDING: 1})
    assert len(await again.top_ups()) == 1


async def test_a_step_too_large_for_one_transaction_is_recorded_in_parts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each wallet is decided on once, and the cursor moves last; a replaced owner writes none of the parts."""
    monkeypatch.setattr("watcher.recording.MOST_AT_ONCE", 2)
    many = [replace(ETH_HOLDING, address=to_checksum_address(f"0x{i:040x}")) for i in range(0x1001, 0x1006)]
    for i, each in enumerate(many):
        await world.register(id=f"w-{i}", addresses={"local-evm": each.address})
    await world.step(dict.fromkeys(many, 1))
    assert sorted(ask.wallet for ask in await world.top_ups()) == [f"w-{i}" for i in range(5)]
    assert (await world.events()).count("wallet.low") == 5
    await lose_shard(world)
    world.chain.mine(dict.fromkeys(many, 2 * ETH))
    with pytest.raises(Fenced):
        await world.observe()
    assert "wallet.recovered" not in await world.events()
