"""A node of its own for each test, and a chain on it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from chains.model import NATIVE, Asset, Holding, NetworkId
from chains.solana.adapter import SolanaChain
from tests.nodes.solana import Mint, SolanaNode
from tests.nodes.solana_kinds import node_for
from tests.nodes.solana_process import Kind

NETWORK = NetworkId("solana:localnet")
COIN_ASSET = Asset(NETWORK, NATIVE, "SOL", 9)


def token_asset(mint: Mint, symbol: str = "USDC") -> Asset:
    """An asset of a mint."""
    return Asset(NETWORK, str(mint.address), symbol, mint.decimals)


def coin(owner: object) -> Holding:
    """The native holding of an address."""
    return Holding(NETWORK, NATIVE, str(owner))


def token(mint: Mint, owner: object) -> Holding:
    """The holding of a token at an address."""
    return Holding(NETWORK, str(mint.address), str(owner))


def chain_on(*urls: str, ws: tuple[str, ...] = (), assets: tuple[Asset, ...] = (), **settings: Any) -> SolanaChain:
    """A chain with a local node's settings: quick, and without the rotating slice that would hide a missed change."""
    defaults: dict[str, Any] = {
        "close_confirmations": 1,
        "poll_seconds": 0.3,
        "stale_seconds": 10.0,
        "tick_seconds": 0.3,
        "slice_size": 0,
    }
    genesis = settings.pop("genesis_hash", None)
    return SolanaChain(
        NETWORK, genesis, http_urls=urls, ws_urls=ws, assets=(COIN_ASSET, *assets), **{**defaults, **settings}
    )


@pytest.fixture
def kind() -> Kind:
    """Surfpool, unless a test is parametrized with another `kind`."""
    return Kind.SURFPOOL


@pytest.fixture
async def node(request: pytest.FixtureRequest, kind: Kind) -> AsyncIterator[SolanaNode]:
    async with node_for(request, kind) as made:
        yield made
