"""The example backend's calls against the real API."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from examples.backend.client import Client
from tests.fakes.receiver import Receiver
from tests.integration.api.conftest import Api, Caller
from tests.integration.api.test_asks import asked, event_of
from tests.integration.watcher.world import ADDRESS
from watcher.store.events import record_events

__all__ = ["asked"]


@pytest.fixture
async def client(api: Api, call: Caller) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {call.key}"}
    async with aiohttp.ClientSession(api.url, headers=headers, raise_for_status=True) as http:
        yield Client(http)


async def test_a_user_and_a_wallet_are_registered_once(client: Client, call: Caller) -> None:
    """Twice the same call is one user with one wallet, unchanged."""
    for _ in range(2):
        await client.register("u-42", "w-1", {"local-evm": ADDRESS})
    _, wallet = await call("GET", "/v1/wallets/w-1")
    assert (wallet["user"], wallet["version"], wallet["addresses"]) == ("u-42", 1, {"local-evm": ADDRESS})
    assert (await call("GET", "/v1/users/u-42"))[1]["version"] == 1


async def test_all_events_are_read_over_all_pages_from_any_cursor(api: Api, client: Client) -> None:
    """Each once, in order; nothing when there is nothing new."""
    events = [event_of(api, number) for number in range(205)]
    async with api.world.database.begin() as conn:
        await record_events(conn, events, now=api.world.clock.now(), new_id=api.world.new_id)
    ids = [event.id for event in events]
    for known in (0, 1, 100, 105, 204, 205):
        after = ids[known - 1] if known else None
        assert [event["id"] async for event in client.read_events(after)] == ids[known:]


async def test_a_link_is_found_while_it_is_of_use(client: Client, call: Caller, asked: str) -> None:
    """The link of an open ask, and none once it is over."""
    assert await client.find_link(asked) == "https://crypto.link.example/cos_1"
    await call("POST", f"/v1/top-ups/{asked}/cancel")
    assert await client.find_link(asked) is None


async def test_a_proposal_is_signed() -> None:
    """By a webhook that verifies, under an id that is the same each time it is sent."""
    proposal = {"id": "tx-1", "wallet": "w-1", "network": "base", "needs": [{"asset": "USDC", "amount": "10"}]}
    async with Receiver() as receiver, aiohttp.ClientSession(receiver.url.removesuffix("/hook")) as http:
        for _ in range(2):
            await Client(http).propose_transaction("main", receiver.secret, proposal)
    assert [(d.id, d.verified) for d in receiver.ledger] == [("proposed-tx-1", True)] * 2
    assert receiver.ledger[0].event == {"type": "transaction.proposed", "data": proposal}
