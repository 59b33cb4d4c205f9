"""Moving real coins on local chains when a session is paid: unlocked accounts of the node, the validator's faucet."""

import asyncio
import base64
import itertools
import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Protocol

import aiohttp
from eth_utils.crypto import keccak
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction
from spl.token.constants import TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID
from spl.token.instructions import (
    create_idempotent_associated_token_account,
    get_associated_token_address,
    mint_to,
)
from spl.token.models import MintToParams

from notifier.sandbox.rules import DECIMALS

POLL_SECONDS: Final = 0.1
WAIT_SECONDS: Final = 60
EVM_NETWORKS: Final = frozenset({"ethereum", "base", "polygon", "avalanche", "optimism"})
EVM_COINS: Final = frozenset({"eth", "matic", "avax"})


class DeliveryFailed(Exception):
    """The coins could not be moved; the message is for whoever pressed Pay."""


class Delivery(Protocol):
    """One local chain."""

    async def send(self, currency: str, address: str, amount: Decimal) -> str:
        """Move coins and wait until they are there. Gives the transaction. Raises `DeliveryFailed`."""


class _Rpc:
    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self._url = url
        self._http = http
        self._ids = itertools.count(1)

    async def __call__(self, method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(params)}
        try:
            async with self._http.post(self._url, json=body) as answer:
                content = await answer.json(content_type=None)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise DeliveryFailed(f"the local node does not answer: {type(error).__name__}") from None
        if "error" in content:
            raise DeliveryFailed(f"the local node refused {method}: {content['error'].get('message')}")
        return content["result"]


class EvmDelivery:
    """A node with unlocked accounts, such as anvil: the first one pays."""

    def __init__(self, url: str, http: aiohttp.ClientSession, tokens: Mapping[str, str]) -> None:
        """`tokens`: contract by Stripe's currency, mintable by the first account."""
        self._rpc = _Rpc(url, http)
        self._tokens = tokens

    async def send(self, currency: str, address: str, amount: Decimal) -> str:
        """See `Delivery.send`."""
        payer = (await self._rpc("eth_accounts"))[0]
        units = int(amount.scaleb(DECIMALS[currency]))
        if currency in EVM_COINS:
            call = {"from": payer, "to": address, "value": hex(units)}
        elif currency in self._tokens:
            data = keccak(text="mint(address,uint256)")[:4].hex() + address[2:].lower().rjust(64, "0") + f"{units:064x}"
            call = {"from": payer, "to": self._tokens[currency], "data": "0x" + data}
        else:
            raise DeliveryFailed(f"no contract is known for {currency}: start the sandbox with --evm-token")
        transaction = str(await self._rpc("eth_sendTransaction", call))
        for _ in range(int(WAIT_SECONDS / POLL_SECONDS)):
            receipt = await self._rpc("eth_getTransactionReceipt", transaction)
            if receipt is not None:
                if int(receipt["status"], 16) != 1:
                    raise DeliveryFailed("the transfer was reverted")
                return transaction
            await asyncio.sleep(POLL_SECONDS)
        raise DeliveryFailed("the transfer was not mined in time")


class SolanaDelivery:
    """A validator with a faucet, and mints whose authority we were given."""

    def __init__(self, url: str, http: aiohttp.ClientSession, tokens: Mapping[str, tuple[str, Path]]) -> None:
        """`tokens`: mint and keypair file of its authority, by Stripe's currency. Raises OSError, ValueError."""
        self._rpc = _Rpc(url, http)
        self._tokens = {
            currency: (mint, Keypair.from_bytes(bytes(json.loads(file.read_text()))))
            for currency, (mint, file) in tokens.items()
        }

    async def send(self, currency: str, address: str, amount: Decimal) -> str:
        """See `Delivery.send`."""
        units = int(amount.scaleb(DECIMALS[currency]))
        if currency == "sol":
            signature = str(await self._rpc("requestAirdrop", address, units))
        elif currency in self._tokens:
            signature = await self._mint(*self._tokens[currency], address, units)
        else:
            raise DeliveryFailed(f"no mint is known for {currency}: start the sandbox with --solana-token")
        await self._confirm(signature)
        return signature

    async def _mint(self, mint: str, authority: Keypair, owner: str, units: int) -> str:
        account = (await self._rpc("getAccountInfo", mint, {"encoding": "base64"}))["value"]
        program = TOKEN_2022_PROGRAM_ID if account["owner"] == str(TOKEN_2022_PROGRAM_ID) else TOKEN_PROGRAM_ID
        where, what = Pubkey.from_string(owner), Pubkey.from_string(mint)
        await self._confirm(str(await self._rpc("requestAirdrop", str(authority.pubkey()), 10**9)))
        target = get_associated_token_address(where, what, program)
        instructions = [
            create_idempotent_associated_token_account(authority.pubkey(), where, what, program),
            mint_to(
                MintToParams(
                    program_id=program, mint=what, dest=target, mint_authority=authority.pubkey(), amount=units
                )
            ),
        ]
        recent = (await self._rpc("getLatestBlockhash", {"commitment": "confirmed"}))["value"]["blockhash"]
        message = MessageV0.try_compile(authority.pubkey(), instructions, [], Hash.from_string(recent))
        wire = bytes(VersionedTransaction(message, [authority]))
        return str(await self._rpc("sendTransaction", base64.b64encode(wire).decode(), {"encoding": "base64"}))

    async def _confirm(self, signature: str) -> None:
        for _ in range(int(WAIT_SECONDS / POLL_SECONDS)):
            (status,) = (await self._rpc("getSignatureStatuses", [signature]))["value"]
            if status is not None and status.get("confirmationStatus") in ("confirmed", "finalized"):
                if status.get("err") is not None:
                    raise DeliveryFailed(f"the transfer failed: {status['err']}")
                return
            await asyncio.sleep(POLL_SECONDS)
        raise DeliveryFailed("the transfer was not confirmed in time")
