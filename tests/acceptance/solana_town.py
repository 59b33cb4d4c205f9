"""A small town of wallets on a local Solana node, where coins and tokens of three kinds of mint move."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Final

from solders.keypair import Keypair
from spl.token.constants import TOKEN_2022_PROGRAM_ID

from chains.model import NATIVE, Asset, Holding, NetworkId
from tests.nodes.solana import SOL, Mint, NodeError, SolanaNode

NETWORK: Final = NetworkId("solana:localnet")
WALLETS: Final = 6
COIN_LEVELS: Final = (0, 3 * SOL // 10, SOL - 1, SOL, SOL + 1, 3 * SOL)
TOKEN_LEVELS: Final = (0, 1, 400_000, 999_999, 1_000_000, 1_500_000, 2**60)
FEE_POINTS: Final = 100
ACTIONS: Final = 10
"""A round."""


def threshold(holding: Holding) -> int:
    """Below this a holding is low."""
    return SOL if holding.asset == NATIVE else 1_000_000


@dataclass
class Town:
    """Who lives here."""

    node: SolanaNode
    dice: random.Random
    people: dict[str, Keypair]
    mints: dict[str, Mint]
    deeds: Counter[str] = field(default_factory=Counter)
    """How often what happened."""

    @property
    def assets(self) -> tuple[Asset, ...]:
        """The coin and the tokens."""
        tokens = (Asset(NETWORK, address, "TOKEN", mint.decimals) for address, mint in self.mints.items())
        return (Asset(NETWORK, NATIVE, "SOL", 9), *tokens)

    def holdings(self) -> list[Holding]:
        """Everything watched."""
        return [Holding(NETWORK, asset.reference, address) for address in self.people for asset in self.assets]

    async def truth(self) -> dict[Holding, int]:
        """Every balance by the plainest calls, through nothing of the adapter."""
        holdings = self.holdings()
        amounts = await asyncio.gather(*(self._amount(holding) for holding in holdings))
        return dict(zip(holdings, amounts, strict=True))

    async def act(self, truth: dict[Holding, int]) -> None:
        """Change some holdings, each one at most once and in one direction, and wait until all is confirmed."""
        chosen = self.dice.sample(list(truth), ACTIONS)
        await asyncio.gather(*self._between(chosen, truth), *(self._change(holding, truth) for holding in chosen))

    def _between(self, chosen: list[Holding], truth: dict[Holding, int]) -> Sequence[Awaitable[object]]:
        """Take two holdings of one token out of the chosen ones, where there are, for a transfer between them."""
        for sender in chosen:
            others = [other for other in chosen if other.asset == sender.asset and other != sender]
            if sender.asset != NATIVE and others and truth[sender]:
                chosen.remove(sender)
                chosen.remove(others[0])
                to = self.people[others[0].address].pubkey()
                amount = self.dice.randint(1, truth[sender])
                self.deeds["between"] += 1
                return [self.node.transfer_token(self.mints[sender.asset], self.people[sender.address], to, amount)]
        return []

    async def _change(self, holding: Holding, truth: dict[Holding, int]) -> None:
        person, now = self.people[holding.address], truth[holding]
        is_coin = holding.asset == NATIVE
        target = self.dice.choice([level for level in (COIN_LEVELS if is_coin else TOKEN_LEVELS) if level != now])
        if not is_coin:
            await self._change_token(self.mints[holding.asset], person, now, target)
        elif target > now:
            await self.node.transfer(self.node.bank, person.pubkey(), target - now)
        elif target and self.dice.random() < 0.3:
            await self._fail(person, now)
        else:
            await self.node.transfer(person, self.node.bank.pubkey(), now - target, payer=self.node.bank)

    async def _change_token(self, mint: Mint, person: Keypair, now: int, target: int) -> None:
        self.deeds["opened"] += now == 0
        if target > now:
            await self.node.mint_to(mint, person.pubkey(), target - now)
        elif self.dice.random() < 0.5 or mint.program == TOKEN_2022_PROGRAM_ID:
            await self.node.burn(mint, person, now - target)
        else:
            await self.node.transfer_token(mint, person, self.node.bank.pubkey(), now - target)
        if target == 0:  # its account is opened again by the next payment
            await self.node.close_account(mint, person)
            self.deeds["closed"] += 1

    async def _fail(self, person: Keypair, now: int) -> None:
        """A failed transaction takes its fee alone."""
        try:
            await self.node.transfer(person, self.node.bank.pubkey(), 2 * now + SOL)
        except NodeError:
            self.deeds["failed"] += 1
            return
        raise AssertionError("a transfer of more than there is went through")

    async def _amount(self, holding: Holding) -> int:
        owner = self.people[holding.address].pubkey()
        if holding.asset == NATIVE:
            return await self.node.lamports(owner)
        return await self.node.tokens(self.mints[holding.asset], owner)


async def found_town(node: SolanaNode, seed: int) -> Town:
    """Wallets with coins, and three mints whose accounts nobody has opened yet."""
    mints = [
        await node.create_mint(),
        await node.create_mint(program=TOKEN_2022_PROGRAM_ID),
        await node.create_mint(fee_points=FEE_POINTS),
    ]
    people = [Keypair() for _ in range(WALLETS)]
    await asyncio.gather(*(node.airdrop(person.pubkey(), 2 * SOL) for person in people))
    return Town(
        node,
        random.Random(seed),  # noqa: S311  repeatable, not secret
        {str(person.pubkey()): person for person in people},
        {str(mint.address): mint for mint in mints},
    )
