"""What money can't help is told apart, and says why."""

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair

from chains.model import NATIVE
from chains.needs import BadTransaction, Verdict
from tests.integration.solana.needs.conftest import Plan, World
from tests.integration.solana.needs.steps import WSOL, open_account, pay, pay_tokens
from tests.nodes.solana import SOL

pytestmark = pytest.mark.solana


async def test_it_fails_for_another_reason(world: World) -> None:
    """Wrong decimals: no outflow, whatever the wallet has."""
    mint, wallet, to = await world.mint(), Keypair().pubkey(), world.node.bank.pubkey()
    await world.node.open_account(mint, to)
    needs = await world.ask(wallet, Plan([pay_tokens(mint, wallet, to, 5, decimals=2)]).unsigned(wallet))
    assert (needs.verdict, needs.outflows) == (Verdict.REVERTS, ())
    assert "instruction 1" in needs.detail
    assert "18" in needs.detail


async def test_an_approval_is_missing(world: World) -> None:
    """A spender who was not approved: what it takes is told all the same, proven as if the approval were there."""
    mint, wallet, spender = await world.mint(), Keypair().pubkey(), Keypair()
    await world.node.open_account(mint, spender.pubkey())
    plan = Plan([pay_tokens(mint, wallet, spender.pubkey(), 70, spender=spender.pubkey())], payer=spender)
    needs = await world.ask(wallet, plan.unsigned(wallet))
    assert needs.verdict is Verdict.ALLOWANCE
    assert str(spender.pubkey()) in needs.detail
    assert [(each.asset, each.amount) for each in needs.outflows] == [(str(mint.address), 70)]


async def test_a_program_that_is_not_there(world: World) -> None:
    """It says which."""
    wallet, program = Keypair().pubkey(), Keypair().pubkey()
    call = Instruction(program, b"", [AccountMeta(wallet, is_signer=True, is_writable=True)])
    needs = await world.ask(wallet, Plan([call]).unsigned(wallet))
    assert needs.verdict is Verdict.REVERTS
    assert str(program) in needs.detail


async def test_a_receiver_left_with_too_little(world: World) -> None:
    """Less than the rent minimum to a new address is refused by the network: not the wallet's lack."""
    wallet, to = Keypair().pubkey(), Keypair().pubkey()
    needs = await world.ask(wallet, Plan([pay(wallet, to, 1000)]).unsigned(wallet))
    assert needs.verdict is Verdict.REVERTS
    assert str(to) in needs.detail


async def test_a_token_that_nobody_knows(world: World) -> None:
    """It is named, and not asked for; what else is needed is."""
    mint, wallet, to = await world.mint(), Keypair().pubkey(), world.node.bank.pubkey()
    plan = Plan([open_account(mint, wallet, to), pay_tokens(mint, wallet, to, 5)])
    needs = await world.ask(wallet, plan.unsigned(wallet), known=[NATIVE])
    assert needs.verdict is Verdict.FUNDS
    assert needs.unknown_assets == (str(mint.address),)
    assert {each.asset for each in needs.outflows} == {NATIVE}
    await world.node.mint_to(mint, wallet, 5)  # now it has enough of it: nothing is in the way
    assert (await world.ask(wallet, plan.unsigned(wallet), known=[NATIVE])).unknown_assets == ()


async def test_somebody_elses_transaction(world: World) -> None:
    """A transaction that does not touch the wallet is refused."""
    sender = Keypair().pubkey()
    with pytest.raises(BadTransaction) as caught:
        await world.ask(Keypair().pubkey(), Plan([pay(sender, world.node.bank.pubkey(), SOL)]).unsigned(sender))
    assert (caught.value.field, caught.value.code) == ("transaction", "other_sender")


async def test_wrapped_coins_that_were_never_wrapped(world: World) -> None:
    """Wrapped coins are an asset of their own: coins in the wallet don't stand in for them."""
    wallet, to = Keypair().pubkey(), world.node.bank.pubkey()
    plan = Plan([open_account(WSOL, wallet, to), pay_tokens(WSOL, wallet, to, 2 * SOL)])
    needs = await world.ask(wallet, plan.unsigned(wallet), known=[NATIVE, str(WSOL.address)])
    assert (needs.verdict, needs.exact) == (Verdict.FUNDS, True)
    assert {each.asset: each.amount for each in needs.outflows if each.asset != NATIVE} == {str(WSOL.address): 2 * SOL}
