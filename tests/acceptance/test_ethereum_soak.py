"""All kinds of change, reorgs, a rollback, a restarted node: no flag is ever wrong. Truth is read at each block."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from chains.ethereum.adapter import EthereumChain
from chains.model import NATIVE, BlockRef, Holding, Step
from tests.acceptance.ethereum_town import NETWORK, REBASE, THRESHOLD, Town, found_town
from tests.nodes.anvil import CHAIN_ID, Anvil, selector_data

pytestmark = [pytest.mark.evm, pytest.mark.acceptance]

ROUNDS = 110
REORGS = {20: 2, 45: 4, 95: 3}
ROLLBACK = 60
RESTART = 75
BURST = 30


@dataclass
class Judge:
    """Keeps flags as the watcher does (dirty holdings and low ones are read), and compares them with the truth."""

    chain: EthereumChain
    town: Town
    low: dict[Holding, bool] = field(default_factory=dict)
    blocks: int = 0
    wrong_blocks: int = 0
    flips: int = 0
    orphaned: int = 0
    wrong: set[Holding] = field(default_factory=set)

    async def judge(self, step: Step) -> None:
        attended = {holding for holding, is_low in self.low.items() if is_low}
        wanted = sorted(step.dirty | attended)
        balances = await self.chain.balances(wanted, step.block)
        for balance in balances:
            is_low = balance.amount < THRESHOLD
            self.flips += self.low.get(balance.holding) not in (None, is_low)
            self.low[balance.holding] = is_low
        truth = await read_truth(self.town, step.block)
        wrong = {holding for holding, amount in truth.items() if self.low.get(holding) != (amount < THRESHOLD)}
        wrong |= {balance.holding for balance in balances if truth[balance.holding] != balance.amount}
        self.blocks += 1
        self.orphaned += len(step.orphaned)
        self.wrong_blocks += bool(wrong)
        self.wrong |= wrong


async def read_truth(town: Town, block: BlockRef) -> dict[Holding, int]:
    """Every balance at a block by the plainest calls, through nothing of the adapter."""
    holdings = town.holdings()
    at = {"blockHash": block.hash}
    body: list[dict[str, Any]] = []
    for number, holding in enumerate(holdings):
        data = selector_data("balanceOf(address)", holding.address)
        native = ("eth_getBalance", [holding.address, at])
        method, params = native if holding.asset == NATIVE else ("eth_call", [{"to": holding.asset, "data": data}, at])
        body.append({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
    answers = {answer["id"]: int(answer["result"], 16) for answer in await town.node.post(body)}
    return {holding: answers[number] for number, holding in enumerate(holdings)}


async def catch_up(judge: Judge, steps: AsyncGenerator[Step, None]) -> None:
    """Judge each step until the one at the node's head."""
    head = (await judge.town.node.rpc("eth_getBlockByNumber", "latest", False))["hash"]
    async for step in steps:
        await judge.judge(step)
        if step.block.hash == head:
            return


async def disturb(judge: Judge, node: Anvil, number: int) -> None:
    """What goes wrong in this round."""
    if number in REORGS:
        await node.rpc("anvil_reorg", REORGS[number], [])
    if number == ROLLBACK:
        await node.rpc("anvil_rollback", 3)
    if number == RESTART:
        await node.stop()
        await node.start()


async def soak(state: Path, **settings: Any) -> Judge:
    """The whole run, with a chain of these settings."""
    # blocks are made on request; the state file lets the node be restarted
    async with Anvil(state=state) as node:
        town = await found_town(node, seed=7)
        chain = EthereumChain(
            NETWORK,
            CHAIN_ID,
            http_urls=[node.http],
            ws_urls=[node.ws],
            assets=town.assets,
            close_confirmations=1,
            poll_seconds=0.05,
            **{"slice_size": 0, "sweep_on": {town.tokens["RebasingToken"]: [REBASE]}, **settings},
        )
        async with chain, aclosing(chain.follow(None)) as steps:
            chain.watch(town.holdings())
            judge = Judge(chain, town)
            await catch_up(judge, steps)
            for number in range(ROUNDS):
                for _ in range(town.dice.randrange(1, 7)):
                    await town.act()
                await node.mine()
                if number % BURST == 0:  # the head moves by several blocks at once
                    await town.act()
                    await node.mine()
                await catch_up(judge, steps)
                await disturb(judge, node, number)
                await catch_up_if_moved(judge, node, steps, number)
        return judge


async def catch_up_if_moved(judge: Judge, node: Anvil, steps: AsyncGenerator[Step, None], number: int) -> None:
    """After a reorg or a rollback the head is another one; after a restart it is the same."""
    if number in REORGS or number == ROLLBACK:
        await catch_up(judge, steps)
    if number == RESTART:
        await node.rpc("evm_setAutomine", False)


async def test_no_flag_is_wrong_with_tracing(tmp_path: Path) -> None:
    """With a node that can trace, at every block every flag says what the chain says."""
    judge = await soak(tmp_path / "state.json", trace=True)
    assert judge.flips > 100
    assert (judge.wrong_blocks, judge.wrong) == (0, set())
    assert judge.blocks >= ROUNDS
    assert judge.orphaned >= sum(REORGS.values())


async def test_no_flag_is_wrong_without_tracing(tmp_path: Path) -> None:
    """Without tracing, re-reading wallets with code at each block finds the same."""
    judge = await soak(tmp_path / "state.json", trace=False)
    assert judge.flips > 100
    assert (judge.wrong_blocks, judge.wrong) == (0, set())


async def test_the_soak_notices_contract_wallets_not_read(tmp_path: Path) -> None:
    """The soak can fail: without tracing and without re-reading contract wallets, flags are wrong."""
    judge = await soak(tmp_path / "state.json", trace=False, reread_contracts=False)
    assert judge.wrong_blocks > 0
    assert {holding.asset for holding in judge.wrong} == {NATIVE}


async def test_the_soak_notices_a_missing_rebase_rule(tmp_path: Path) -> None:
    """The soak can fail: without the rebasing token's rule, its flags are wrong, and no other token's."""
    judge = await soak(tmp_path / "state.json", trace=True, sweep_on={})
    assert judge.wrong_blocks > 0
    assert {holding.asset for holding in judge.wrong} == {judge.town.tokens["RebasingToken"]}
