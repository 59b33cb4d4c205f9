"""From an ask to its end: whatever Stripe answers, at most one session an attempt, and nothing lost."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, update

from config.model import Level
from notifier.errors import OnrampMisconfigured, OnrampPaused, OnrampRefused, OnrampUserRefused
from notifier.model import SessionStatus
from tests.fakes.onramp import FakeOnramp, lost_answer, server_error
from tests.fakes.settings import ETH, make_policy, make_settings, make_tenant
from tests.integration.watcher.world import ETH_HOLDING, World
from watcher.asks.beforehand import Sources
from watcher.asks.looking import Looker
from watcher.closing import GIVEN_UP, RECEIPT_PATIENCE
from watcher.dispatch import Dispatcher
from watcher.look import Follower
from watcher.model import TopUp, TopUpStatus
from watcher.render import find_link_status
from watcher.session_request import Onramps
from watcher.store.database import Database
from watcher.store.tables import app_user, wallet
from watcher.sweeps import Sweeper
from watcher.top_ups import move_top_up

TRANSACTION = "0x" + "ab" * 32


class Asking(World):
    """The world with somebody to ask."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.onramp = FakeOnramp()
        onramps = Onramps({"default": self.onramp}, "ins_1", self.settings)
        self.sources = Sources(self.database, self.settings, {self.chain.network: self.chain})
        self.looker = Looker(self.sources, clock=self.clock, new_id=self.new_id)
        self.dispatcher = Dispatcher(
            self.database, onramps, clock=self.clock, new_id=self.new_id, may_send=self.looker.may_send
        )
        self.follower = Follower(self.database, onramps, clock=self.clock, new_id=self.new_id)
        self.sweeper = Sweeper(self.database, self.settings.networks, clock=self.clock, new_id=self.new_id)

    async def work(self, limit: int = 30) -> int:
        """Run queued jobs until there is none, the clock going to each one's time. Gives how many ran."""
        for ran in range(limit):
            jobs = await self.jobs()
            if not jobs:
                return ran
            for name, args in jobs:
                if name == "create_session":
                    await self.dispatcher.create_session(**args)
                elif name == "look_at_session":
                    await self.follower.look_at_session(**args)
            self.clock.advance(minutes=6)
        raise AssertionError("the jobs never end")

    async def run_low(self) -> TopUp:
        await self.register()
        await self.step({ETH_HOLDING: ETH - 1})
        return (await self.top_ups())[0]

    async def ask(self) -> TopUp:
        """The one top-up as it is now."""
        (found,) = await self.top_ups()
        return found

    def created(self) -> list[str]:
        return [key for what, key in self.onramp.calls if what == "create"]


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> Asking:
    made = Asking(database, make_settings(tmp_path))
    await made.start()
    return made


async def test_a_link_is_ready_once(world: Asking) -> None:
    """One create under the key `<top-up>:1`, one link_ready, however often the job runs."""
    top_up = await world.run_low()
    await world.dispatcher.create_session(top_up.id)
    await world.dispatcher.create_session(top_up.id)
    await world.work()
    assert world.created() == [f"{top_up.id}:1"]
    assert (await world.events()).count("top_up.link_ready") == 1
    assert [step["step"] for step in (await world.ask()).timeline] == ["decided", "session_created", "notified"]


async def test_a_lost_answer_is_asked_for_again_under_its_key(world: Asking) -> None:
    """Time-out after the effect: the same key gives the same session, and there is no second one."""
    top_up = await world.run_low()
    world.onramp.script = [("after", lost_answer())]
    await world.work()
    assert world.created() == [f"{top_up.id}:1"] * 2
    assert len(world.onramp.sessions) == 1
    assert "top_up.link_ready" in await world.events()


async def test_a_stored_fault_after_the_effect_is_found_by_listing(world: Asking) -> None:
    """A 500 that Stripe replays for ever: after a few tries the session is looked for, and adopted."""
    await world.run_low()
    world.onramp.script = [("after", server_error())]
    await world.work()
    assert len(world.onramp.sessions) == 1
    assert set(world.created()) == {world.created()[0]}
    assert "top_up.link_ready" in await world.events()


async def test_a_stored_fault_before_the_effect_leads_to_another_attempt(world: Asking) -> None:
    """Known not to exist: a new attempt under a new key, and still one session."""
    top_up = await world.run_low()
    world.onramp.script = [server_error()]
    await world.work()
    assert world.created()[-1] == f"{top_up.id}:2"
    assert len(world.onramp.sessions) == 1


async def test_past_the_life_of_its_key_a_session_is_looked_for_first(world: Asking) -> None:
    """Stripe down for 30 hours after an unanswered create: the session that exists is adopted, none is created."""
    top_up = await world.run_low()
    world.onramp.script = [("after", lost_answer())]
    await world.dispatcher.create_session(top_up.id)
    world.clock.advance(hours=30)
    await world.dispatcher.create_session(top_up.id)
    assert world.created() == [f"{top_up.id}:1"]
    assert ("find", f"{top_up.id}:1") in world.onramp.calls
    assert len(world.onramp.sessions) == 1


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OnrampRefused("no", code="invalid_parameter", http_status=400), TopUpStatus.FAILED),
        (OnrampUserRefused("no", code="crypto_onramp_unsupported_country", http_status=400), TopUpStatus.REJECTED),
    ],
)
async def test_a_refusal_ends_the_ask_with_its_reason(
    world: Asking, error: OnrampRefused | OnrampUserRefused, status: TopUpStatus
) -> None:
    """Refused parameters fail the ask, a refused person rejects it; neither is tried again."""
    await world.run_low()
    world.onramp.script = [error]
    await world.work()
    ask = await world.ask()
    assert (ask.status, ask.failure) == (status, error.code)
    assert len(world.created()) == 1


@pytest.mark.parametrize("error", [OnrampPaused("paused"), OnrampMisconfigured("key revoked", http_status=401)])
async def test_a_pause_stops_all_creates_for_a_while(world: Asking, error: OnrampPaused) -> None:
    """While minting is off nothing is asked of Stripe; afterwards the same attempt goes on."""
    top_up = await world.run_low()
    world.onramp.script = [error]
    await world.dispatcher.create_session(top_up.id)
    await world.dispatcher.create_session(top_up.id)
    assert len(world.created()) == 1
    world.clock.advance(minutes=6)
    await world.dispatcher.create_session(top_up.id)
    assert world.created() == [f"{top_up.id}:1"] * 2
    assert (await world.ask()).status is TopUpStatus.OPEN


async def test_stripes_word_alone_lands_nothing(world: Asking) -> None:
    """Complete at Stripe and silent on chain: settling, and the need is not asked for again."""
    top_up = await world.run_low()
    await world.work()
    world.onramp.become("cos_1", SessionStatus.FULFILLMENT_COMPLETE)
    await world.follower.look_at_session(top_up.id)
    await world.step({ETH_HOLDING: ETH - 2})
    assert [t.status for t in await world.top_ups()] == [TopUpStatus.SETTLING]


async def test_funds_on_chain_land_it_with_what_arrived(world: Asking) -> None:
    """Stripe's transaction found at the closing depth: landed, full, and the receipt says what came."""
    top_up = await world.run_low()
    await world.work()
    world.onramp.become("cos_1", SessionStatus.FULFILLMENT_COMPLETE, transaction=TRANSACTION)
    await world.follower.look_at_session(top_up.id)
    world.chain.receipts[TRANSACTION, ETH_HOLDING] = 2 * ETH + 1
    await world.step({ETH_HOLDING: 3 * ETH})
    ask = await world.ask()
    assert (ask.status, ask.outcome) == (TopUpStatus.LANDED, "full")
    assert ask.received is not None
    assert ask.received[0]["amount"] == "2.000000000000000001"
    assert ask.received[0]["transaction"] == TRANSACTION


async def test_after_a_landing_the_next_fall_is_asked_for_at_once(world: Asking) -> None:
    """Topped up, landed, spent again within the hour: a new need, a new ask."""
    top_up = await world.run_low()
    await world.work()
    world.onramp.become("cos_1", SessionStatus.FULFILLMENT_COMPLETE, transaction=TRANSACTION)
    await world.follower.look_at_session(top_up.id)
    world.chain.receipts[TRANSACTION, ETH_HOLDING] = 2 * ETH + 1
    await world.step({ETH_HOLDING: 3 * ETH})
    await world.step({ETH_HOLDING: ETH // 2})
    assert [ask.status for ask in await world.top_ups()] == [TopUpStatus.LANDED, TopUpStatus.OPEN]


async def test_funds_spent_at_once_have_still_landed(world: Asking) -> None:
    """The balance never shows them, the transaction does."""
    top_up = await world.run_low()
    await world.work()
    world.onramp.become("cos_1", SessionStatus.FULFILLMENT_COMPLETE, transaction=TRANSACTION)
    await world.follower.look_at_session(top_up.id)
    world.chain.receipts[TRANSACTION, ETH_HOLDING] = ETH
    await world.step({ETH_HOLDING: 7})
    ask = await world.ask()
    assert (ask.status, ask.outcome) == (TopUpStatus.LANDED, "partial")


async def test_a_paid_ask_lands_by_balance_when_no_transaction_is_named(world: Asking) -> None:
    """After waiting for Stripe to name it, the balance at the closing depth is enough."""
    top_up = await world.run_low()
    await world.work()
    world.onramp.become("cos_1", SessionStatus.FULFILLMENT_PROCESSING)
    await world.follower.look_at_session(top_up.id)
    await world.step({ETH_HOLDING: 3 * ETH})
    assert (await world.ask()).status is TopUpStatus.SETTLING
    world.clock.advance(seconds=RECEIPT_PATIENCE.total_seconds())
    await world.step()
    assert (await world.ask()).status is TopUpStatus.LANDED


async def test_other_funds_retract_an_unpaid_ask_once_stripe_says_unpaid(world: Asking) -> None:
    """The need went: Stripe is asked first, then the ask is withdrawn, once."""
    await world.run_low()
    await world.work()
    await world.step({ETH_HOLDING: 3 * ETH})
    assert (await world.ask()).status is TopUpStatus.OPEN
    await world.work()
    assert (await world.ask()).status is TopUpStatus.RETRACTED
    assert ("retrieve", "cos_1") in world.onramp.calls


async def test_a_paid_ask_is_never_retracted(world: Asking) -> None:
    """The chain rises before Stripe's webhook: Stripe says paid, so it settles and lands, and is not withdrawn."""
    await world.run_low()
    await world.work()
    world.onramp.become("cos_1", SessionStatus.FULFILLMENT_PROCESSING)
    await world.step({ETH_HOLDING: 3 * ETH})
    await world.work()
    assert (await world.ask()).status is TopUpStatus.SETTLING
    assert "top_up.retracted" not in await world.events()


async def test_a_reorg_that_takes_the_need_away_retracts_the_ask(world: Asking) -> None:
    """The spend is gone from the chain: the ask is withdrawn, and said so once."""
    await world.register()
    await world.step({ETH_HOLDING: 5 * ETH})
    await world.step({ETH_HOLDING: 1})
    await world.work()
    world.chain.reorg(1)
    await world.step()
    await world.work()
    assert (await world.ask()).status is TopUpStatus.RETRACTED
    assert (await world.events()).count("top_up.retracted") == 1


async def test_balances_from_before_the_ask_close_nothing(world: Asking) -> None:
    """Twelve deep the chain still shows what was there before the fall: that neither retracts the ask nor lands it."""
    world.chain.depth = 12
    await world.register()
    for _ in range(15):
        await world.step({ETH_HOLDING: 5 * ETH})
    await world.step({ETH_HOLDING: 1})
    await world.work()
    for _ in range(5):
        await world.step()
        await world.work()
    assert (await world.ask()).status is TopUpStatus.OPEN
    world.onramp.become("cos_1", SessionStatus.FULFILLMENT_PROCESSING)
    await world.follower.look_at_session((await world.ask()).id)
    await world.step()
    world.clock.advance(minutes=5)
    await world.step()
    assert (await world.ask()).status is TopUpStatus.SETTLING
    for _ in range(14):
        await world.step({ETH_HOLDING: 3 * ETH})
        world.clock.advance(minutes=1)
    assert [ask.status for ask in await world.top_ups()] == [TopUpStatus.LANDED]


async def test_a_need_gone_before_there_is_a_session_is_not_asked_for(world: Asking) -> None:
    """Stripe unreachable, the money comes from elsewhere: once it answers, the session is made known and withdrawn."""
    await world.run_low()
    world.onramp.down = lost_answer()
    for name, args in await world.jobs():
        assert name == "create_session"
        await world.dispatcher.create_session(**args)
    await world.step({ETH_HOLDING: 3 * ETH})
    world.onramp.down = None
    await world.work()
    await world.sweeper.look_at_due_sessions()
    await world.work()
    assert (await world.ask()).status is TopUpStatus.RETRACTED


async def test_an_expired_ask_that_is_paid_all_the_same_lands_late(world: Asking) -> None:
    """Nothing that was paid is lost, and no second ask follows."""
    top_up = await world.run_low()
    await world.work()
    world.clock.advance(hours=25)
    await world.sweeper.expire_top_ups()
    assert (await world.ask()).status is TopUpStatus.EXPIRED
    world.onramp.become("cos_1", SessionStatus.FULFILLMENT_COMPLETE, transaction=TRANSACTION)
    await world.follower.look_at_session(top_up.id)
    world.chain.receipts[TRANSACTION, ETH_HOLDING] = 2 * ETH + 1
    await world.step({ETH_HOLDING: 3 * ETH})
    ask = await world.ask()
    assert (ask.status, ask.late) == (TopUpStatus.LANDED, True)


async def test_after_an_unanswered_ask_the_cooldown_holds(world: Asking) -> None:
    """Expired and still low: silent for the cooldown, then one more ask."""
    await world.run_low()
    await world.work()
    world.clock.advance(hours=25)
    await world.sweeper.expire_top_ups()
    await world.step()
    assert len(await world.top_ups()) == 1
    world.clock.advance(hours=24)
    await world.step()
    assert len(await world.top_ups()) == 2


async def test_an_overdue_payment_is_told_of_once(world: Asking) -> None:
    """Paid and not on chain a day later: overdue, once, and still settling."""
    top_up = await world.run_low()
    await world.work()
    world.onramp.become("cos_1", SessionStatus.FULFILLMENT_PROCESSING)
    await world.follower.look_at_session(top_up.id)
    world.clock.advance(hours=25)
    await world.sweeper.tell_overdue_top_ups()
    await world.sweeper.tell_overdue_top_ups()
    assert (await world.events()).count("top_up.overdue") == 1
    assert (await world.ask()).status is TopUpStatus.SETTLING


async def test_what_was_given_up_and_arrives_all_the_same_has_landed(world: Asking) -> None:
    """Overdue, written off by the backend, then on chain: landed, late."""
    top_up = await world.run_low()
    await world.work()
    world.onramp.become("cos_1", SessionStatus.FULFILLMENT_COMPLETE, transaction=TRANSACTION)
    await world.follower.look_at_session(top_up.id)
    async with world.database.begin() as conn:
        await move_top_up(conn, await world.ask(), TopUpStatus.FAILED, world.stamp(), values={"failure": GIVEN_UP})
    await world.step()
    assert (await world.ask()).status is TopUpStatus.FAILED
    world.chain.receipts[TRANSACTION, ETH_HOLDING] = 2 * ETH + 1
    await world.step({ETH_HOLDING: 3 * ETH})
    ask = await world.ask()
    assert (ask.status, ask.late, ask.outcome) == (TopUpStatus.LANDED, True, "full")


async def test_looks_go_on_without_webhooks(world: Asking) -> None:
    """No webhook ever: the sweep finds the payment within its interval."""
    await world.run_low()
    await world.work()
    world.onramp.become("cos_1", SessionStatus.FULFILLMENT_COMPLETE)
    world.clock.advance(seconds=30)
    await world.sweeper.look_at_due_sessions()
    await world.work()
    assert (await world.ask()).status is TopUpStatus.SETTLING


async def test_a_new_wallet_is_asked_for_as_a_whole(world: Asking) -> None:
    """One ask without an amount for every network; while it is open no low holding is asked for beside it."""
    funding = [
        {"when": "created", "networks": ["local-evm"]},
        {"when": "low", "network": "local-evm", "asset": "ETH", "trigger": "1", "target": "3"},
    ]
    await world.register(funding=funding)
    await world.step({ETH_HOLDING: 5})
    await world.work()
    (ask,) = await world.top_ups()
    assert (ask.scope, ask.asked, ask.destinations[0].baseline) == ("wallet", None, 5)
    assert world.onramp.sessions["cos_1"].metadata["top_up"] == ask.id


async def test_a_new_wallet_funded_otherwise_is_landed_by_other_funds(world: Asking) -> None:
    """Any rise answers it; unpaid at Stripe means that the money came from elsewhere."""
    await world.register(funding=[{"when": "created", "networks": ["local-evm"]}])
    await world.step({ETH_HOLDING: 5})
    await world.work()
    await world.step({ETH_HOLDING: 6})
    await world.work()
    ask = await world.ask()
    assert (ask.status, ask.outcome) == (TopUpStatus.LANDED, "other_funds")


async def test_looks_slow_down_and_never_stop_while_the_ask_is_alive(world: Asking) -> None:
    """Looks slow down while nobody pays, and never stop while the ask is alive."""
    top_up = await world.run_low()
    await world.work()
    for _ in range(40):
        world.clock.advance(minutes=5)
        await world.follower.look_at_session(top_up.id)
    world.clock.advance(minutes=5)
    await world.sweeper.look_at_due_sessions()
    assert [name for name, _ in await world.jobs()] == ["look_at_session"]


async def test_an_ask_whose_levels_are_counted_in_transactions_is_withdrawn_where_it_recovers(
    database: Database, tmp_path: Path
) -> None:
    """The gas buffer moves with the fee: recovered is above the trigger, not only at all that was asked for."""
    policy = make_policy(gas_buffer=Level(transactions=2))
    tenant = make_tenant(policies={"default": policy})
    world = Asking(database, make_settings(tmp_path, tenant=tenant))
    await world.start()
    await world.run_low()
    await world.work()
    await world.step({ETH_HOLDING: 2 * ETH})
    await world.work()
    assert (await world.ask()).status is TopUpStatus.RETRACTED


async def test_while_asks_are_paused_the_link_is_withheld(world: Asking) -> None:
    """Paused between the decision and the session: no session until the pause is over, then one."""
    await world.register()
    await world.step({ETH_HOLDING: ETH - 1})
    until = world.clock.now() + timedelta(hours=1)
    async with world.database.begin() as conn:
        await conn.execute(update(wallet).values(asks_paused_until=until))
    (job,) = await world.jobs()
    await world.dispatcher.create_session(**job[1])
    assert world.created() == []
    assert find_link_status(await world.ask(), None) == "withheld"
    await world.work()
    assert len(world.created()) > 0
    assert len(world.onramp.sessions) == 1
    assert not (await world.ask()).withheld


async def test_a_wallet_registered_while_paused_is_asked_for_afterwards(world: Asking) -> None:
    """The first ask is there and waits; it lives from the end of the pause on."""
    until = world.clock.now() + timedelta(days=2)
    await world.register(funding=[{"when": "created", "networks": ["local-evm"]}], asks_paused_until=until)
    (job,) = await world.jobs()
    await world.dispatcher.create_session(**job[1])
    assert world.created() == []
    assert (await world.ask()).expires_at == until + timedelta(days=1)


async def test_a_new_wallet_is_asked_for_what_is_sold_to_its_user(database: Database, tmp_path: Path) -> None:
    """A country where Stripe sells nothing of it: no ask; one where it does: one."""
    world = Asking(database, make_settings(tmp_path))
    await world.start()
    async with database.begin() as conn:
        for user, country in (("u-gb", "GB"), ("u-de", "DE")):
            now = world.clock.now()
            row = {"tenant": "default", "id": user, "country": country, "contacts": {}, "metadata": {}, "version": 1}
            await conn.execute(insert(app_user).values(**row, created_at=now, updated_at=now))
    created = [{"when": "created", "networks": ["local-evm"]}]
    await world.register(id="w-gb", user="u-gb", funding=created)
    await world.register(id="w-de", user="u-de", funding=created)
    assert [ask.wallet for ask in await world.top_ups()] == ["w-de"]
