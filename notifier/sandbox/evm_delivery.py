"""Coins on a local EVM node with unlocked accounts, such as anvil: the first account pays."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import aiohttp
from eth_utils.crypto import keccak

from notifier.sandbox.delivery import DeliveryFailed, Rpc, TransferFailed, poll, to_units

COINS: Final = frozenset({"eth", "matic", "avax"})
_MINT: Final = keccak(text="mint(address,uint256)")[:4].hex()


class EvmDelivery:
    """Fills `notifier.sandbox.delivery.Delivery`."""

    def __init__(self, url: str, http: aiohttp.ClientSession, tokens: Mapping[str, str]) -> None:
        """`tokens`: contract by Stripe's currency, mintable by the first account."""
        self._rpc = Rpc(url, http)
        self._tokens = tokens

    async def send(self, currency: str, address: str, amount: Decimal) -> str:
        """See `Delivery.send`."""
        accounts = await self._rpc("eth_accounts")
        if not accounts:
            raise DeliveryFailed("the local node has no unlocked account to pay from")
        units = to_units(currency, amount)
        if currency in COINS:
            call = {"to": address, "value": hex(units)}
        elif currency in self._tokens:
            data = f"0x{_MINT}{address[2:].lower():0>64}{units:064x}"
            call = {"to": self._tokens[currency], "data": data}
        else:
            raise DeliveryFailed(f"no contract is known for {currency}: start the sandbox with --evm-token")
        return str(await self._rpc("eth_sendTransaction", {"from": accounts[0], **call}))

    async def wait(self, transaction: str) -> None:
        """See `Delivery.wait`."""

        async def is_there() -> bool:
            receipt = await self._rpc("eth_getTransactionReceipt", transaction)
            if receipt is not None and int(receipt["status"], 16) != 1:
                raise TransferFailed("the transfer was reverted")
            return receipt is not None

        await poll(is_there)
