"""What a backend, and those who run the daemon, see of asks that are held back."""

from dataclasses import replace
from typing import Any

from config.model import Brake
from tests.fakes.settings import ETH, EVM
from tests.integration.api.conftest import Api
from tests.integration.watcher.world import ADDRESS, ETH_HOLDING
from watcher.braking import RELEASED, release
from watcher.pausing import pause, resume
from watcher.store.holds import Scope
from watcher.withholding import Withholder

WALLET = {"addresses": {"local-evm": ADDRESS}, "policy": "default"}


async def readiness(api: Api) -> tuple[int, Any]:
    async with api.http.get(api.url + "/readyz?network=local-evm") as answer:
        return answer.status, (await answer.json())["networks"]["local-evm"]


async def test_a_held_network_is_shown_and_its_asks_are_withheld(api: Api) -> None:
    """Readiness stays and says `held`; the top-up says `withheld`; the backend is told by `network.held`."""
    call, world = await api.caller(), api.world
    careful = replace(world.rules.network, brake=Brake(share_percent=1, minimum=1))
    world.rules = replace(world.rules, network=careful)
    world.observer = world.make_observer()
    await call("PUT", "/v1/wallets/w-1", WALLET)
    await world.observer.refresh_watched()
    await world.step({ETH_HOLDING: ETH - 1})
    status, shown = await readiness(api)
    assert (status, shown["status"], shown["reason"]) == (200, "held", "storm")
    assert shown["held_since"]
    _, listed = await call("GET", "/v1/top-ups?wallet=w-1")
    assert [(t["status"], t["link_status"], t["link"]) for t in listed["data"]] == [("open", "withheld", None)]
    _, pressed = await call("POST", f"/v1/top-ups/{listed['data'][0]['id']}/link", {})
    assert pressed["link_status"] == "withheld"
    _, events = await call("GET", "/v1/events")
    (held,) = [e for e in events["data"] if e["type"] == "network.held"]
    assert held["data"]["network"] == {"object": "network", "id": "local-evm", "status": "held", "reason": "storm"}
    async with world.database.begin() as conn:
        assert await release(conn, careful, world.settings, world.stamp(), why=RELEASED)
    await Withholder(world.database, clock=world.clock).withhold()
    assert await readiness(api) == (200, {"status": "fresh", "reason": None})
    _, listed = await call("GET", "/v1/top-ups?wallet=w-1")
    assert listed["data"][0]["link_status"] == "pending"


async def test_a_paused_network_is_shown_and_goes_on_watching(api: Api) -> None:
    """Readiness says that it is paused; what a person presses for meanwhile is withheld, and waits."""
    call, world = await api.caller(), api.world
    await call("PUT", "/v1/wallets/w-1", WALLET)
    await world.observer.refresh_watched()
    await world.step({ETH_HOLDING: 2 * ETH})
    assert await pause(world.database, Scope("network", EVM), clock=world.clock)
    assert await readiness(api) == (200, {"status": "fresh", "reason": None, "paused": True})
    body = {"wallet": "w-1", "network": "local-evm", "asset": "ETH", "amount": "1"}
    status, added = await call("POST", "/v1/top-ups", body, Idempotency_Key="k-1")
    assert (status, added["link_status"]) == (201, "withheld")
    assert await resume(world.database, Scope("network", EVM))
    assert await readiness(api) == (200, {"status": "fresh", "reason": None})
