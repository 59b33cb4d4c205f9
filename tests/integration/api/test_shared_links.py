"""A link that several things share: it goes when nobody wants it any more, and lives as long as who joins it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.integration.api.conftest import Api, Caller
from tests.integration.api.test_asks_at_risk import LEVEL, checkout, serve_asks, the_world, transfer
from tests.integration.api.test_money_on_its_way import add
from tests.integration.api.test_transactions import DOLLAR, USDC_HOLDING, asked, propose, step
from watcher.render import render_time
from watcher.store.database import Database


@pytest.fixture
async def api(database: Database, tmp_path: Path) -> AsyncIterator[Api]:
    async with serve_asks(database, tmp_path) as served:
        yield served


async def test_a_link_that_is_for_nobody_any_more_is_withdrawn(api: Api, call: Caller) -> None:
    """15 for a purchase and a transfer: the purchase is off, and the transfer was met from elsewhere."""
    await propose(api, call, checkout("10", "order-1"), "checkout")
    await propose(api, call, transfer("5"))
    await the_world(api).work()
    assert await asked(api) == {"USDC": str(15 * DOLLAR)}
    assert (await call("POST", "/v1/checkouts/order-1/cancel"))[0] == 200
    await step(api, {USDC_HOLDING: 5 * DOLLAR})
    await step(api, {USDC_HOLDING: 0})
    await the_world(api).work()
    assert await asked(api) == {}
    assert (await api.world.events())[-1] == "top_up.retracted"


async def test_a_link_stays_withdrawn_when_the_balance_falls_before_the_onramp_answers(api: Api, call: Caller) -> None:
    """5 for a transfer that was met at the closing depth, and spent at once: nobody wants them."""
    await propose(api, call, transfer("5"))
    await the_world(api).work()
    await step(api, {USDC_HOLDING: 5 * DOLLAR})
    await step(api, {USDC_HOLDING: 0})
    await the_world(api).work()
    assert await asked(api) == {}


async def test_a_level_that_joins_an_ask_s_link_has_its_own_time_and_is_told_of(api: Api, call: Caller) -> None:
    """The backend shows 40 for an hour, of itself; a level that they cover asks for a day, and for a message."""
    await step(api, {USDC_HOLDING: 30 * DOLLAR})
    now = the_world(api).clock.now()
    soon = render_time(now + timedelta(hours=1))
    await propose(api, call, transfer("70", notify=False, expires_at=soon))
    await the_world(api).work()
    (before,) = await api.world.top_ups()
    assert not before.notify
    await api.world.register(funding=[{**LEVEL, "trigger": "40"}])
    await step(api)
    (after,) = await api.world.top_ups()
    assert (after.notify, after.expires_at >= now + timedelta(days=1)) == (True, True)
    events = await api.world.events()
    assert events[-1] == "top_up.link_ready"


async def test_money_that_is_added_to_an_open_link_has_its_own_time_and_is_told_of(api: Api, call: Caller) -> None:
    """The backend shows 20 for an hour; 5 more are theirs for a day, and a message is wanted for them."""
    soon = render_time(the_world(api).clock.now() + timedelta(hours=1))
    await propose(api, call, transfer("20", notify=False, expires_at=soon))
    (before,) = await api.world.top_ups()
    added = await add(call, None)
    assert (added["id"], added["notify"]) == (before.id, True)
    assert added["expires_at"] > render_time(before.expires_at)
    assert added["version"] > before.version
