"""A real local Solana node, of either kind, with what tests and the demo need to drive it."""

import asyncio
import itertools
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import aiohttp
from solders.compute_budget import set_compute_unit_limit
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, TransferParams, create_account, transfer
from solders.transaction import Transaction
from spl.token import instructions as spl
from spl.token import models
from spl.token.constants import TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID

from tests.nodes.solana_process import Ability, Kind, SolanaProcess, can

SOL: Final = 10**9
RENT_MINIMUM: Final = 890_880
"""Lamports an account without data must keep, or be empty."""
_SIZE_OF_MINT: Final = 82
_SIZE_OF_FEE_MINT: Final = 278


class NodeError(Exception):
    """The node refused a request, or the transaction failed."""


@dataclass(frozen=True, slots=True)
class Mint:
    """A token of our own making; the node's bank is its authority."""

    address: Pubkey
    program: Pubkey
    decimals: int = 6

    def account_of(self, owner: Pubkey) -> Pubkey:
        """The owner's associated token account."""
        return spl.get_associated_token_address(owner, self.address, self.program)


class SolanaNode:
    """A node and a funded account, `bank`. An async context manager; what it started, it kills."""

    def __init__(self, process: SolanaProcess | None = None, *, kind: Kind = Kind.SURFPOOL) -> None:
        """Drive a given process, which may run already, or one of its own of a kind."""
        self.process = process or SolanaProcess(kind)
        self.kind = self.process.kind
        self.rpc_url = self.process.rpc_url
        self.ws_url = self.process.ws_url
        self.bank = Keypair()
        self._owns = not self.process.running
        self._session: aiohttp.ClientSession | None = None
        self._ids = itertools.count(1)
        self._limits = itertools.count(200_000)

    async def __aenter__(self) -> Self:
        if self._owns:
            await self.start()
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20))
        await self.airdrop(self.bank.pubkey(), 10_000 * SOL)
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._session is not None:
            await self._session.close()
        if self._owns:
            await asyncio.to_thread(self.process.remove)

    def can(self, ability: Ability) -> bool:
        """Whether this kind of node can do something."""
        return can(self.kind, ability)

    async def start(self) -> None:
        """Start the process, and wait until it answers."""
        await asyncio.to_thread(self.process.start)

    async def kill(self) -> None:
        """End it at once."""
        await asyncio.to_thread(self.process.kill)

    async def restart(self) -> None:
        """Kill it and start it on the same ports; only a node that `KEEPS_STATE` has its accounts again."""
        await self.kill()
        await self.start()

    async def rpc(self, method: str, *params: Any) -> Any:
        """The result of one call. Raises NodeError with the node's words."""
        if self._session is None:
            raise RuntimeError("not started")
        body = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(params)}
        try:
            answer = await self._post(body)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):  # a pooled connection from before a restart
            answer = await self._post(body)
        if "error" in answer:
            raise NodeError(f"{method}: {answer['error']}")
        return answer["result"]

    async def wait_until(self, holds: Callable[[], Awaitable[object]], *, seconds: float = 20, what: str = "") -> None:
        """Poll until something holds. Raises TimeoutError naming `what`."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not await holds():
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError(f"{what or 'the condition'} did not come within {seconds:g} s")
            await asyncio.sleep(0.03)

    async def airdrop(self, address: Pubkey, lamports: int) -> str:
        """Coins from the node's faucet, at least the rent minimum; the signature, once confirmed."""
        signature = str(await self.rpc("requestAirdrop", str(address), lamports))
        return await self._confirmed(signature)

    async def send(self, instructions: Sequence[Instruction], *signers: Keypair) -> str:
        """Send a transaction, which the first signer pays; its signature, once confirmed. Raises NodeError."""
        # a compute limit of its own makes each transaction unlike the last one with the same blockhash
        unique = set_compute_unit_limit(next(self._limits))
        latest = await self.rpc("getLatestBlockhash", {"commitment": "confirmed"})
        blockhash = Hash.from_string(latest["value"]["blockhash"])
        signed = Transaction.new_signed_with_payer(
            [unique, *instructions], signers[0].pubkey(), list(dict.fromkeys(signers)), blockhash
        )
        options = {"encoding": "base64", "skipPreflight": True}
        return await self._confirmed(str(await self.rpc("sendTransaction", _base64(bytes(signed)), options)))

    async def transfer(self, sender: Keypair, to: Pubkey, lamports: int, *, payer: Keypair | None = None) -> str:
        """Send coins; the sender pays the fee unless somebody else is named."""
        paid = transfer(TransferParams(from_pubkey=sender.pubkey(), to_pubkey=to, lamports=lamports))
        return await self.send([paid], payer or sender, sender)

    async def create_mint(self, *, program: Pubkey = TOKEN_PROGRAM_ID, fee_points: int = 0, decimals: int = 6) -> Mint:
        """A new mint. With `fee_points` (hundredths of a percent), a Token-2022 mint that takes a transfer fee."""
        key, bank = Keypair(), self.bank.pubkey()
        if fee_points:
            program = TOKEN_2022_PROGRAM_ID
        size = _SIZE_OF_FEE_MINT if fee_points else _SIZE_OF_MINT
        rent = await self.rpc("getMinimumBalanceForRentExemption", size)
        steps = [
            create_account(
                CreateAccountParams(from_pubkey=bank, to_pubkey=key.pubkey(), lamports=rent, space=size, owner=program)
            )
        ]
        if fee_points:
            steps.append(spl.initialize_transfer_fee_config(_fee_config(key.pubkey(), bank, fee_points)))
        steps.append(
            spl.initialize_mint2(
                models.InitializeMint2Params(
                    decimals=decimals, program_id=program, mint=key.pubkey(), mint_authority=bank
                )
            )
        )
        await self.send(steps, self.bank, key)
        return Mint(key.pubkey(), program, decimals)

    async def open_account(self, mint: Mint, owner: Pubkey) -> Pubkey:
        """The owner's associated token account, opened at the bank's expense if it isn't there."""
        await self.send([self._opening(mint, owner)], self.bank)
        return mint.account_of(owner)

    async def mint_to(self, mint: Mint, owner: Pubkey, amount: int) -> str:
        """New tokens, into an account opened if need be."""
        minted = spl.mint_to(
            models.MintToParams(
                program_id=mint.program,
                mint=mint.address,
                dest=mint.account_of(owner),
                mint_authority=self.bank.pubkey(),
                amount=amount,
            )
        )
        return await self.send([self._opening(mint, owner), minted], self.bank)

    async def transfer_token(self, mint: Mint, sender: Keypair, to: Pubkey, amount: int) -> str:
        """Send tokens, at the bank's expense, into an account opened if need be."""
        paid = spl.transfer_checked(
            models.TransferCheckedParams(
                program_id=mint.program,
                source=mint.account_of(sender.pubkey()),
                mint=mint.address,
                dest=mint.account_of(to),
                owner=sender.pubkey(),
                amount=amount,
                decimals=mint.decimals,
            )
        )
        return await self.send([self._opening(mint, to), paid], self.bank, sender)

    async def burn(self, mint: Mint, owner: Keypair, amount: int) -> str:
        """Destroy tokens of an owner, at the bank's expense."""
        burnt = spl.burn(
            models.BurnParams(
                program_id=mint.program,
                account=mint.account_of(owner.pubkey()),
                mint=mint.address,
                owner=owner.pubkey(),
                amount=amount,
            )
        )
        return await self.send([burnt], self.bank, owner)

    async def close_account(self, mint: Mint, owner: Keypair) -> str:
        """Close an owner's empty token account; its rent goes to the bank."""
        closed = spl.close_account(
            models.CloseAccountParams(
                program_id=mint.program,
                account=mint.account_of(owner.pubkey()),
                dest=self.bank.pubkey(),
                owner=owner.pubkey(),
            )
        )
        return await self.send([closed], self.bank, owner)

    async def slot(self, commitment: str = "confirmed") -> int:
        """The node's slot."""
        return int(await self.rpc("getSlot", {"commitment": commitment}))

    async def lamports(self, address: Pubkey, commitment: str = "confirmed") -> int:
        """The truth: one balance by the plainest call."""
        return int((await self.rpc("getBalance", str(address), {"commitment": commitment}))["value"])

    async def tokens(self, mint: Mint, owner: Pubkey, commitment: str = "confirmed") -> int:
        """The truth: tokens in the owner's associated account, 0 when there is no such account."""
        options = {"encoding": "jsonParsed", "commitment": commitment}
        account = (await self.rpc("getAccountInfo", str(mint.account_of(owner)), options))["value"]
        return 0 if account is None else int(account["data"]["parsed"]["info"]["tokenAmount"]["amount"])

    def _opening(self, mint: Mint, owner: Pubkey) -> Instruction:
        return spl.create_idempotent_associated_token_account(self.bank.pubkey(), owner, mint.address, mint.program)

    async def _post(self, body: Any) -> Any:
        assert self._session is not None
        async with self._session.post(self.rpc_url, json=body) as response:
            return await response.json(content_type=None)

    async def _confirmed(self, signature: str) -> str:
        async def is_confirmed() -> bool:
            status = (await self.rpc("getSignatureStatuses", [signature]))["value"][0]
            if status is not None and status["err"] is not None:
                raise NodeError(f"{signature} failed: {status['err']}")
            return status is not None and status["confirmationStatus"] in ("confirmed", "finalized")

        await self.wait_until(is_confirmed, seconds=30, what=f"transaction {signature}")
        return signature


def _base64(data: bytes) -> str:
    return b64encode(data).decode()


def _fee_config(mint: Pubkey, authority: Pubkey, points: int) -> models.InitializeTransferFeeConfigParams:
    return models.InitializeTransferFeeConfigParams(
        program_id=TOKEN_2022_PROGRAM_ID,
        mint=mint,
        transfer_fee_config_authority=authority,
        withdraw_withheld_authority=authority,
        transfer_fee_basis_points=points,
        maximum_fee=2**63,
    )
