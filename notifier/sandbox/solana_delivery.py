"""Coins on a local Solana validator: from its faucet by way of an account of our own, and of mints given to us."""

import base64
import itertools
import json
import secrets
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Final

import aiohttp
from solders.compute_budget import set_compute_unit_limit
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction
from spl.token.constants import TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID
from spl.token.instructions import (
    create_idempotent_associated_token_account,
    get_associated_token_address,
    mint_to,
)
from spl.token.models import MintToParams

from notifier.sandbox.delivery import DeliveryFailed, Rpc, TransferFailed, poll, to_units

SOL: Final = 10**9
_CONFIRMED: Final = {"commitment": "confirmed"}


class SolanaDelivery:
    """Fills `notifier.sandbox.delivery.Delivery`."""

    def __init__(self, url: str, http: aiohttp.ClientSession, tokens: Mapping[str, tuple[str, Path]]) -> None:
        """`tokens`: mint and keypair file of its authority, by Stripe's currency. Raises OSError, ValueError."""
        self._rpc = Rpc(url, http)
        self._bank = Keypair()
        # a limit of its own makes each transaction unlike the last one with the same blockhash and amount
        self._limits = itertools.count(100_000 + secrets.randbelow(100_000))
        self._tokens = {
            currency: (Pubkey.from_string(mint), Keypair.from_bytes(bytes(json.loads(file.read_text()))))
            for currency, (mint, file) in tokens.items()
        }

    async def send(self, currency: str, address: str, amount: Decimal) -> str:
        """See `Delivery.send`."""
        units, to = to_units(currency, amount), Pubkey.from_string(address)
        if currency == "sol":
            await self._fill(units + SOL)
            paid = transfer(TransferParams(from_pubkey=self._bank.pubkey(), to_pubkey=to, lamports=units))
            return await self._submit([paid], self._bank)
        if currency not in self._tokens:
            raise DeliveryFailed(f"no mint is known for {currency}: start the sandbox with --solana-token")
        await self._fill(SOL)
        mint, authority = self._tokens[currency]
        return await self._submit(await self._minting(mint, authority, to, units), self._bank, authority)

    async def wait(self, transaction: str) -> None:
        """See `Delivery.wait`."""

        async def is_there() -> bool:
            options = {"searchTransactionHistory": True}
            (status,) = (await self._rpc("getSignatureStatuses", [transaction], options))["value"]
            if status is None or status.get("confirmationStatus") not in ("confirmed", "finalized"):
                return False
            if status.get("err") is not None:
                raise TransferFailed(f"the transfer failed: {status['err']}")
            return True

        await poll(is_there)

    async def _minting(self, mint: Pubkey, authority: Keypair, owner: Pubkey, units: int) -> list[Instruction]:
        account = (await self._rpc("getAccountInfo", str(mint), {"encoding": "base64", **_CONFIRMED}))["value"]
        if account is None:
            raise DeliveryFailed(f"the local validator has no mint {mint}")
        program = TOKEN_2022_PROGRAM_ID if account["owner"] == str(TOKEN_2022_PROGRAM_ID) else TOKEN_PROGRAM_ID
        minted = MintToParams(
            program_id=program,
            mint=mint,
            dest=get_associated_token_address(owner, mint, program),
            mint_authority=authority.pubkey(),
            amount=units,
        )
        opened = create_idempotent_associated_token_account(self._bank.pubkey(), owner, mint, program)
        return [opened, mint_to(minted)]

    async def _fill(self, lamports: int) -> None:
        """Ask the faucet until our own account can pay this."""
        bank = str(self._bank.pubkey())

        async def is_rich() -> bool:
            return int((await self._rpc("getBalance", bank, _CONFIRMED))["value"]) >= lamports

        if not await is_rich():
            await self._rpc("requestAirdrop", bank, lamports)
            await poll(is_rich)

    async def _submit(self, instructions: list[Instruction], *signers: Keypair) -> str:
        unique = set_compute_unit_limit(next(self._limits))
        recent = (await self._rpc("getLatestBlockhash", _CONFIRMED))["value"]["blockhash"]
        message = MessageV0.try_compile(signers[0].pubkey(), [unique, *instructions], [], Hash.from_string(recent))
        wire = base64.b64encode(bytes(VersionedTransaction(message, list(dict.fromkeys(signers))))).decode()
        options = {"encoding": "base64", "preflightCommitment": "confirmed"}
        return str(await self._rpc("sendTransaction", wire, options))
