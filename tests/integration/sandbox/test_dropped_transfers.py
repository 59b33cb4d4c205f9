"""Transfers that a local validator drops: sent again while they can land, given up loudly when they can't."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from solders.keypair import Keypair

from notifier.sandbox.server import SandboxOptions, open_sandbox
from tests.integration.sandbox.conftest import StripeClient
from tests.integration.sandbox.door import Door, open_door
from tests.nodes.solana import SOL, SolanaNode

pytestmark = pytest.mark.solana


class Town:
    """A sandbox whose validator stands behind a door, and a session to pay."""

    def __init__(self, stripe: StripeClient, door: Door, node: SolanaNode) -> None:
        self.stripe = stripe
        self.door = door
        self.node = node
        self.owner = Keypair().pubkey()

    async def session(self) -> str:
        fields = {
            "wallet_addresses[solana]": str(self.owner),
            "destination_networks[0]": "solana",
            "destination_network": "solana",
            "destination_currency": "sol",
            "destination_amount": "1.5",
        }
        return str((await self.stripe.create(fields))[1]["id"])

    async def status(self, session: str) -> Any:
        return (await self.stripe.get("/" + session))[1]["status"]


@pytest.fixture
async def town(http: aiohttp.ClientSession) -> AsyncIterator[Town]:
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(SolanaNode())
        door, front = await stack.enter_async_context(open_door(node.rpc_url, http))
        url = await stack.enter_async_context(open_sandbox(SandboxOptions("127.0.0.1", 0, solana_rpc=front)))
        yield Town(StripeClient(url, http), door, node)


async def test_a_dropped_transfer_is_sent_again(town: Town) -> None:
    """One that the validator took and forgot arrives all the same, once, with the same press of Pay."""
    session = await town.session()
    town.door.loses_transactions = 1
    status, paid = await town.stripe.pay(session)
    assert (status, paid["status"]) == (200, "fulfillment_complete")
    assert town.door.seen.count("sendTransaction") >= 2
    assert await town.node.lamports(town.owner) == SOL * 3 // 2


async def test_an_expired_transfer_is_given_up(town: Town) -> None:
    """Once its blockhash has expired the person is told, and paying again sends another, which arrives alone."""
    session = await town.session()
    town.door.loses_transactions = 10**6
    status, body = await town.stripe.pay(session)
    assert status == 409
    assert "expired" in body["error"]["message"]
    assert await town.status(session) == "fulfillment_processing"

    town.door.loses_transactions = 0
    status, paid = await town.stripe.pay(session)
    assert (status, paid["status"]) == (200, "fulfillment_complete")
    assert await town.node.lamports(town.owner) == SOL * 3 // 2
