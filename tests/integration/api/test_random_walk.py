"""Whatever a backend, a person and a chain do in whatever order: what the store says never contradicts itself."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import text

from chains.amounts import format_amount
from chains.model import Holding
from chains.needs import Outflow, TransactionNeeds, Verdict
from config.model import Level
from notifier.model import SessionStatus
from tests.fakes.chain import NOT_SAID
from tests.fakes.settings import make_network, make_policy, make_settings, make_tenant, make_token
from tests.integration.api.conftest import Api, Caller, serve
from tests.integration.api.test_transactions import DOLLAR, GAS, USDC_HOLDING
from tests.integration.watcher.test_asking import Asking
from tests.integration.watcher.world import ADDRESS, ETH_HOLDING
from watcher.model import TopUp, TopUpStatus
from watcher.store.database import Database

SEEDS = int(os.environ.get("SEEDS", "4"))
"""How many walks; `-k 'walk[7]'` repeats one of them."""
STEPS = 40
MOST_ROUNDS = 40
"""After which everything that was paid has landed, and nothing new is asked for."""
HOLDINGS = {"USDC": USDC_HOLDING, "ETH": ETH_HOLDING}
UNIT = {"USDC": DOLLAR, "ETH": 10 * GAS}
DECIMALS = {"USDC": 6, "ETH": 18}
COMMON = {"wallet": "w-1", "network": "local-evm"}
THEMES = (
    ("transact", "checkout", "levels"),
    ("buy", "swap", "add_funds"),
    ("transact", "checkout", "levels", "buy", "swap", "add_funds"),
    ("hand_over", "change", "transact", "levels", "purchase"),
)
"""What a walk's asks are made of: balances, purchases, or both."""
ALWAYS = (
    "end",
    "end",
    "cancel_top_up",
    "pay_late",
    "expire",
    "pay",
    "pay",
    "land",
    "land",
    "land_a_part",
    "spend",
    "earn",
    "wait",
)

ENDED = (TopUpStatus.EXPIRED, TopUpStatus.CANCELLED, TopUpStatus.RETRACTED)

NEVER: dict[str, str] = {
    "two open top-ups for one holding": """
        select wallet, scope, count(*) from top_up where status = 'open'
        group by tenant, wallet, scope having count(*) > 1
    """,
    "an open top-up for nothing that lives": """
        select id, scope from top_up t where status = 'open' and not exists (
            select 1 from top_up_need x join need n using (tenant, kind, id, network, asset, address)
            where x.top_up = t.id and n.state in ('unknown', 'covered', 'short', 'not_funds'))
    """,
    "an ask that is over with a need that is not": """
        select n.kind, n.id, n.state, a.status from need n join ask a using (tenant, kind, id)
        where a.status in ('done', 'cancelled', 'expired')
        and (n.closed_at is null or n.state in ('unknown', 'covered', 'short', 'not_funds'))
    """,
    "an ask that lives with a need that is over": """
        select n.kind, n.id, n.state, a.status from need n join ask a using (tenant, kind, id)
        where a.status in ('unknown', 'covered', 'short', 'not_funds')
        and n.state not in ('unknown', 'covered', 'short', 'not_funds')
        and not (a.analysis is not null and n.state = 'cancelled' and n.closed_at is not null)
    """,
    "an ask that is covered while a need of it is short, or the reverse, but for a swap that money is coming for": """
        select a.kind, a.id, a.status, array_agg(n.state) from ask a join need n using (tenant, kind, id)
        where a.status in ('covered', 'short') and not (a.kind = 'swap' and exists (
            select 1 from top_up_need x join top_up t on t.id = x.top_up
            where (x.tenant, x.kind, x.id) = (a.tenant, a.kind, a.id) and t.status in ('open', 'settling')))
        and n.state in ('unknown', 'covered', 'short', 'not_funds')
        group by a.tenant, a.kind, a.id
        having (a.status = 'short') <> bool_or(n.state = 'short') and not bool_or(n.state = 'unknown')
    """,
    "an ask of a wallet that is gone": """
        select a.kind, a.id from ask a join wallet w on w.tenant = a.tenant and w.id = a.wallet
        where w.deleted_at is not null and a.status in ('unknown', 'covered', 'short', 'not_funds')
    """,
    "an open top-up of a wallet that is gone": """
        select t.id from top_up t join wallet w on w.tenant = t.tenant and w.id = t.wallet
        where w.deleted_at is not null and t.status = 'open'
    """,
    "a session without its top-up, or two of one key at Stripe": """
        select s.top_up from session s left join top_up t on t.id = s.top_up
        where t.id is null or (s.state = 'created') <> (s.stripe_id is not null)
    """,
    "an event that is older than one before it": """
        select a.type, a.subject_id, a.version from event a join event b using (tenant, subject_object, subject_id)
        where a.position > b.position and a.version <= b.version
    """,
    "a top-up that says neither when it landed nor that anything will do, or both": """
        select id, asked, needed, to_receive from top_up
        where (asked is null and (needed is not null or to_receive is not null))
        or (asked is not null and (needed is null) = (to_receive is null)) or asked <= 0 or needed <= 0
        or to_receive <> asked
    """,
    "a need of less than nothing, or with another amount than its lines": """
        select id, amount, lines from need n where amount < 0 or (lines is not null and amount <> (
            select coalesce(sum((l ->> 'amount')::numeric), 0) from jsonb_array_elements(n.lines) l
            where l ->> 'what' <> 'rate'))
    """,
    "a need met for good that is short": """
        select kind, id, state, closed_at from need where closed_at is not null and state in ('short', 'unknown')
    """,
}
"""Rows that there never are."""

FIRST = "select '{}', (select array_agg(to_jsonb(q)) from ({}) q) where exists ({})"

UNASKED = """
    select n.kind, n.id, n.asset, n.mode, n.amount from need n
    where n.kind in ('transaction', 'checkout', 'swap', 'add_funds')
    and n.state = 'short' and n.closed_at is null and n.refusal is null and not exists (
        select 1 from top_up_need x join top_up t on t.id = x.top_up
        where (x.tenant, x.kind, x.id, x.network, x.asset, x.address)
            = (n.tenant, n.kind, n.id, n.network, n.asset, n.address) and t.status in ('open', 'settling'))
"""
"""Needs that are short and could be asked for, and are not."""


@pytest.fixture
async def api(database: Database, tmp_path: Path) -> AsyncIterator[Api]:
    """One wallet; a token that is sold in cents, from 2 to 90 dollars, and a coin for gas."""
    token = make_token()
    assert token.onramp is not None
    token = replace(token, onramp=replace(token.onramp, decimals=2), minimum=2 * DOLLAR, maximum=90 * DOLLAR)
    network = make_network()
    network = replace(network, assets=(*network.assets, token))
    policy = make_policy(low=(), gas_buffer=Level(transactions=2))
    settings = make_settings(tmp_path, network=network, tenant=make_tenant(policies={"default": policy}))
    world = Asking(database, settings)
    await world.start()
    async with serve(world) as served:
        await world.register()
        await world.step()
        yield served


@dataclass
class Walk:
    """One walk: what was done, and what the chain holds."""

    world: Asking
    call: Caller
    random: Random
    trail: list[str] = field(default_factory=list)
    balances: dict[Holding, int] = field(default_factory=lambda: {USDC_HOLDING: 0, ETH_HOLDING: 0})
    registered: bool = True
    asks: list[tuple[str, str]] = field(default_factory=list)

    async def step(self) -> None:
        await self.world.observer.refresh_watched()
        await self.world.step(self.balances)

    async def post(self, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        status, answer = await self.call("POST", path, body)
        self.trail.append(f"  POST {path} {body or ''} -> {status}")
        assert status < 500, answer
        return status, answer

    def amount(self, symbol: str) -> str:
        """Some base units, in cents or not."""
        units = self.random.randint(1, 60) * UNIT[symbol] // self.random.choice([1, 1, 3])
        return format_amount(units, DECIMALS[symbol])

    async def propose(self, kind: str, body: dict[str, Any]) -> None:
        gas: dict[str, Any] = self.random.choice([{}, {"gas": {"payer": "other"}}])
        id_ = f"{kind}-{len(self.asks)}"
        status, _ = await self.post(f"/v1/{kind}s", {**COMMON, "id": id_, **gas, **body})
        if status == 201:
            self.asks.append((kind, id_))

    async def transact(self) -> None:
        symbols = self.random.choice([["USDC"], ["ETH"], ["USDC", "ETH"]])
        await self.propose("transaction", {"needs": [{"asset": s, "amount": self.amount(s)} for s in symbols]})

    async def hand_over(self) -> None:
        """A transaction itself, of which the chain says what it needs."""
        self.think()
        await self.propose("transaction", {"transaction": {"to": "0x" + "00" * 20}})
        self.know()

    async def purchase(self) -> None:
        self.think()
        price = {"price": {"asset": "USDC", "amount": self.amount("USDC")}}
        mode = self.random.choice(["difference", "whole_price"])
        await self.propose("checkout", {**price, "mode": mode, "transaction": {"to": "0x" + "00" * 20}})
        self.know()

    async def change(self) -> None:
        """Every transaction needs something else now."""
        self.think()
        self.world.clock.advance(seconds=6)
        await self.world.looker.look_again()
        self.know()

    def know(self) -> None:
        """What was not known is found out: until then no link would be made, however long the jobs are run."""
        said = self.world.chain.needs
        if isinstance(said, TransactionNeeds) and said.verdict is Verdict.UNKNOWN:
            self.world.chain.needs = replace(said, verdict=Verdict.FUNDS)

    def think(self) -> None:
        verdicts = [Verdict.FUNDS] * 5 + [Verdict.ALLOWANCE, Verdict.REVERTS, Verdict.UNKNOWN]
        assets = self.random.choice([(), ("ETH",), ("USDC",), ("USDC", "ETH")])
        outflows = [Outflow(HOLDINGS[s].asset, self.random.randint(1, 60) * UNIT[s], "required") for s in assets]
        if self.random.random() < 0.5:
            outflows.append(Outflow("native", self.random.randint(1, 3) * GAS, "gas", {"limit": GAS}))
        verdict = self.random.choice(verdicts)
        lacks = ("0x01",) if self.random.random() < 0.1 else ()
        self.world.chain.needs = replace(NOT_SAID, verdict=verdict, outflows=tuple(outflows), unknown_assets=lacks)
        self.trail.append(f"  {verdict} {[(o.asset[:6], o.what, o.amount) for o in outflows]} {lacks}")

    async def checkout(self, mode: str = "difference") -> None:
        await self.propose("checkout", {"price": {"asset": "USDC", "amount": self.amount("USDC")}, "mode": mode})

    async def buy(self) -> None:
        await self.checkout("whole_price")

    async def swap(self) -> None:
        await self.propose("swap", {"want": "X", "pay_in": [{"asset": "USDC"}]})

    async def add_funds(self) -> None:
        if any(t.status is TopUpStatus.SETTLING for t in await self.world.top_ups()):
            return
        amount = self.random.choice([None, self.amount("USDC")])
        await self.post("/v1/top-ups", {**COMMON, "asset": "USDC", "amount": amount})

    async def end(self) -> None:
        if self.asks:
            kind, id_ = self.random.choice(self.asks)
            end = self.random.choice(["complete", "cancel"])
            await self.post(f"/v1/{kind}s/{id_}/{end}", {} if end == "complete" else None)

    async def cancel_top_up(self) -> None:
        found = await self.find(TopUpStatus.OPEN)
        if found and self.random.random() < 0.3:
            await self.post(f"/v1/top-ups/{self.random.choice(found).id}/cancel")

    async def expire(self) -> None:
        """A day and more goes by."""
        if self.random.random() < 0.3:
            self.world.clock.advance(hours=self.random.choice([12, 25]))
            await self.world.sweeper.expire_asks()
            await self.world.sweeper.expire_top_ups()
            await self.world.sweeper.tell_overdue_top_ups()

    async def levels(self) -> None:
        """Other levels, or the wallet goes, and comes again."""
        if self.registered and self.random.random() < 0.2:
            assert (await self.call("DELETE", "/v1/wallets/w-1"))[0] == 204
            self.trail.append("  DELETE")
            self.registered = False
            return
        funding: list[dict[str, Any]] = []
        for symbol in [s for s in HOLDINGS if self.random.random() < 0.6]:
            trigger = self.random.randint(1, 30) * UNIT[symbol]
            low = {"trigger": format_amount(trigger, DECIMALS[symbol])}
            low["target"] = format_amount(trigger + self.random.randint(1, 30) * UNIT[symbol], DECIMALS[symbol])
            funding.append({"when": "low", "network": "local-evm", "asset": symbol, **low})
        if self.random.random() < 0.3:
            funding.append({"when": "created", "networks": ["local-evm"]})
        body = {"addresses": {"local-evm": ADDRESS}, "policy": "default", "funding": funding}
        status, answer = await self.call("PUT", "/v1/wallets/w-1", body)
        assert status in (200, 201), answer
        self.trail.append(f"  PUT {funding} -> {status}")
        self.registered = True

    async def find(self, status: TopUpStatus) -> list[TopUp]:
        return [t for t in await self.world.top_ups() if t.status is status]

    async def pay(self, found: TopUp | None = None) -> None:
        """The person pays an open link; it is on its way."""
        await self.world.work()
        for ask in [found] if found else self.some(await self.find(TopUpStatus.OPEN)):
            for session in [s for s in self.world.onramp.sessions.values() if s.metadata["top_up"] == ask.id]:
                self.trail.append(f"  paid {ask.id}")
                self.world.onramp.become(session.id, SessionStatus.FULFILLMENT_PROCESSING)
                await self.world.follower.look_at_session(ask.id)

    async def pay_late(self) -> None:
        """A link is paid whose ask has ended."""
        ended = [t for t in await self.world.top_ups() if t.status in ENDED]
        if self.random.random() < 0.3:
            for ask in self.some(ended):
                await self.pay(ask)

    async def land(self, *, part: int = 1, found: TopUp | None = None) -> None:
        """What was paid arrives, all of it or a part."""
        for ask in [found] if found else self.some(await self.find(TopUpStatus.SETTLING)):
            (session,) = [s for s in self.world.onramp.sessions.values() if s.metadata["top_up"] == ask.id]
            at = self.random.choice(ask.destinations)
            units = max(1, (ask.asked or 10 * UNIT[at.symbol]) // part)
            transaction = f"0x{len(self.world.chain.receipts) + 1:064x}"
            self.trail.append(f"  landed {ask.id} {at.symbol} {units}")
            self.world.onramp.become(session.id, SessionStatus.FULFILLMENT_COMPLETE, transaction=transaction)
            await self.world.follower.look_at_session(ask.id)
            self.world.chain.receipts[transaction, at.holding] = units
            self.balances[at.holding] += units

    async def land_a_part(self) -> None:
        await self.land(part=self.random.randint(2, 3))

    def some(self, found: list[TopUp]) -> list[TopUp]:
        return [self.random.choice(found)] if found else []

    async def spend(self) -> None:
        symbol = self.random.choice(list(HOLDINGS))
        at = HOLDINGS[symbol]
        self.balances[at] -= self.random.randint(0, self.balances[at])
        self.trail.append(f"  {symbol} {self.balances[at]}")

    async def earn(self) -> None:
        symbol = self.random.choice(list(HOLDINGS))
        self.balances[HOLDINGS[symbol]] += self.random.randint(1, 20) * UNIT[symbol]
        self.trail.append(f"  {symbol} {self.balances[HOLDINGS[symbol]]}")

    async def wait(self) -> None:
        """The jobs that are due, and the looks."""
        await self.world.work()
        await self.world.sweeper.look_at_due_sessions()
        await self.world.work()

    async def go(self, names: tuple[str, ...]) -> None:
        name = self.random.choice(names)
        self.trail.append(name)
        act: Callable[[], Awaitable[None]] = getattr(self, name)
        await act()
        await self.check()
        if self.random.random() < 0.8:
            await self.step()
            self.trail.append("  step: " + await self.show())
            await self.check()

    async def show(self) -> str:
        found = [t for t in await self.world.top_ups() if t.status.active]
        return ", ".join(f"{t.id} {t.status.value} {t.scope[13:17]} {t.asked}/{t.needed}" for t in found)

    async def rows(self, query: str) -> list[Any]:
        async with self.world.database.begin() as conn:
            return list(await conn.execute(text(query)))

    async def check(self) -> None:
        found = await self.rows(" union all ".join(FIRST.format(what, query, query) for what, query in NEVER.items()))
        assert not found, found
        known = {t.id for t in await self.world.top_ups()}
        told = [(s.metadata["top_up"], s.metadata["attempt"]) for s in self.world.onramp.sessions.values()]
        assert {top_up for top_up, _ in told} <= known
        assert len(set(told)) == len(told)

    async def settle(self) -> None:
        """Everything that is open is paid and everything paid arrives, until nothing is."""
        for _ in range(MOST_ROUNDS):
            await self.wait()
            await self.step()
            await self.wait()
            for ask in await self.find(TopUpStatus.OPEN):
                await self.pay(ask)
            for ask in await self.find(TopUpStatus.SETTLING):
                await self.land(found=ask)
            await self.step()
            await self.step()
            self.trail.append("  settle: " + await self.show())
            await self.check()
            if not await self.show():
                return
        raise AssertionError("it is never quiet")


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_a_random_walk(api: Api, call: Caller, seed: int) -> None:
    """After each step the store is consistent; once all is paid and landed, no ask lacks what could be asked for."""
    assert isinstance(api.world, Asking)
    walk = Walk(api.world, call, Random(seed))  # noqa: S311  no secret
    names = (*THEMES[seed % len(THEMES)] * 2, *ALWAYS)
    try:
        for _ in range(STEPS):
            await walk.go(names)
        walk.trail.append("the end")
        if not walk.registered:
            await walk.levels()
        await walk.settle()
        assert not await walk.rows(UNASKED)
    except BaseException as error:
        error.add_note("\n".join(walk.trail))
        raise
