"""A proposed transaction: what it was found to need is asked for, looked at again, and asked for no longer."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import cast, func, update
from sqlalchemy.dialects.postgresql import JSONB, array

from chains.amounts import format_amount
from chains.errors import Unavailable
from chains.model import NATIVE, BlockRef
from chains.needs import BadTransaction, Outflow, TransactionNeeds, Verdict
from notifier.model import SessionStatus
from tests.fakes.settings import ETH, USDC, make_network, make_policy, make_settings, make_tenant, make_token
from tests.integration.api.backend import apply, outcomes, post, refusals, say
from tests.integration.api.conftest import Api, Caller, serve, two_tenants
from tests.integration.api.test_transactions import COMMON, DOLLAR, USDC_HOLDING, get, step
from tests.integration.watcher.test_asking import TRANSACTION, Asking
from watcher.asks import looking
from watcher.asks.looking import MOST_CHASES
from watcher.model import TopUpStatus
from watcher.store.analysed import OFTEN_SECONDS, SELDOM_SECONDS
from watcher.store.database import Database
from watcher.store.tables import ask

CALL = {"to": "0x00000000000000000000000000000000000000aa", "data": "0x01", "value": "0x0"}
BODY = {"id": "tx-1", "wallet": "w-1", "network": "local-evm", "transaction": CALL}
ORDER = {"id": "o-1", "wallet": "w-1", "network": "local-evm", "price": {"asset": "USDC", "amount": "30"}}
GAS = Outflow(NATIVE, ETH // 100, "gas", {"limit": 65_000})
UNKNOWN_TOKEN = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"


def found(*outflows: Outflow, verdict: Verdict = Verdict.FUNDS, **changes: Any) -> TransactionNeeds:
    """What the chain answers."""
    needs = TransactionNeeds(BlockRef(0, None), outflows, verdict, "", True, "simulate", frozenset(), (), 5)
    return replace(needs, **changes)


def dollars(amount: int) -> Outflow:
    return Outflow(USDC, amount * DOLLAR, "required")


@pytest.fixture
async def api(database: Database, tmp_path: Path) -> AsyncIterator[Api]:
    """One wallet without levels, on a chain that says what it is told to."""
    network = make_network()
    network = replace(network, assets=(*network.assets, make_token()))
    settings = two_tenants(tmp_path)
    tenant = replace(settings.tenants["default"], policies={"default": make_policy(low=())})
    made = make_settings(tmp_path, network=network, tenant=make_tenant())
    world = Asking(database, replace(made, tenants={**settings.tenants, "default": tenant}))
    await world.start()
    async with serve(world) as served:
        await world.register()
        await world.step()
        yield served


async def propose(api: Api, call: Caller, needs: TransactionNeeds, body: dict[str, Any] = BODY) -> Any:
    """The ask as the next step leaves it."""
    api.world.chain.needs = needs
    status, answer = await call("POST", "/v1/transactions", body)
    assert status == 201, answer
    await step(api)
    return await get(call, body["id"])


async def look_again(api: Api, needs: TransactionNeeds) -> None:
    """Another block, another answer, and the step after it."""
    api.world.chain.needs = needs
    await step(api)
    api.world.clock.advance(seconds=SELDOM_SECONDS + 1)
    await asking(api).looker.look_again()
    await step(api)


async def amounts(api: Api) -> dict[str, str]:
    """What is asked for now, by symbol."""
    open_ones = [t for t in await api.world.top_ups() if t.status is TopUpStatus.OPEN]
    opened = [(t.destinations[0], t.asked or 0) for t in open_ones]
    assert len({d.symbol for d, _ in opened}) == len(opened)
    return {d.symbol: format_amount(units, d.decimals) for d, units in opened}


async def deliver(api: Api, symbol: str, units: int) -> None:
    """The person pays, and the onramp names its transaction: so much of it will be there with the next blocks."""
    world = asking(api)
    await world.work()
    open_ones = [t for t in await world.top_ups() if t.status is TopUpStatus.OPEN]
    paid = next(t for t in open_ones if t.destinations[0].symbol == symbol)
    session = next(s for s in world.onramp.sessions.values() if s.metadata["top_up"] == paid.id)
    world.onramp.become(session.id, SessionStatus.FULFILLMENT_COMPLETE, transaction=TRANSACTION)
    await world.follower.look_at_session(paid.id)
    world.chain.receipts[TRANSACTION, paid.destinations[0].holding] = units


def asking(api: Api) -> Asking:
    assert isinstance(api.world, Asking)
    return api.world


async def test_what_a_transaction_takes_is_asked_for(api: Api, call: Caller) -> None:
    """The bill says what is needed of each asset and why, how that was found, at which block, and if it is proven."""
    tx = await propose(api, call, found(dollars(10), GAS))
    assert (tx["status"], tx["reason"], tx["transaction"]) == ("short", None, CALL)
    bill = tx["bill"]
    assert (bill["exact"], bill["method"], bill["analysed_at"]) == (True, "simulate", {"height": 1, "hash": "0x01"})
    token, gas = bill["assets"]
    assert (token["asset"], token["needed"], token["missing"]) == ("USDC", "10", "10")
    assert gas["lines"] == [{"what": "gas", "amount": "0.01", "limit": 65_000}]
    assert await amounts(api) == {"USDC": "10", "ETH": "0.01"}


async def test_what_was_not_proven_is_not_called_exact(api: Api, call: Caller) -> None:
    """The bill carries the chain's own doubt."""
    tx = await propose(api, call, found(dollars(10), exact=False, method="decode"))
    assert (tx["bill"]["exact"], tx["bill"]["method"]) == (False, "decode")


async def test_a_transaction_that_takes_nothing_is_covered(api: Api, call: Caller) -> None:
    """Nobody waits for a balance that doesn't matter."""
    api.world.chain.needs = found()
    _, tx = await call("POST", "/v1/transactions", BODY)
    assert tx["status"] == "covered"
    assert "transaction.covered" in await api.world.events()


async def test_a_missing_approval_stands_beside_missing_money(api: Api, call: Caller) -> None:
    """`short` with the reason while money is missing; `not_funds` once only the approval is; `covered` with both."""
    tx = await propose(api, call, found(dollars(10), verdict=Verdict.ALLOWANCE, detail="0x01 may not take enough"))
    assert (tx["status"], tx["reason"]["code"]) == ("short", "allowance")
    assert tx["reason"]["detail"] == "0x01 may not take enough"
    await step(api, {USDC_HOLDING: 10 * DOLLAR})
    tx = await get(call)
    assert (tx["status"], tx["reason"]["code"]) == ("not_funds", "allowance")
    await look_again(api, found(dollars(10)))
    tx = await get(call)
    assert (tx["status"], tx["reason"]) == ("covered", None)


@pytest.mark.parametrize("verdict", [Verdict.REVERTS, Verdict.DEADLINE])
async def test_money_is_not_asked_for_where_it_would_not_help(api: Api, call: Caller, verdict: Verdict) -> None:
    """`not_funds` with the network's own reason, in characters that can be shown, and no top-up."""
    tx = await propose(api, call, found(dollars(10), verdict=verdict, detail="sold out\x1b[31m" + "x" * 500))
    assert (tx["status"], tx["reason"]["code"], tx["bill"]) == ("not_funds", verdict.value, None)
    assert tx["reason"]["detail"].startswith("sold out?[31m")
    assert len(tx["reason"]["detail"]) == 300
    assert await api.world.top_ups() == []


async def test_tokens_that_are_not_configured_are_reported_and_not_sold(api: Api, call: Caller) -> None:
    """Buying what is sold would not help: nothing is asked for, and the tokens are named."""
    tx = await propose(api, call, found(dollars(10), GAS, unknown_assets=(UNKNOWN_TOKEN,)))
    assert (tx["status"], tx["reason"]["code"]) == ("not_funds", "unknown_asset")
    assert UNKNOWN_TOKEN in tx["reason"]["detail"]
    assert await api.world.top_ups() == []


async def test_an_absurd_amount_is_not_asked_for(api: Api, call: Caller) -> None:
    """A program that takes whatever there is: no link over the most that can be bought, but a refusal."""
    tx = await propose(api, call, found(dollars(10), replace(GAS, amount=10**9 * ETH + 1)))
    assert (tx["status"], tx["reason"]["code"]) == ("not_funds", "reverts")
    assert tx["reason"]["detail"] == "absurd: it takes more than 1000000000 ETH"
    assert await api.world.top_ups() == []


async def test_an_unreadable_network_says_neither_yes_nor_no(api: Api, call: Caller) -> None:
    """The ask is kept as `unknown`, nothing is asked for, and it is looked at again by itself."""
    api.world.chain.fail(Unavailable("no answer"))
    status, tx = await call("POST", "/v1/transactions", BODY)
    assert (status, tx["status"], tx["bill"]) == (201, "unknown", None)
    api.world.chain.fail(None)
    await step(api)
    assert (await get(call))["status"] == "unknown"
    await look_again(api, found(dollars(10)))
    assert (await get(call))["status"] == "short"
    assert await amounts(api) == {"USDC": "10"}


async def test_what_is_no_transaction_is_refused_at_its_field(api: Api, call: Caller) -> None:
    """422 that names the part, and nothing is stored."""
    api.world.chain.needs = BadTransaction("to", "not_an_address", "must be 0x and 40 hexadecimal digits")
    before = await api.counts()
    status, problem = await call("POST", "/v1/transactions", BODY)
    assert status == 422
    assert [(e["field"], e["code"]) for e in problem["errors"]] == [("/transaction/to", "not_an_address")]
    assert await api.counts() == before


async def test_a_transaction_stands_alone(api: Api, call: Caller) -> None:
    """Needs and a gas limit beside it would say the same thing twice."""
    body = {**BODY, "needs": [{"asset": "USDC", "amount": "1"}], "gas": {"limit": 5}}
    status, problem = await call("POST", "/v1/transactions", body)
    assert status == 422
    assert {e["field"] for e in problem["errors"]} == {"/needs", "/gas/limit"}


@pytest.mark.parametrize(("gas", "pays"), [({}, True), ({"gas": {"payer": "other"}}, False)])
async def test_who_pays_for_gas_is_what_the_backend_says(
    api: Api, call: Caller, gas: dict[str, Any], *, pays: bool
) -> None:
    """A paymaster or a bundler: its gas is not the wallet's need."""
    await propose(api, call, found(dollars(10)), {**BODY, **gas})
    assert api.world.chain.pays_gas is pays


async def test_a_transaction_that_needs_less_money_no_more_is_let_go(api: Api, call: Caller) -> None:
    """A later block in which it takes nothing of an asset: the unpaid top-up for that is withdrawn, once."""
    await propose(api, call, found(dollars(10), GAS))
    await look_again(api, found(GAS))
    by_asset = {t.destinations[0].symbol: t.status for t in await api.world.top_ups()}
    assert by_asset == {"USDC": TopUpStatus.RETRACTED, "ETH": TopUpStatus.OPEN}
    assert [entry["asset"] for entry in (await get(call))["bill"]["assets"]] == ["ETH"]
    await look_again(api, found(verdict=Verdict.REVERTS, detail="paused"))
    assert {t.status for t in await api.world.top_ups()} == {TopUpStatus.RETRACTED}
    assert (await get(call))["reason"]["code"] == "reverts"
    assert (await api.world.events()).count("top_up.retracted") == 2


async def test_a_transaction_that_needs_more_supersedes_what_was_asked(api: Api, call: Caller) -> None:
    """The price has moved: one open top-up, for what it takes now."""
    await propose(api, call, found(dollars(10)))
    await look_again(api, found(dollars(12)))
    assert await amounts(api) == {"USDC": "12"}
    assert (await get(call))["bill"]["assets"][0]["needed"] == "12"


async def test_a_fee_that_has_hardly_moved_changes_nothing(api: Api, call: Caller) -> None:
    """Within a tenth the buffer is for it: no new link at each block."""
    await propose(api, call, found(GAS))
    (before,) = await api.world.top_ups()
    await look_again(api, found(replace(GAS, amount=GAS.amount * 105 // 100)))
    assert [t.id for t in await api.world.top_ups()] == [before.id]
    await look_again(api, found(replace(GAS, amount=GAS.amount * 12 // 10)))
    assert await amounts(api) == {"ETH": "0.012"}


async def test_a_quiet_network_is_not_asked_again(api: Api, call: Caller) -> None:
    """Without a new block the answer is the same; with one it is looked at again, not more often than every 5 s."""
    await propose(api, call, found(dollars(10)))
    await look_again(api, found(dollars(10)))
    world = asking(api)
    asked_so_far = world.chain.analysed
    world.clock.advance(seconds=10)
    await step(api)  # a block
    await world.looker.look_again()
    assert world.chain.analysed == asked_so_far + 1
    await step(api)  # another, at once
    await world.looker.look_again()
    world.clock.advance(seconds=10)
    await world.looker.look_again()
    await world.looker.look_again()
    assert world.chain.analysed == asked_so_far + 2


async def test_what_is_met_for_good_is_not_looked_at_again(api: Api, call: Caller) -> None:
    """Covered at the closing depth: its asking is over, whatever becomes of the transaction."""
    await propose(api, call, found(dollars(10)))
    for _ in range(3):
        await step(api, {USDC_HOLDING: 10 * DOLLAR})
    assert (await get(call))["status"] == "covered"
    before = api.world.chain.analysed
    await look_again(api, found(dollars(20)))
    assert api.world.chain.analysed == before
    assert (await get(call))["status"] == "covered"


async def test_just_before_the_link_it_is_looked_at_once_more(api: Api, call: Caller) -> None:
    """What was decided on an older block is for another amount by now: that link is never made, the right one is."""
    await propose(api, call, found(dollars(10)))
    await step(api)
    api.world.chain.needs = found(dollars(7))
    await asking(api).work()
    assert asking(api).created() == []
    await step(api)
    await asking(api).work()
    by_asked = {t.asked: t.status for t in await api.world.top_ups()}
    assert by_asked == {10 * DOLLAR: TopUpStatus.RETRACTED, 7 * DOLLAR: TopUpStatus.OPEN}
    assert len(asking(api).onramp.sessions) == 1
    assert (await api.world.events()).count("top_up.link_ready") == 1


async def test_no_link_goes_out_while_the_network_cannot_be_asked(api: Api, call: Caller) -> None:
    """Unknown is not the same as before: the link waits, and comes once it is known again."""
    await propose(api, call, found(dollars(10)))
    await step(api)
    api.world.chain.fail(Unavailable("no answer"))
    ((name, args),) = await api.world.jobs()
    assert name == "create_session"
    await asking(api).dispatcher.create_session(**args)
    assert asking(api).created() == []
    api.world.chain.fail(None)
    await asking(api).work()
    assert len(asking(api).created()) == 1


async def test_a_purchase_leaves_room_for_what_its_transaction_costs(api: Api, call: Caller) -> None:
    """The price as it was told, and beside it gas; what the transaction itself takes of the price is in the price."""
    api.world.chain.needs = found(dollars(28), GAS)
    body = {"id": "o-1", "wallet": "w-1", "network": "local-evm", "price": {"asset": "USDC", "amount": "30"}}
    status, _ = await call("POST", "/v1/checkouts", {**body, "transaction": CALL})
    assert status == 201
    await step(api)
    assert await amounts(api) == {"USDC": "30", "ETH": "0.01"}
    await look_again(api, found(dollars(28), replace(GAS, amount=2 * GAS.amount)))
    assert await amounts(api) == {"USDC": "30", "ETH": "0.02"}


async def test_a_preflight_looks_at_the_transaction_and_opens_nothing(api: Api, call: Caller) -> None:
    """As the ask would stand, bill and all."""
    api.world.chain.needs = found(dollars(10), GAS)
    before = await api.counts()
    raw = {name: value for name, value in BODY.items() if name != "id"}
    status, seen = await call("POST", "/v1/preflight", {"transaction": raw})
    assert (status, seen["status"], seen["bill"]["method"]) == (200, "short", "simulate")
    api.world.chain.needs = found(verdict=Verdict.DEADLINE)
    _, seen = await call("POST", "/v1/preflight", {"transaction": raw})
    assert (seen["status"], seen["reason"]["code"]) == ("not_funds", "deadline")
    assert await api.counts() == before


async def test_a_transaction_told_of_by_webhook_is_looked_at_alike(api: Api, call: Caller) -> None:
    """Accepted at once, looked at when it is applied; one that is none comes back as `inbound.refused`."""
    api.world.chain.needs = found(dollars(10))
    assert (await post(api, say("transaction.proposed", **BODY)))[0] == 202
    assert await apply(api) == 1
    await step(api)
    assert (await get(call))["status"] == "short"
    api.world.chain.needs = BadTransaction("data", "not_hexadecimal", "must be 0x and hexadecimal digits")
    await post(api, say("transaction.proposed", **{**BODY, "id": "tx-2"}), webhook_id="msg_2")
    await apply(api)
    assert (await outcomes(api))["msg_2"] == "refused"
    assert [e["field"] for e in (await refusals(api))[0]["errors"]] == ["/data/transaction/data"]


async def test_a_transaction_of_a_removed_wallet_is_over(api: Api, call: Caller) -> None:
    """Nothing is looked at for it, and nothing is asked."""
    await propose(api, call, found(dollars(10)))
    await call("DELETE", "/v1/wallets/w-1")
    before = api.world.chain.analysed
    await look_again(api, found(dollars(20)))
    assert api.world.chain.analysed == before
    assert {t.status for t in await api.world.top_ups()} == {TopUpStatus.CANCELLED}


async def test_a_repeated_proposal_is_not_looked_at(api: Api, call: Caller) -> None:
    """The same body again is the thing as it is now, whatever the network would say of it by now."""
    await propose(api, call, found(dollars(10)))
    before = api.world.chain.analysed
    api.world.chain.needs = BadTransaction("to", "not_an_address", "must be 0x and 40 hexadecimal digits")
    status, tx = await call("POST", "/v1/transactions", BODY)
    assert (status, tx["status"], api.world.chain.analysed) == (200, "short", before)
    status, problem = await call("POST", "/v1/transactions", {**BODY, "notify": False})
    assert (status, api.world.chain.analysed) == (409, before), problem
    assert (await post(api, say("transaction.proposed", **BODY)))[0] == 202
    await apply(api)
    assert ((await outcomes(api))["msg_1"], api.world.chain.analysed) == ("applied", before)


async def test_what_was_let_go_of_comes_back(api: Api, call: Caller) -> None:
    """It took nothing for a while: that is no end, and what it takes later is asked for."""
    await propose(api, call, found(dollars(10)))
    await look_again(api, found())
    assert ((await get(call))["status"], await amounts(api)) == ("covered", {})
    await look_again(api, found(dollars(10)))
    assert ((await get(call))["status"], await amounts(api)) == ("short", {"USDC": "10"})


async def test_asks_of_a_quiet_network_stand_in_nobodys_way(
    api: Api, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More of them than one run looks at, and nothing to look for: the run goes to those that a block has touched."""
    monkeypatch.setattr(looking, "BATCH", 1)
    await propose(api, call, found(dollars(10)))
    async with api.world.database.begin() as conn:  # read far ahead of the loop: as on a network that stands still
        still = func.jsonb_set(ask.c.analysis, array(["at", "height"]), cast(900, JSONB))
        await conn.execute(update(ask).values(analysis=still))
    await propose(api, call, found(dollars(5)), {**BODY, "id": "tx-2"})
    await look_again(api, found(dollars(20)))
    assert (await get(call, "tx-2"))["bill"]["assets"][0]["lines"][0]["amount"] == "20"


async def test_a_need_that_moves_at_every_block_gets_its_link(api: Api, call: Caller) -> None:
    """A price, or a debt that grows: links are not taken back for ever before one goes out."""
    await propose(api, call, found(dollars(10)))
    for more in range(1, 9):
        await step(api)
        api.world.chain.needs = found(replace(dollars(10), amount=10 * DOLLAR + more))
        for name, args in await api.world.jobs():
            if name == "create_session":
                await asking(api).dispatcher.create_session(**args)
        api.world.clock.advance(seconds=2)
    assert len(asking(api).created()) == 1
    assert (await api.world.events()).count("top_up.retracted") == MOST_CHASES


async def test_a_purchase_that_cannot_be_paid_for_stays_so(api: Api, call: Caller) -> None:
    """No rate, so no need: that a block changes what its transaction costs makes nothing of it covered."""
    api.world.chain.needs = found(dollars(28), GAS)
    body = {**ORDER, "price": {"fiat": "chf", "amount": "30"}, "pay_in": ["USDC"], "transaction": CALL}
    _, order = await call("POST", "/v1/checkouts", body)
    assert (order["status"], order["reason"]["code"]) == ("not_funds", "no_rate")
    await look_again(api, found(dollars(28), replace(GAS, amount=2 * GAS.amount)))
    _, order = await call("GET", "/v1/checkouts/o-1")
    assert (order["status"], order["reason"]["code"], order["version"]) == ("not_funds", "no_rate", 1)


async def test_what_was_given_up_is_not_asked_for_when_it_comes_back(api: Api, call: Caller) -> None:
    """The person said no: that it would fail for a while in between changes nothing about that."""
    await propose(api, call, found(dollars(10)))
    (opened,) = await api.world.top_ups()
    assert (await call("POST", f"/v1/top-ups/{opened.id}/cancel"))[0] == 200
    await look_again(api, found(verdict=Verdict.REVERTS, detail="paused"))
    await look_again(api, found(dollars(12)))
    assert ((await get(call))["status"], await amounts(api)) == ("short", {})


async def test_what_has_arrived_for_a_purchase_counts_when_it_is_looked_at_again(api: Api, call: Caller) -> None:
    """A part of the whole price has come: a new fee, or a pause of its contract, does not ask for that part again."""
    api.world.chain.needs = found(dollars(30), GAS)
    await call("POST", "/v1/checkouts", {**ORDER, "mode": "whole_price", "transaction": CALL})
    await step(api)
    await deliver(api, "USDC", 20 * DOLLAR)
    await step(api, {USDC_HOLDING: 20 * DOLLAR})
    await step(api)
    assert (await amounts(api))["USDC"] == "10"
    await look_again(api, found(dollars(30), replace(GAS, amount=2 * GAS.amount)))
    assert (await amounts(api))["USDC"] == "10"
    await look_again(api, found(verdict=Verdict.REVERTS, detail="paused"))
    assert await amounts(api) == {}
    await look_again(api, found(dollars(30), GAS))
    assert (await amounts(api))["USDC"] == "10"


async def test_what_is_paid_for_a_purchase_arrives_for_it(api: Api, call: Caller) -> None:
    """Paid, and on its way when its contract is paused: it is not asked for again once it works."""
    api.world.chain.needs = found(dollars(30), GAS)
    await call("POST", "/v1/checkouts", {**ORDER, "mode": "whole_price", "transaction": CALL})
    await step(api)
    await deliver(api, "USDC", 0)
    assert TopUpStatus.SETTLING in {t.status for t in await api.world.top_ups()}
    await look_again(api, found(verdict=Verdict.REVERTS, detail="paused"))
    api.world.chain.receipts[TRANSACTION, USDC_HOLDING] = 30 * DOLLAR
    await step(api, {USDC_HOLDING: 30 * DOLLAR})
    assert TopUpStatus.LANDED in {t.status for t in await api.world.top_ups()}
    await look_again(api, found(dollars(30), GAS))
    assert await amounts(api) == {"ETH": "0.01"}


async def test_what_turns_out_to_be_no_transaction_does_not_stay_unknown(api: Api, call: Caller) -> None:
    """Taken while its network could not be asked: once it can, the ask says what is wrong, and is left alone."""
    api.world.chain.fail(Unavailable("no answer"))
    assert (await call("POST", "/v1/transactions", BODY))[1]["status"] == "unknown"
    api.world.chain.fail(None)
    await step(api)
    api.world.clock.advance(seconds=OFTEN_SECONDS + 1)
    api.world.chain.needs = BadTransaction("to", "not_an_address", "must be 0x and 40 hexadecimal digits")
    await asking(api).looker.look_again()
    tx = await get(call)
    assert (tx["status"], tx["reason"]["code"]) == ("not_funds", "reverts")
    assert tx["reason"]["detail"] == "/transaction/to: must be 0x and 40 hexadecimal digits"
    before = api.world.chain.analysed
    api.world.clock.advance(seconds=OFTEN_SECONDS + 1)
    await asking(api).looker.look_again()
    assert api.world.chain.analysed == before


async def test_a_link_is_taken_back_for_its_own_amount_alone(api: Api, call: Caller) -> None:
    """Gas costs twice as much when the links are to be made: the token's goes out as it is, gas is asked for anew."""
    await propose(api, call, found(dollars(10), GAS))
    await step(api)
    api.world.chain.needs = found(dollars(10), replace(GAS, amount=2 * GAS.amount))
    token = next(t for t in await api.world.top_ups() if t.destinations[0].symbol == "USDC")
    await asking(api).dispatcher.create_session(token.id)
    assert len(asking(api).created()) == 1
    await step(api)
    assert await amounts(api) == {"USDC": "10", "ETH": "0.02"}
    assert "top_up.retracted" not in await api.world.events()


async def test_a_link_for_twice_what_is_needed_is_replaced(api: Api, call: Caller) -> None:
    """A need that falls a little leaves the link alone; one that halves gets a link of its own."""
    await propose(api, call, found(dollars(20)))
    await look_again(api, found(dollars(11)))
    assert await amounts(api) == {"USDC": "20"}
    await look_again(api, found(dollars(10)))
    assert await amounts(api) == {"USDC": "10"}
    await step(api, {USDC_HOLDING: 9 * DOLLAR})  # what comes from elsewhere is no reason
    assert await amounts(api) == {"USDC": "10"}


async def test_a_link_that_others_want_is_not_held_back(api: Api, call: Caller) -> None:
    """A transaction of which nothing can be said keeps its own link back, and nobody else's."""
    await propose(api, call, found(dollars(10)))
    await call("POST", "/v1/transactions", {**COMMON, "id": "tx-2", "needs": [{"asset": "USDC", "amount": "5"}]})
    await step(api)
    await step(api)
    api.world.chain.needs = found(verdict=Verdict.UNKNOWN)
    for name, args in await api.world.jobs():
        if name == "create_session":
            await asking(api).dispatcher.create_session(**args)
    assert len(asking(api).created()) > 0
