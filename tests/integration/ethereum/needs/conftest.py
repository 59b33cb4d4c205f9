"""A world for each test."""

from collections.abc import AsyncIterator

import pytest

from tests.integration.ethereum.needs.world import World, client
from tests.nodes.anvil import Anvil


@pytest.fixture
async def world(anvil: Anvil) -> AsyncIterator[World]:
    async with client(anvil.http) as rpc:
        yield World(anvil, rpc, (await anvil.accounts())[0])
