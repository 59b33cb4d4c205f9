"""Each case is asked about, lands with exactly what was said, and is refused with one unit less of anything."""

import pytest
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from spl.token import instructions as spl
from spl.token import models

from tests.integration.solana.needs.conftest import Plan, World
from tests.integration.solana.needs.steps import (
    FEE,
    RENT_OF_TOKENS,
    WSOL,
    close_account,
    open_account,
    pay,
    pay_tokens,
)
from tests.nodes.solana import RENT_MINIMUM, SOL

pytestmark = pytest.mark.solana


async def test_coins_sent(world: World) -> None:
    """The amount, the fee, and what must be left."""
    to = world.node.bank.pubkey()
    coin, tokens, needs = await world.prove(lambda wallet: Plan([pay(wallet, to, SOL)]))
    assert (coin, tokens) == (SOL + FEE + RENT_MINIMUM, {})
    assert [(each.what, each.amount) for each in needs.outflows] == [
        ("required", SOL),
        ("gas", FEE),
        ("keep", RENT_MINIMUM),
    ]


async def test_a_priority_fee(world: World) -> None:
    """The price times the limit, rounded up, whether the units are used or not."""
    to = world.node.bank.pubkey()
    steps = [set_compute_unit_limit(100_000), set_compute_unit_price(1_000_001)]
    coin, _, needs = await world.prove(lambda wallet: Plan([*steps, pay(wallet, to, SOL)]))
    assert coin == SOL + FEE + 100_001 + RENT_MINIMUM
    assert [each.amount for each in needs.outflows if each.what == "priority_fee"] == [100_001]


async def test_tokens_to_a_new_account(world: World) -> None:
    """The tokens, though the wallet has no account for them yet, and the rent of the receiver's account."""
    mint = await world.mint()

    def make(wallet: Pubkey) -> Plan:
        to = Keypair().pubkey()
        return Plan([open_account(mint, wallet, to), pay_tokens(mint, wallet, to, 500)])

    coin, tokens, needs = await world.prove(make)
    assert (coin, tokens) == (RENT_OF_TOKENS + FEE + RENT_MINIMUM, {str(mint.address): 500})
    assert [each.amount for each in needs.outflows if each.what == "rent"] == [RENT_OF_TOKENS]


async def test_tokens_to_an_account_that_is_there(world: World) -> None:
    """No rent where nothing is opened."""
    mint, to = await world.mint(), world.node.bank.pubkey()
    await world.node.open_account(mint, to)
    coin, tokens, _ = await world.prove(
        lambda wallet: Plan([open_account(mint, wallet, to), pay_tokens(mint, wallet, to, 500)])
    )
    assert (coin, tokens) == (FEE + RENT_MINIMUM, {str(mint.address): 500})


async def test_two_tokens_and_coins(world: World) -> None:
    """Each asset on its own."""
    one, two, to = await world.mint(), await world.mint(), world.node.bank.pubkey()

    def make(wallet: Pubkey) -> Plan:
        return Plan(
            [
                open_account(one, wallet, to),
                pay_tokens(one, wallet, to, 700),
                open_account(two, wallet, Keypair().pubkey()),
                pay(wallet, to, 12_345),
                pay_tokens(two, wallet, wallet, 900),
            ]
        )

    for mint in (one, two):
        await world.node.open_account(mint, to)
    coin, tokens, _ = await world.prove(make)
    assert (coin, tokens) == (
        12_345 + RENT_OF_TOKENS + FEE + RENT_MINIMUM,
        {str(one.address): 700, str(two.address): 900},
    )


async def test_a_token_with_a_transfer_fee(world: World) -> None:
    """What leaves the wallet, not what arrives; the accounts of such a token are larger, and their rent too."""
    mint = await world.mint(fee_points=100)

    def make(wallet: Pubkey) -> Plan:
        to = Keypair().pubkey()
        return Plan([open_account(mint, wallet, to), pay_tokens(mint, wallet, to, 10_000)])

    coin, tokens, _ = await world.prove(make)
    assert (coin, tokens) == (2_157_600 + FEE + RENT_MINIMUM, {str(mint.address): 10_000})


async def test_money_that_comes_back_must_be_there_first(world: World) -> None:
    """Five coins out and four back need five."""
    bank = world.node.bank

    def make(wallet: Pubkey) -> Plan:
        return Plan([pay(wallet, bank.pubkey(), 5 * SOL), pay(bank.pubkey(), wallet, 4 * SOL)], others=[bank])

    coin, _, _ = await world.prove(make)
    assert coin == 5 * SOL + 2 * FEE


async def test_wrapping_and_closing(world: World) -> None:
    """The rent of an account that is closed again must be there while it is open."""

    def make(wallet: Pubkey) -> Plan:
        account = WSOL.account_of(wallet)
        return Plan(
            [
                open_account(WSOL, wallet, wallet),
                pay(wallet, account, SOL),
                spl.sync_native(models.SyncNativeParams(program_id=WSOL.program, account=account)),
                close_account(WSOL, wallet),
            ]
        )

    coin, tokens, _ = await world.prove(make)
    assert (coin, tokens) == (SOL + RENT_OF_TOKENS + FEE, {})


async def test_somebody_else_pays_the_fee(world: World) -> None:
    """The wallet needs its tokens and no coins."""
    mint, bank = await world.mint(), world.node.bank
    await world.node.open_account(mint, bank.pubkey())
    coin, tokens, _ = await world.prove(lambda wallet: Plan([pay_tokens(mint, wallet, bank.pubkey(), 5)], payer=bank))
    assert (coin, tokens) == (0, {str(mint.address): 5})
