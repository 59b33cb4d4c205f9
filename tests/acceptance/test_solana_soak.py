"""Coins and tokens move while connections are cut and the node freezes or dies: no crossing is missed or made up."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import pytest

from chains.errors import Unavailable
from chains.model import BlockRef, Holding
from chains.solana.adapter import SolanaChain
from tests.acceptance.solana_town import NETWORK, Town, found_town, threshold
from tests.nodes.solana import SolanaNode
from tests.nodes.solana_kinds import EVERY_KIND, node_for
from tests.nodes.solana_process import Ability, Kind, can
from tests.nodes.tcp_proxy import TcpProxy

pytestmark = [pytest.mark.solana, pytest.mark.acceptance]

ROUNDS = 24
CUT = {3, 8, 15, 20}
"""The websocket is lost while money moves."""
CUT_ALL = {11}
"""So is HTTP."""
FROZEN = {6}
KILLED = {13, 18}
SECONDS = 8.0
"""Until a change must have been seen, reconnections included."""


@dataclass
class Judge:
    """Keeps flags as the watcher does, but reads nothing but what is dirty."""

    chain: SolanaChain
    amounts: dict[Holding, int] = field(default_factory=dict)
    flips: Counter[Holding] = field(default_factory=Counter)
    at: BlockRef | None = None
    backwards: int = 0
    gaps: int = 0

    async def run(self) -> None:
        """Follow for ever; what could not be read is followed again from the last step that was judged."""
        while True:
            with suppress(Unavailable):
                async with aclosing(self.chain.follow(self.at)) as steps:
                    async for step in steps:
                        for balance in await self.chain.balances(sorted(step.dirty), step.block):
                            self._judge(balance.holding, balance.amount)
                        self.gaps += step.gap
                        self.backwards += self.at is not None and step.block.number < self.at.number
                        self.at = step.block

    def _judge(self, holding: Holding, amount: int) -> None:
        least, before = threshold(holding), self.amounts.get(holding)
        self.flips[holding] += before is not None and (before < least) != (amount < least)
        self.amounts[holding] = amount


@dataclass
class Verdict:
    """What a run came to."""

    wrong: set[tuple[int, Holding]] = field(default_factory=set)
    """Rounds and holdings whose amount was not the chain's."""
    crossings: Counter[Holding] = field(default_factory=Counter)
    """By the truth."""
    seen: Counter[Holding] = field(default_factory=Counter)
    """By the judge."""
    gaps: int = 0
    backwards: int = 0
    deeds: Counter[str] = field(default_factory=Counter)
    slots: int = 0
    blocks: int = 0


class Soak:
    """One run."""

    def __init__(self, town: Town, judge: Judge, http: TcpProxy, ws: TcpProxy) -> None:
        self.town, self.judge, self.http, self.ws = town, judge, http, ws
        self.verdict = Verdict()

    async def checkpoint(self, number: int, before: dict[Holding, int]) -> dict[Holding, int]:
        """When nothing moves any more, every amount must become the chain's."""
        truth = await self.town.truth()
        for _ in range(ceil(SECONDS / 0.02)):
            if self.judge.amounts == truth:
                break
            await asyncio.sleep(0.02)
        self.verdict.wrong |= {(number, key) for key, amount in truth.items() if self.judge.amounts.get(key) != amount}
        for holding, amount in truth.items():
            least = threshold(holding)
            self.verdict.crossings[holding] += holding in before and (before[holding] < least) != (amount < least)
        return truth

    async def disturbed(self, number: int, truth: dict[Holding, int]) -> None:
        """One round of changes, with what goes wrong in it."""
        node, cut = (
            self.town.node,
            [*([self.ws] if number in CUT | CUT_ALL else []), *([self.http] if number in CUT_ALL else [])],
        )
        for proxy in cut:
            await proxy.cut()
        if number in FROZEN:
            node.process.suspend()
            await asyncio.sleep(1.5)  # longer than the websocket may be silent
            node.process.resume()
        if number in KILLED and node.can(Ability.KEEPS_STATE):
            await node.restart()
        await self.town.act(truth)
        for proxy in cut:
            proxy.mend()


@asynccontextmanager
async def prepared(node: SolanaNode, **settings: Any) -> AsyncIterator[Soak]:
    """A town, and a judge at work on it through proxies."""
    town = await found_town(node, seed=11)
    port = node.process.rpc_port
    async with TcpProxy(port) as http, TcpProxy(port + 1) as ws:
        chain = SolanaChain(
            NETWORK,
            await node.rpc("getGenesisHash"),
            http_urls=[f"http://127.0.0.1:{http.port}"],
            ws_urls=[f"ws://127.0.0.1:{ws.port}"],
            assets=town.assets,
            poll_seconds=0.5,
            tick_seconds=0.5,
            stale_seconds=30,
            slice_size=0,
            silence_seconds=1.0,
            subscriptions_per_connection=10,
            **settings,
        )
        chain.watch(town.holdings())
        async with chain:
            judge = Judge(chain)
            judging = asyncio.create_task(judge.run())
            try:
                yield Soak(town, judge, http, ws)
            finally:
                judging.cancel()
                with suppress(asyncio.CancelledError):
                    await judging


async def soak(node: SolanaNode, rounds: int = ROUNDS, **settings: Any) -> Verdict:
    """The whole run, with a chain of these settings."""
    async with prepared(node, **settings) as run:
        first = await node.slot()
        truth = await run.checkpoint(-1, {})
        for number in range(rounds):
            await run.disturbed(number, truth)
            truth = await run.checkpoint(number, truth)
        verdict, judge = run.verdict, run.judge
        verdict.deeds = run.town.deeds
        verdict.seen, verdict.gaps, verdict.backwards = judge.flips, judge.gaps, judge.backwards
        if node.can(Ability.SKIPS_SLOTS):
            last = await node.slot()
            verdict.slots = last - first + 1
            verdict.blocks = len(await node.rpc("getBlocks", first, last, {"commitment": "confirmed"}))
    return verdict


@pytest.mark.parametrize("kind", EVERY_KIND)
async def test_no_flag_is_wrong(request: pytest.FixtureRequest, kind: Kind) -> None:
    """Every amount becomes the chain's after each round, and each crossing of a threshold is seen once.

    The restarts are of the real validator alone: Surfpool would come back with an empty chain.
    """
    async with node_for(request, kind) as node:
        verdict = await soak(node)
    assert verdict.wrong == set()
    assert +verdict.seen == +verdict.crossings
    assert verdict.crossings.total() > 50
    assert verdict.gaps > 1
    assert verdict.backwards == 0
    assert all(verdict.deeds[deed] > 3 for deed in ("between", "opened", "closed", "failed"))
    if can(kind, Ability.SKIPS_SLOTS):
        assert verdict.blocks < verdict.slots


async def test_the_soak_notices_a_missing_resync(request: pytest.FixtureRequest) -> None:
    """The soak can fail: trusting a reconnection to have missed nothing leaves amounts wrong."""
    async with node_for(request, Kind.SURFPOOL) as node:
        verdict = await soak(node, rounds=min(CUT) + 1, resync=False)
    assert {number for number, _ in verdict.wrong} == {min(CUT)}
    assert verdict.seen != verdict.crossings
