"""A node, and transactions that are asked about first, then sent: with exactly what was said, and with less."""

from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import pytest
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from chains.model import NATIVE
from chains.needs import Limits, TransactionNeeds, Verdict
from chains.rpc import RpcClient
from chains.solana.needs.find import find_needs
from chains.solana.needs.process import Runner
from chains.solana.needs.programs import Programs
from tests.nodes.solana import Mint, NodeError, SolanaNode


@dataclass(frozen=True)
class Plan:
    """A transaction of one wallet, before anybody signed it."""

    instructions: Sequence[Instruction]
    tables: Sequence[AddressLookupTableAccount] = ()
    others: Sequence[Keypair] = ()
    """Who signs beside the wallet."""
    payer: Keypair | None = None

    def message(self, wallet: Pubkey, blockhash: Hash | None = None) -> MessageV0:
        """As it will be signed."""
        payer = self.payer.pubkey() if self.payer is not None else wallet
        return MessageV0.try_compile(payer, list(self.instructions), list(self.tables), blockhash or Hash.default())

    def unsigned(self, wallet: Pubkey) -> str:
        """In base64, with room for the signatures."""
        message = self.message(wallet)
        empty = [Signature.default()] * message.header.num_required_signatures
        return b64encode(bytes(VersionedTransaction.populate(message, empty))).decode()


@dataclass
class World:
    """A node and the one who asks about transactions on it."""

    node: SolanaNode
    rpc: RpcClient
    runner: Runner = field(default_factory=Runner)
    programs: Programs = field(default_factory=Programs)
    mints: list[Mint] = field(default_factory=list)

    async def mint(self, *, fee_points: int = 0) -> Mint:
        """A mint that may be asked for."""
        made = await self.node.create_mint(fee_points=fee_points)
        self.mints.append(made)
        return made

    async def ask(self, wallet: object, transaction: str, *, known: Sequence[str] | None = None) -> TransactionNeeds:
        """What it needs."""
        limits = Limits([NATIVE, *(str(mint.address) for mint in self.mints)] if known is None else known)
        return await find_needs(
            self.rpc, str(wallet), transaction, limits=limits, runner=self.runner, programs=self.programs
        )

    async def send(self, plan: Plan, wallet: Keypair) -> str:
        """Sign and send it. Raises NodeError for one that fails."""
        latest = await self.node.rpc("getLatestBlockhash", {"commitment": "confirmed"})
        message = plan.message(wallet.pubkey(), Hash.from_string(latest["value"]["blockhash"]))
        signers = {key.pubkey(): key for key in (wallet, *plan.others, *([plan.payer] if plan.payer else []))}
        needed = message.account_keys[: message.header.num_required_signatures]
        signed = VersionedTransaction(message, [signers[key] for key in needed])
        options = {"encoding": "base64", "preflightCommitment": "confirmed"}
        return await self.node._confirmed(
            str(await self.node.rpc("sendTransaction", b64encode(bytes(signed)).decode(), options))
        )

    async def fund(self, wallet: Pubkey, coin: int, tokens: dict[Mint, int]) -> None:
        """Give a new wallet exactly this."""
        if coin:
            await self.node.transfer(self.node.bank, wallet, coin)
        for mint, amount in tokens.items():
            if amount:
                await self.node.mint_to(mint, wallet, amount)

    async def prove(self, make: Callable[[Pubkey], Plan]) -> tuple[int, dict[str, int], TransactionNeeds]:
        """The need of a new wallet's transaction; with exactly that it lands, with one unit less it fails."""
        first = Keypair()
        plan = make(first.pubkey())
        needs = await self.ask(first.pubkey(), plan.unsigned(first.pubkey()))
        assert needs.verdict is Verdict.FUNDS, needs
        assert needs.exact, needs
        coin = sum(each.amount for each in needs.outflows if each.asset == NATIVE)
        tokens: dict[str, int] = {}
        for each in needs.outflows:
            if each.asset != NATIVE:
                tokens[each.asset] = tokens.get(each.asset, 0) + each.amount
        by_mint = {mint: tokens[str(mint.address)] for mint in self.mints if str(mint.address) in tokens}
        await self.fund(first.pubkey(), coin, by_mint)
        await self.send(plan, first)
        lacks: list[tuple[int, dict[Mint, int]]] = [(coin - 1, by_mint)] if coin else []
        lacks += [(coin, {**by_mint, mint: amount - 1}) for mint, amount in by_mint.items()]
        for less, fewer in lacks:
            poor = Keypair()
            await self.fund(poor.pubkey(), less, fewer)
            with pytest.raises(NodeError):
                await self.send(make(poor.pubkey()), poor)
        return coin, tokens, needs


@pytest.fixture
async def world(node: SolanaNode) -> AsyncIterator[World]:
    async with RpcClient([node.rpc_url]) as rpc:
        made = World(node, rpc)
        try:
            yield made
        finally:
            await made.runner.close()
