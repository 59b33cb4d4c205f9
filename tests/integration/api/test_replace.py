"""An address replaced: asked for by its own scope, told at once, in force after the cool-off."""

from typing import Any

from chains.model import NATIVE, Holding
from tests.fakes.settings import ETH, EVM
from tests.integration.api.conftest import Api, Caller
from tests.integration.watcher.world import ADDRESS, ETH_HOLDING
from watcher.replacing import Replacer

NEW = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
PATH = "/v1/wallets/w-1/addresses/local-evm/replace"
BODY: dict[str, Any] = {"address": NEW, "expected": ADDRESS}


async def pass_time(api: Api, **time: int) -> None:
    api.world.clock.advance(**time)
    replacer = Replacer(api.world.database, api.world.settings, clock=api.world.clock, new_id=api.world.new_id)
    await replacer.replace_addresses()
    await api.world.observer.refresh_watched()


async def test_an_address_is_replaced_after_the_cool_off(api: Api, call: Caller) -> None:
    """202 with its time; until then the old one counts, afterwards the new one, and what was asked for is withdrawn."""
    await call("PUT", "/v1/wallets/w-1", {"addresses": {"eip155": ADDRESS}})
    await api.world.observer.refresh_watched()
    await api.world.step({ETH_HOLDING: ETH // 2})
    status, answer = await call("POST", PATH, BODY)
    assert (status, answer["effective_at"], answer["addresses"]) == (
        202,
        "2026-01-03T03:04:05.000Z",
        {"local-evm": ADDRESS},
    )
    await pass_time(api, hours=23)
    assert (await call("GET", "/v1/wallets/w-1"))[1]["addresses"] == {"local-evm": ADDRESS}
    await pass_time(api, hours=1)
    wallet = (await call("GET", "/v1/wallets/w-1"))[1]
    assert (wallet["addresses"], wallet["status"]) == ({"local-evm": NEW}, "unknown")
    assert [ask.status for ask in await api.world.top_ups()] == ["retracted"]
    await api.world.step({Holding(EVM, NATIVE, NEW): ETH // 4})
    assert (await api.world.top_ups())[-1].destinations[0].holding.address == NEW
    changed = [e for e in (await call("GET", "/v1/events"))[1]["data"] if e["type"] == "wallet.address_changed"]
    assert [e["data"]["change"]["status"] for e in changed] == ["pending", "effective"]
    status, problem = await call("PUT", "/v1/wallets/w-1", {"addresses": {"local-evm": ADDRESS}})
    assert (status, problem["code"]) == (409, "address_is_set")
    assert (await call("PUT", "/v1/wallets/w-1", {"addresses": {"local-evm": NEW}}))[0] == 200


async def test_a_replacement_that_is_wrong_changes_nothing(api: Api, call: Caller) -> None:
    """Another expected address is 409, a bad new one 422, an unknown wallet or network 404, a lesser key 403."""
    await call("PUT", "/v1/wallets/w-1", {"addresses": {"local-evm": ADDRESS}})
    before = await api.counts()
    status, problem = await call("POST", PATH, {"address": NEW, "expected": NEW})
    assert (status, problem["code"]) == (409, "not_expected")
    for address, code in (("0x12", "bad_length"), (ADDRESS, "unchanged")):
        status, problem = await call("POST", PATH, {**BODY, "address": address})
        assert (status, problem["errors"][0]["field"]) == (422, "/address"), code
    assert (await call("POST", PATH.replace("w-1", "w-2"), BODY))[0] == 404
    assert (await call("POST", PATH.replace("local-evm", "base"), BODY))[0] == 404
    poor = await api.caller(scopes=("wallets:write", "asks:write"))
    assert (await poor("POST", PATH, BODY))[0] == 403
    await pass_time(api, days=2)
    assert (await call("GET", "/v1/wallets/w-1"))[1]["addresses"] == {"local-evm": ADDRESS}
    assert {n: c for n, c in (await api.counts()).items() if n != "api_key"} == {
        n: c for n, c in before.items() if n != "api_key"
    }
