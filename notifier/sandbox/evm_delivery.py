"""Coins on a local EVM node with unlocked accounts, such as anvil: the first account pays."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, Final

import aiohttp
from eth_typing import ChecksumAddress, HexStr
from web3 import AsyncHTTPProvider, AsyncWeb3
from web3.exceptions import TransactionNotFound, Web3Exception

from notifier.sandbox.delivery import DeliveryFailed, TransferFailed, poll, to_units

COINS: Final = frozenset({"eth", "matic", "avax"})
MINTABLE: Final[list[dict[str, Any]]] = [
    {
        "type": "function",
        "name": "mint",
        "stateMutability": "nonpayable",
        "inputs": [{"name": "to", "type": "address"}, {"name": "amount", "type": "uint256"}],
        "outputs": [],
    }
]
"""What a test token needs to have."""


class EvmDelivery:
    """Fills `notifier.sandbox.delivery.Delivery`."""

    def __init__(self, url: str, http: aiohttp.ClientSession, tokens: Mapping[str, str]) -> None:
        """`http` is the caller's to close; `tokens`: contract by Stripe's currency, mintable by the first account."""
        self._provider = AsyncHTTPProvider(url, exception_retry_configuration=None)
        self._web3 = AsyncWeb3(self._provider)
        self._http = http
        self._tokens = tokens
        self._one_at_a_time = asyncio.Lock()
        """The node gives two transfers that come at the same moment the same nonce."""

    async def send(self, currency: str, address: str, amount: Decimal) -> str:
        """See `Delivery.send`."""
        if currency not in COINS and currency not in self._tokens:
            raise DeliveryFailed(f"no contract is known for {currency}: start the sandbox with --evm-token")
        to, units = AsyncWeb3.to_checksum_address(address), to_units(currency, amount)
        async with self._one_at_a_time, self._node() as eth:
            accounts = await eth.accounts
            if not accounts:
                raise DeliveryFailed("the local node has no unlocked account to pay from")
            if currency in COINS:
                sent = await eth.send_transaction({"from": accounts[0], "to": to, "value": units})
            else:
                sent = await self._mint(accounts[0], self._tokens[currency], to, units)
            return "0x" + bytes(sent).hex()

    async def wait(self, transaction: str) -> None:
        """See `Delivery.wait`."""

        async def is_there() -> bool:
            async with self._node() as eth:
                try:
                    receipt = await eth.get_transaction_receipt(HexStr(transaction))
                except TransactionNotFound:
                    return False
            if receipt["status"] != 1:
                raise TransferFailed("the transfer was reverted")
            return True

        await poll(is_there)

    async def _mint(self, payer: ChecksumAddress, token: str, to: ChecksumAddress, units: int) -> bytes:
        contract = self._web3.eth.contract(address=AsyncWeb3.to_checksum_address(token), abi=MINTABLE)
        return await contract.functions.mint(to, units).transact({"from": payer})

    @asynccontextmanager
    async def _node(self) -> AsyncIterator[Any]:
        """The node, over our session; whatever goes wrong is told in the node's words, without its address."""
        await self._provider.cache_async_session(self._http)
        try:
            yield self._web3.eth
        except TransactionNotFound:
            raise
        except Web3Exception as error:
            raise DeliveryFailed(f"the local node refused: {error}") from None
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise DeliveryFailed(f"the local node does not answer: {type(error).__name__}") from None
