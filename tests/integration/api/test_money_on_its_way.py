"""Money that is paid and not there yet: it lands what it was paid for, once, and is not asked for a second time."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from notifier.model import SessionStatus
from tests.integration.api.conftest import Api, Caller
from tests.integration.api.test_asks_at_risk import LEVEL, checkout, serve_asks, the_world, transfer
from tests.integration.api.test_transactions import DOLLAR, USDC_HOLDING, asked, get, propose, step
from watcher.closing import RECEIPT_PATIENCE
from watcher.model import TopUp
from watcher.store.database import Database

SHARED = {"wallet": "w-1", "network": "local-evm", "asset": "USDC"}


@pytest.fixture
async def api(database: Database, tmp_path: Path) -> AsyncIterator[Api]:
    async with serve_asks(database, tmp_path) as served:
        yield served


async def add(call: Caller, amount: str | None, **changes: Any) -> Any:
    status, answer = await call("POST", "/v1/top-ups", {**SHARED, "amount": amount, **changes})
    assert status in (200, 201), answer
    return answer


async def pay(api: Api, status: str = "open") -> TopUp:
    """The newest top-up with this status is paid; Stripe does not name its transaction yet."""
    world = the_world(api)
    await world.work()
    paid = [t for t in await world.top_ups() if t.status == status][-1]
    session = next(s for s in world.onramp.sessions.values() if s.metadata["top_up"] == paid.id)
    world.onramp.become(session.id, SessionStatus.FULFILLMENT_PROCESSING)
    await world.follower.look_at_session(paid.id)
    return await find(api, paid.id)


async def find(api: Api, id_: str) -> TopUp:
    return next(t for t in await api.world.top_ups() if t.id == id_)


async def subjects(call: Caller, id_: str) -> list[str]:
    """Ids of what a top-up is for."""
    return [each["id"] for each in (await call("GET", f"/v1/top-ups/{id_}"))[1]["for"]]


async def wait_for_receipt(api: Api, balance: int) -> None:
    """The balance stays, for longer than Stripe is given to name a transaction."""
    await step(api, {USDC_HOLDING: balance})
    the_world(api).clock.advance(seconds=RECEIPT_PATIENCE.seconds + 1)
    await step(api)


async def test_a_purchase_that_joins_what_the_balance_tells_does_not_land_by_it(api: Api, call: Caller) -> None:
    """30 for a transfer, then a whole price of 5 in the same link: 30 from elsewhere are not the purchase."""
    await propose(api, call, transfer("30"))
    await step(api, {USDC_HOLDING: 26 * DOLLAR})
    await propose(api, call, checkout("4", "order-1"), "checkout")
    (joined,) = await api.world.top_ups()
    paid = await pay(api)
    assert paid.id == joined.id
    await wait_for_receipt(api, 30 * DOLLAR)
    assert (await find(api, paid.id)).status == "settling"
    assert (await get(call, "order-1", "checkout"))["status"] == "short"
    await wait_for_receipt(api, 56 * DOLLAR)
    assert (await find(api, paid.id)).status == "landed"
    assert (await get(call, "order-1", "checkout"))["status"] == "covered"


async def test_added_funds_that_join_what_the_balance_tells_do_not_land_by_it(api: Api, call: Caller) -> None:
    """40 open for a level, 5 added: the same link, and what lands it is what it brings."""
    await api.world.register(funding=[LEVEL])
    await step(api, {USDC_HOLDING: 10 * DOLLAR})
    (level,) = await api.world.top_ups()
    added = await add(call, "5")
    assert (added["id"], added["asked"]) == (level.id, "40")
    await step(api, {USDC_HOLDING: 15 * DOLLAR})
    paid = await pay(api)
    await wait_for_receipt(api, 50 * DOLLAR)
    assert (await find(api, paid.id)).status == "settling"
    await wait_for_receipt(api, 55 * DOLLAR)
    assert (await find(api, paid.id)).status == "landed"


async def test_a_purchase_does_not_land_by_what_was_paid_before_it(api: Api, call: Caller) -> None:
    """10 are on their way when a whole price of 10 is asked for and paid: the first 10 are not its own."""
    await propose(api, call, checkout("10", "order-1"), "checkout")
    first = await pay(api)
    await propose(api, call, checkout("10", "order-2"), "checkout")
    second = await pay(api)
    await wait_for_receipt(api, 10 * DOLLAR)
    assert [(await find(api, t.id)).status for t in (first, second)] == ["landed", "settling"]
    assert (await get(call, "order-2", "checkout"))["status"] == "short"
    await wait_for_receipt(api, 20 * DOLLAR)
    assert (await find(api, second.id)).status == "landed"


async def test_a_choice_of_the_person_s_is_not_answered_by_what_was_paid_before_it(api: Api, call: Caller) -> None:
    """10 are on their way when as much as the person chooses is asked for: its link stays when they come."""
    await propose(api, call, transfer("10"))
    await pay(api)
    swap = {"id": "swap-1", "wallet": "w-1", "network": "local-evm", "want": "0x" + "ab" * 20}
    await propose(api, call, {**swap, "pay_in": [{"asset": "USDC"}]}, "swap")
    await the_world(api).work()
    await wait_for_receipt(api, 10 * DOLLAR)
    await the_world(api).work()
    assert await asked(api) == {"USDC": None}
    assert (await get(call, "swap-1", "swap"))["status"] == "short"


async def test_added_funds_do_not_land_by_what_was_paid_before_them(api: Api, call: Caller) -> None:
    """The same for what a person presses for, before any step has read the balance."""
    await propose(api, call, transfer("10"))
    await pay(api)
    await add(call, "10")
    await step(api)
    added = await pay(api)
    await wait_for_receipt(api, 10 * DOLLAR)
    assert (await find(api, added.id)).status == "settling"
    await wait_for_receipt(api, 20 * DOLLAR)
    assert (await find(api, added.id)).status == "landed"


async def test_added_funds_are_measured_from_a_balance_that_is_read_for_them(api: Api, call: Caller) -> None:
    """100 were there when somebody last looked, and 20 are by now: 10 added land at 30."""
    await propose(api, call, transfer("100"))
    await step(api, {USDC_HOLDING: 100 * DOLLAR})
    await step(api)
    assert (await call("POST", "/v1/transactions/tx-1/complete", {}))[0] == 200
    await step(api, {USDC_HOLDING: 20 * DOLLAR})
    await add(call, "10")
    await step(api)
    added = await pay(api)
    assert added.destinations[0].baseline == 20 * DOLLAR
    await wait_for_receipt(api, 30 * DOLLAR)
    assert (await find(api, added.id)).status == "landed"


async def test_a_level_that_was_refused_is_not_asked_for_in_an_ask_s_link(api: Api, call: Caller) -> None:
    """The person withdrew 40 for a level: a transfer's 5 are all that is asked for until the cooldown is over."""
    await api.world.register(funding=[LEVEL])
    await step(api, {USDC_HOLDING: 10 * DOLLAR})
    (level,) = await api.world.top_ups()
    assert (await call("POST", f"/v1/top-ups/{level.id}/cancel"))[0] == 200
    await propose(api, call, transfer("15"))
    await step(api)
    assert await asked(api) == {"USDC": str(5 * DOLLAR)}


async def test_a_level_that_is_being_filled_is_not_asked_for_in_an_ask_s_link(api: Api, call: Caller) -> None:
    """40 are on their way to a level at 10; a transfer of 60 needs 10 more, and no level is behind that."""
    await api.world.register(funding=[LEVEL])
    await step(api, {USDC_HOLDING: 10 * DOLLAR})
    await pay(api)
    await propose(api, call, transfer("60"))
    await step(api)
    await step(api, {USDC_HOLDING: 8 * DOLLAR})
    assert await asked(api) == {"USDC": str(12 * DOLLAR)}
    (ask,) = [t for t in await api.world.top_ups() if t.status == "open"]
    assert ask.reason["code"] == "transaction"


async def test_a_replaced_link_that_is_paid_late_withdraws_the_one_in_its_place(api: Api, call: Caller) -> None:
    """20 open, replaced by 25 for a balance that fell; the 20 are paid when it is back: nothing more is asked for."""
    await step(api, {USDC_HOLDING: 10 * DOLLAR})
    await propose(api, call, transfer("30"))
    await the_world(api).work()
    await step(api, {USDC_HOLDING: 5 * DOLLAR})
    assert await asked(api) == {"USDC": str(25 * DOLLAR)}
    assert (await pay(api, "superseded")).late
    await step(api, {USDC_HOLDING: 10 * DOLLAR})
    assert await asked(api) == {}
    assert (await api.world.events())[-1] == "top_up.retracted"
    await wait_for_receipt(api, 30 * DOLLAR)
    assert (await get(call))["status"] == "covered"
    assert await asked(api) == {}


async def test_late_money_that_may_be_there_already_is_counted_once(api: Api, call: Caller) -> None:
    """30 asked, replaced by 80 for a second transfer. The 30 are paid late and in the balance before they have
    landed: 50 are left to ask for, then and afterwards."""
    await propose(api, call, transfer("30"))
    await the_world(api).work()
    await propose(api, call, transfer("50", "tx-2"))
    await pay(api, "superseded")
    await step(api, {USDC_HOLDING: 30 * DOLLAR})
    assert await asked(api) == {"USDC": str(50 * DOLLAR)}
    await wait_for_receipt(api, 30 * DOLLAR)
    assert await asked(api) == {"USDC": str(50 * DOLLAR)}
    assert len(await api.world.top_ups()) == 3


async def test_a_level_s_ask_shrinks_when_what_shared_it_is_over(api: Api, call: Caller) -> None:
    """145 for a transfer and within them 40 for a level: once the transfer is off it is 40."""
    await api.world.register(funding=[LEVEL])
    await step(api, {USDC_HOLDING: 10 * DOLLAR})
    await propose(api, call, transfer("145"))
    await step(api)
    assert await asked(api) == {"USDC": str(135 * DOLLAR)}
    assert (await call("POST", "/v1/transactions/tx-1/cancel"))[0] == 200
    await step(api)
    await step(api)
    assert await asked(api) == {"USDC": str(40 * DOLLAR)}
    assert len(await api.world.top_ups()) == 3


async def test_a_level_waits_for_money_of_an_unknown_amount(api: Api, call: Caller) -> None:
    """As much as the person chooses is on its way: an open ask is not replaced for a level meanwhile."""
    await api.world.register(funding=[LEVEL])
    await step(api, {USDC_HOLDING: 50 * DOLLAR})
    swap = {"id": "swap-1", "wallet": "w-1", "network": "local-evm", "want": "0x" + "ab" * 20}
    await propose(api, call, {**swap, "pay_in": [{"asset": "USDC"}]}, "swap")
    await the_world(api).work()
    await propose(api, call, transfer("55"))
    await pay(api, "superseded")
    assert (await call("POST", "/v1/transactions/tx-1/cancel"))[0] == 200
    await step(api, {USDC_HOLDING: 10 * DOLLAR})
    await step(api, {USDC_HOLDING: 9 * DOLLAR})
    assert len(await api.world.top_ups()) == 2


async def test_a_later_link_is_not_for_who_is_paid_for_already(api: Api, call: Caller) -> None:
    """A whole price of 10 is on its way; 5 for a transfer come first, and no purchase is over by them."""
    await propose(api, call, checkout("10", "order-1"), "checkout")
    first = await pay(api)
    await propose(api, call, transfer("5"))
    second = await pay(api)
    assert await subjects(call, second.id) == ["tx-1"]
    await wait_for_receipt(api, 15 * DOLLAR)
    assert {(await find(api, t.id)).status for t in (first, second)} == {"landed"}
    assert await subjects(call, first.id) == ["order-1"]


async def test_what_is_added_a_second_time_leaves_the_first_as_it_is(api: Api, call: Caller) -> None:
    """10 added and paid, 20 asked for a transfer, 10 more added: 30 are to pay, and the first 10 are a landing."""
    await add(call, "10")
    await step(api)
    first = await pay(api)
    await propose(api, call, transfer("20"))
    second = await add(call, "10")
    assert second["asked"] == "30"
    assert second["for"] == [{"object": "transaction", "id": "tx-1"}, {"object": "wallet", "id": "w-1"}]
    assert await subjects(call, first.id) == ["w-1"]
    await step(api)
    paid = await pay(api)
    await wait_for_receipt(api, 10 * DOLLAR)
    assert [(await find(api, t.id)).status for t in (first, paid)] == ["landed", "settling"]
    await wait_for_receipt(api, 40 * DOLLAR)
    assert (await find(api, paid.id)).status == "landed"
    assert await asked(api) == {}
