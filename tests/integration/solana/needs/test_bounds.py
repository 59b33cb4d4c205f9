"""What a stranger's transaction can't do, and what is told when it can't be run here."""

import asyncio
import signal

import pytest
from solders.keypair import Keypair

from chains.model import NATIVE
from chains.needs import Limits, TransactionNeeds, Verdict
from chains.solana.needs.find import find_needs
from tests.integration.solana.conftest import chain_on
from tests.integration.solana.needs.conftest import Plan, World
from tests.integration.solana.needs.steps import FEE, open_account, pay, pay_tokens
from tests.nodes.solana import RENT_MINIMUM, SOL

pytestmark = pytest.mark.solana


async def ask(world: World, wallet: object, plan: Plan, **limits: object) -> TransactionNeeds:
    known = [NATIVE, *(str(mint.address) for mint in world.mints)]
    return await find_needs(
        world.rpc,
        str(wallet),
        plan.unsigned(wallet),  # type: ignore[arg-type]
        limits=Limits(known, **limits),  # type: ignore[arg-type]
        runner=world.runner,
        programs=world.programs,
    )


async def test_no_time(world: World) -> None:
    """Without time to run it, what the instructions state is told, and not called exact."""
    mint, wallet, to = await world.mint(), Keypair().pubkey(), world.node.bank.pubkey()
    await world.node.open_account(mint, to)
    needs = await ask(world, wallet, Plan([pay_tokens(mint, wallet, to, 5), pay(wallet, to, SOL)]), seconds=0)
    assert (needs.verdict, needs.exact, needs.method) == (Verdict.FUNDS, False, "decode")
    assert {(each.asset, each.what): each.amount for each in needs.outflows} == {
        (str(mint.address), "required"): 5,
        (NATIVE, "required"): SOL,
        (NATIVE, "gas"): FEE,
        (NATIVE, "keep"): RENT_MINIMUM,
    }


async def test_no_time_and_enough_funds(world: World) -> None:
    """What the node's own simulation took of a wallet that has enough; not called exact."""
    mint, wallet, to = await world.mint(), Keypair().pubkey(), world.node.bank.pubkey()
    await world.fund(wallet, 3 * SOL, {mint: 9})
    needs = await ask(world, wallet, Plan([open_account(mint, wallet, to), pay_tokens(mint, wallet, to, 5)]), seconds=0)
    assert (needs.verdict, needs.exact, needs.method) == (Verdict.FUNDS, False, "simulate")
    assert {each.asset: each.amount for each in needs.outflows if each.asset != NATIVE} == {str(mint.address): 5}


async def test_a_runner_that_broke(world: World) -> None:
    """The answer is not exact; the next question goes to a new process."""
    wallet = Keypair().pubkey()
    plan = Plan([pay(wallet, world.node.bank.pubkey(), SOL)])
    assert (await ask(world, wallet, plan)).exact
    assert world.runner._process is not None
    world.runner._process.kill()
    assert not (await ask(world, wallet, plan)).exact
    assert (await ask(world, wallet, plan)).exact


async def test_a_runner_that_hangs(world: World) -> None:
    """It is killed soon after its time, while everything else goes on; what was asked is answered all the same."""
    wallet = Keypair().pubkey()
    plan = Plan([pay(wallet, world.node.bank.pubkey(), SOL)])
    assert (await ask(world, wallet, plan)).exact
    assert world.runner._process is not None
    world.runner._process.send_signal(signal.SIGSTOP)
    asked = asyncio.create_task(ask(world, wallet, plan, seconds=0.2))
    turns = 0
    while not asked.done():
        await asyncio.sleep(0.01)
        turns += 1
    assert not asked.result().exact
    assert 20 < turns < 300
    assert (await ask(world, wallet, plan)).exact


async def test_the_chain_asks_for_itself(world: World) -> None:
    """A chain answers with its own endpoints, and ends what it started."""
    wallet = Keypair().pubkey()
    transaction = Plan([pay(wallet, world.node.bank.pubkey(), SOL)]).unsigned(wallet)
    async with chain_on(world.node.rpc_url) as chain:
        needs = await chain.find_needs(str(wallet), transaction, Limits([NATIVE]))
        assert needs.exact
        process = chain._runner._process
        assert process is not None
    assert process.returncode is not None


async def test_absurd_amounts_are_refused(world: World) -> None:
    """More than may be asked for is neither funds nor a list of amounts."""
    mint, wallet, to = await world.mint(), Keypair().pubkey(), world.node.bank.pubkey()
    await world.node.open_account(mint, to)
    needs = await ask(world, wallet, Plan([pay_tokens(mint, wallet, to, 10**12)]), most_units=10**11)
    assert (needs.verdict, needs.outflows, needs.exact) == (Verdict.UNKNOWN, (), False)


async def test_a_bound_on_calls(world: World) -> None:
    """No more node calls than allowed: it is unknown then."""
    mint, wallet, to = await world.mint(), Keypair().pubkey(), world.node.bank.pubkey()
    plan = Plan([open_account(mint, wallet, to), pay_tokens(mint, wallet, to, 5)])
    for most in range(3):
        needs = await ask(world, wallet, plan, most_calls=most)
        assert (needs.verdict, needs.outflows, needs.calls) == (Verdict.UNKNOWN, (), most)
    assert (await ask(world, wallet, plan, most_calls=3)).exact
