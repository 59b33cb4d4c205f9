"""Balances and receipts on local nodes: odd accounts, both token programs, transfer fees, the closing depth."""

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from structlog.testing import capture_logs

from chains.errors import Unavailable
from chains.model import Asset, BlockRef, Holding
from tests.contract.chain_contract import poll
from tests.integration.solana.conftest import NETWORK, chain_on, coin, token, token_asset
from tests.nodes.solana import RENT_MINIMUM, SOL, NodeError, SolanaNode
from tests.nodes.solana_kinds import EVERY_KIND, node_for
from tests.nodes.solana_process import Ability, Kind

pytestmark = pytest.mark.solana

NOW = BlockRef(0, None)


async def test_tokens_over_a_life(node: SolanaNode) -> None:
    """Never opened, paid with lamports alone, filled, emptied, closed, filled again: each balance is the true one."""
    mint, owner = await node.create_mint(), Keypair()
    held = token(mint, owner.pubkey())
    async with chain_on(node.rpc_url, assets=(token_asset(mint),)) as chain:

        async def amount() -> int:
            return (await chain.balances([held], NOW))[0].amount

        assert await amount() == 0
        await node.transfer(node.bank, mint.account_of(owner.pubkey()), RENT_MINIMUM)
        assert await amount() == 0
        await node.mint_to(mint, owner.pubkey(), 2**63)
        assert await amount() == 2**63
        await node.burn(mint, owner, 2**63)
        await node.close_account(mint, owner)
        assert await amount() == 0
        await node.mint_to(mint, owner.pubkey(), 5)
        assert await amount() == 5


async def test_what_arrives_after_a_transfer_fee(node: SolanaNode) -> None:
    """Of a Token-2022 mint with a fee, balance and receipt tell what arrived, not what was sent."""
    mint, owner = await node.create_mint(fee_points=100), Keypair()
    await node.mint_to(mint, node.bank.pubkey(), 10**9)
    signature = await node.transfer_token(mint, node.bank, owner.pubkey(), 250_000)
    held = token(mint, owner.pubkey())
    async with chain_on(node.rpc_url, assets=(token_asset(mint),)) as chain:
        receipt = await poll(lambda: chain.find_receipt(signature, held))
        assert receipt.amount == 247_500
        assert (await chain.balances([held], receipt.at))[0].amount == 247_500


async def test_a_mint_that_is_none_is_unknown(node: SolanaNode) -> None:
    """A token whose mint is not there, or has other decimals than configured, has no balances and no receipts."""
    mint, owner = await node.create_mint(decimals=6), Keypair()
    signature = await node.mint_to(mint, owner.pubkey(), 5)
    nobody = Asset(NETWORK, str(Keypair().pubkey()), "NONE", 6)
    other = Asset(NETWORK, str(mint.address), "USDC", 9)
    for asset, words in ((nobody, "not a mint"), (other, "6 decimals")):
        held = Holding(NETWORK, asset.reference, str(owner.pubkey()))
        with capture_logs() as logs:
            async with chain_on(node.rpc_url, assets=(asset,)) as chain:
                assert await chain.balances([held], NOW) == await chain.settled_balances([held]) == ()
                with pytest.raises(Unavailable, match="not a mint as configured"):
                    await chain.find_receipt(signature, held)
        assert [words in line["reason"] for line in logs if line["event"] == "mint.unknown"] == [True]


@pytest.mark.needs_cheats
async def test_a_strangers_account_is_unknown(node: SolanaNode) -> None:
    """An account of another program where the token account belongs is an error, not a zero."""
    mint, owner = await node.create_mint(), Keypair()
    program = str(Pubkey.from_string("Vote111111111111111111111111111111111111111"))
    account = {"lamports": SOL, "owner": program, "data": "00" * 165, "executable": False}
    await node.rpc("surfnet_setAccount", str(mint.account_of(owner.pubkey())), account)
    async with chain_on(node.rpc_url, assets=(token_asset(mint),)) as chain:
        with pytest.raises(Unavailable, match="not a token account"):
            await chain.balances([token(mint, owner.pubkey())], NOW)


async def test_no_receipt_of_nothing(node: SolanaNode) -> None:
    """Nonsense, an unknown signature and a failed transaction brought nothing."""
    owner = Keypair()
    held = coin(owner.pubkey())
    await node.airdrop(owner.pubkey(), SOL)
    with pytest.raises(NodeError) as failed:
        await node.transfer(owner, node.bank.pubkey(), 5 * SOL)
    signature = str(failed.value).split()[0]
    async with chain_on(node.rpc_url) as chain:
        for transaction in ("nonsense", "0x" + "1" * 64, "5" * 87, signature):
            assert await chain.find_receipt(transaction, held) is None


@pytest.mark.parametrize("kind", EVERY_KIND)
async def test_a_receipt_waits_for_finality(node: SolanaNode) -> None:
    """At the closing depth `finalized` a confirmed payment has no receipt until its slot is final."""
    owner = Keypair()
    held = coin(owner.pubkey())
    async with chain_on(node.rpc_url, close_confirmations="finalized") as chain:
        signature = await node.transfer(node.bank, owner.pubkey(), SOL)
        assert await chain.find_receipt(signature, held) is None
        receipt = await poll(lambda: chain.find_receipt(signature, held))
        assert receipt.amount == SOL
        assert receipt.at.number <= await node.slot("finalized")
        assert (await chain.settled_balances([held]))[0].amount == SOL


@pytest.mark.parametrize("kind", EVERY_KIND)
async def test_settled_balances_wait_for_finality(request: pytest.FixtureRequest, kind: Kind) -> None:
    """A confirmed payment is in the balance at once, and in the settled balance once it is final."""
    async with node_for(request, kind, Ability.COMMITMENTS) as node:
        owner = Keypair()
        held = coin(owner.pubkey())
        async with chain_on(node.rpc_url, close_confirmations="finalized") as chain:
            await node.transfer(node.bank, owner.pubkey(), SOL)
            assert (await chain.settled_balances([held]))[0].amount == 0
            assert (await chain.balances([held], NOW))[0].amount == SOL

            async def settled() -> bool | None:
                return (await chain.settled_balances([held]))[0].amount == SOL or None

            assert await poll(settled)
