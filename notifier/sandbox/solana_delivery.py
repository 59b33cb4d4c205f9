"""Coins on a local Solana validator: from its faucet, and of mints given to us.

Each transfer has a payer of its own, filled by the faucet. Payments at the same moment therefore share no balance to
overspend, and no two airdrops or transfers are alike: a validator takes equal ones for one.
"""

import asyncio
import base64
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

import aiohttp
import structlog
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

log = structlog.get_logger()

SPARE: Final = 10**8
"""Lamports beside the amount: fees, an account's rent, and the rent that the payer itself must keep."""
AGAIN_SECONDS: Final = 2.0
"""Between two times that a transfer is handed to the validator."""
_CONFIRMED: Final = {"commitment": "confirmed"}


@dataclass(frozen=True, slots=True)
class _Sent:
    """A transfer that is not there yet. The same bytes are the same transfer, however often they are sent."""

    wire: str
    blockhash: str
    """While it is valid the transfer may still be executed; afterwards never."""


class SolanaDelivery:
    """Fills `notifier.sandbox.delivery.Delivery`."""

    def __init__(self, url: str, http: aiohttp.ClientSession, tokens: Mapping[str, tuple[str, Path]]) -> None:
        """`tokens`: mint and keypair file of its authority, by Stripe's currency. Raises OSError, ValueError."""
        self._rpc = Rpc(url, http)
        self._tokens = {
            currency: (Pubkey.from_string(mint), Keypair.from_bytes(bytes(json.loads(file.read_text()))))
            for currency, (mint, file) in tokens.items()
        }
        self._under_way: dict[str, _Sent] = {}

    async def send(self, currency: str, address: str, amount: Decimal) -> str:
        """See `Delivery.send`."""
        units, to = to_units(currency, amount), Pubkey.from_string(address)
        if currency == "sol":
            payer = await self._make_payer(units + SPARE)
            paid = transfer(TransferParams(from_pubkey=payer.pubkey(), to_pubkey=to, lamports=units))
            return await self._submit([paid], payer)
        if currency not in self._tokens:
            raise DeliveryFailed(f"no mint is known for {currency}: start the sandbox with --solana-token")
        mint, authority = self._tokens[currency]
        program = await self._find_program(mint)
        payer = await self._make_payer(SPARE)
        opened = create_idempotent_associated_token_account(payer.pubkey(), to, mint, program)
        minted = MintToParams(
            program_id=program,
            mint=mint,
            dest=get_associated_token_address(to, mint, program),
            mint_authority=authority.pubkey(),
            amount=units,
        )
        return await self._submit([opened, mint_to(minted)], payer, authority)

    async def wait(self, transaction: str) -> None:
        """See `Delivery.wait`. A transfer that the validator dropped is sent again until its blockhash has expired."""
        now = asyncio.get_running_loop().time
        again = now() + AGAIN_SECONDS

        async def is_there() -> bool:
            nonlocal again
            if now() < again:
                return await self._is_confirmed(transaction)
            again = now() + AGAIN_SECONDS
            expired = await self._is_expired(transaction)
            if await self._is_confirmed(transaction):  # asked last: it may have been executed just before the end
                return True
            if expired:
                log.warning("sandbox.transfer_dropped", transaction=transaction)
                raise TransferFailed("the validator dropped the transfer, and its blockhash has expired: pay again")
            await self._send_again(transaction)
            return False

        try:
            await poll(is_there)
        except TransferFailed:
            self._under_way.pop(transaction, None)
            raise
        self._under_way.pop(transaction, None)

    async def _is_confirmed(self, transaction: str) -> bool:
        options = {"searchTransactionHistory": True}
        (status,) = (await self._rpc("getSignatureStatuses", [transaction], options))["value"]
        if status is None or status.get("confirmationStatus") not in ("confirmed", "finalized"):
            return False
        if status.get("err") is not None:
            raise TransferFailed(f"the transfer failed: {status['err']}")
        return True

    async def _is_expired(self, transaction: str) -> bool:
        sent = self._under_way.get(transaction)
        return sent is None or not (await self._rpc("isBlockhashValid", sent.blockhash, _CONFIRMED))["value"]

    async def _send_again(self, transaction: str) -> None:
        options = {"encoding": "base64", "skipPreflight": True}
        with suppress(DeliveryFailed):  # it has it already, for instance
            await self._rpc("sendTransaction", self._under_way[transaction].wire, options)

    async def _find_program(self, mint: Pubkey) -> Pubkey:
        """The token program that a mint belongs to."""
        account = (await self._rpc("getAccountInfo", str(mint), {"encoding": "base64", **_CONFIRMED}))["value"]
        if account is None:
            raise DeliveryFailed(f"the local validator has no mint {mint}")
        return TOKEN_2022_PROGRAM_ID if account["owner"] == str(TOKEN_2022_PROGRAM_ID) else TOKEN_PROGRAM_ID

    async def _make_payer(self, lamports: int) -> Keypair:
        """A new account with this much from the faucet."""
        payer = Keypair()
        address = str(payer.pubkey())

        async def is_rich() -> bool:
            return int((await self._rpc("getBalance", address, _CONFIRMED))["value"]) >= lamports

        await self._rpc("requestAirdrop", address, lamports)
        await poll(is_rich, "the faucet's airdrop is not on chain: pay again")
        return payer

    async def _submit(self, instructions: list[Instruction], *signers: Keypair) -> str:
        recent = (await self._rpc("getLatestBlockhash", _CONFIRMED))["value"]["blockhash"]
        message = MessageV0.try_compile(signers[0].pubkey(), instructions, [], Hash.from_string(recent))
        wire = base64.b64encode(bytes(VersionedTransaction(message, list(signers)))).decode()
        options = {"encoding": "base64", "preflightCommitment": "confirmed"}
        transaction = str(await self._rpc("sendTransaction", wire, options))
        self._under_way[transaction] = _Sent(wire, recent)
        return transaction
