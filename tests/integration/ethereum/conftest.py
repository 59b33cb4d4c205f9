"""A node of its own for each test, and a chain on it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from chains.ethereum.adapter import EthereumChain
from chains.model import NATIVE, Asset, Holding, NetworkId
from tests.nodes.anvil import CHAIN_ID, Anvil

NETWORK = NetworkId(f"eip155:{CHAIN_ID}")
COIN_ASSET = Asset(NETWORK, NATIVE, "ETH", 18)


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def token_asset(address: str, symbol: str = "USDC") -> Asset:
    """An asset of a deployed contract."""
    return Asset(NETWORK, address, symbol, 6)


def coin(address: str) -> Holding:
    """The native holding of an address."""
    return Holding(NETWORK, NATIVE, address)


def token(contract: str, address: str) -> Holding:
    """The holding of a token at an address."""
    return Holding(NETWORK, contract, address)


def chain_on(*urls: str, ws: tuple[str, ...] = (), assets: tuple[Asset, ...] = (), **settings: Any) -> EthereumChain:
    """A chain with a local node's settings."""
    defaults: dict[str, Any] = {"close_confirmations": 1, "poll_seconds": 0.1, "stale_seconds": 10.0, "slice_size": 0}
    return EthereumChain(
        NETWORK, CHAIN_ID, http_urls=urls, ws_urls=ws, assets=(COIN_ASSET, *assets), **{**defaults, **settings}
    )


@pytest.fixture
async def anvil() -> AsyncIterator[Anvil]:
    async with Anvil() as node:
        yield node
