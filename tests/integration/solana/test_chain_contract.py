"""The Solana adapter keeps the promises of `Chain`, for the coin and for the tokens of both programs."""

from collections.abc import AsyncIterator

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from spl.token.constants import TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID

from chains.chain import Chain
from chains.model import NATIVE, Holding
from tests.contract.chain_contract import Bench, ChainContract
from tests.integration.solana.conftest import chain_on, coin, token, token_asset
from tests.nodes.solana import SOL, Mint, SolanaNode
from tests.nodes.solana_process import Kind

pytestmark = pytest.mark.solana

TOKENS = {"token": TOKEN_PROGRAM_ID, "token-2022": TOKEN_2022_PROGRAM_ID}


class SolanaBench:
    """The coin, or a token, at two wallets."""

    def __init__(self, node: SolanaNode, mint: Mint | None) -> None:
        self.node = node
        self.mint = mint
        self.owner, self.neighbour = Keypair(), Keypair()
        self.holding = self._holding(self.owner)
        self.other = self._holding(self.neighbour)
        self.chain: Chain = self.reopen()

    def reopen(self) -> Chain:
        assets = (token_asset(self.mint),) if self.mint else ()
        return chain_on(self.node.rpc_url, ws=(self.node.ws_url,), assets=assets)

    async def fund(self, address: str, amount: int) -> str:
        return await self._pay(self.node.bank, Pubkey.from_string(address), amount)

    async def spend(self, amount: int) -> str:
        return await self._pay(self.owner, self.node.bank.pubkey(), amount)

    async def truth(self, holding: Holding) -> int:
        owner = Pubkey.from_string(holding.address)
        if self.mint is None or holding.asset == NATIVE:
            return await self.node.lamports(owner)
        return await self.node.tokens(self.mint, owner)

    async def _pay(self, sender: Keypair, to: Pubkey, amount: int) -> str:
        if self.mint is None:
            return await self.node.transfer(sender, to, amount)
        return await self.node.transfer_token(self.mint, sender, to, amount)

    def _holding(self, owner: Keypair) -> Holding:
        return token(self.mint, owner.pubkey()) if self.mint else coin(owner.pubkey())


@pytest.fixture(params=["coin", *TOKENS])
async def bench(request: pytest.FixtureRequest, node: SolanaNode) -> AsyncIterator[Bench]:
    mint = await node.create_mint(program=TOKENS[request.param]) if request.param in TOKENS else None
    made = SolanaBench(node, mint)
    for owner in (made.owner, made.neighbour):
        await node.airdrop(owner.pubkey(), SOL)
    if mint is not None:
        for owner in (made.owner, made.neighbour, node.bank):
            await node.mint_to(mint, owner.pubkey(), 10**12)
    async with made.chain:
        yield made


class TestSolanaChain(ChainContract):
    """See `ChainContract`."""


@pytest.mark.acceptance
@pytest.mark.parametrize("kind", [Kind.VALIDATOR])
class TestSolanaChainOnTheRealValidator(ChainContract):
    """See `ChainContract`."""
