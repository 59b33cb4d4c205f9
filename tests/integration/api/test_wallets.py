"""Users and wallets over the API: idempotent writes, write-once addresses, and nobody else's business."""

from typing import Any

from sqlalchemy import update

from tests.fakes.settings import ETH
from tests.integration.api.conftest import Api, Caller
from tests.integration.watcher.world import ADDRESS, ETH_HOLDING
from watcher.store.tables import network_status

SOLANA_WALLET = "bufoH37MTiMTNAfBS4VEZ94dCEwMsmeSijD2vZRShuV"


def body(**changes: Any) -> dict[str, Any]:
    return {"addresses": {"local-evm": ADDRESS}, **changes}


async def test_the_same_write_twice_is_one_wallet(call: Caller) -> None:
    """201, then 200 with the wallet as it is, its version unchanged."""
    first = await call("PUT", "/v1/wallets/w-1", body(label="Main", metadata={"plan": "pro"}))
    again = await call("PUT", "/v1/wallets/w-1", body(label="Main", metadata={"plan": "pro"}))
    assert (first[0], again[0]) == (201, 200)
    assert again[1] == first[1]
    assert first[1]["metadata"] == {"plan": "pro"}


async def test_a_put_replaces_and_a_patch_merges(call: Caller) -> None:
    """PUT forgets what it doesn't name, PATCH keeps it, null removes it; versions grow."""
    await call("PUT", "/v1/wallets/w-1", body(label="Main", metadata={"a": "1", "b": "2"}))
    _, patched = await call("PATCH", "/v1/wallets/w-1", {"metadata": {"a": None, "c": "3"}})
    assert (patched["label"], patched["metadata"]) == ("Main", {"b": "2", "c": "3"})
    _, replaced = await call("PUT", "/v1/wallets/w-1", body())
    assert (replaced["label"], replaced["metadata"]) == (None, {})
    assert replaced["version"] > patched["version"] > 1


async def test_an_address_is_write_once_even_after_a_delete(call: Caller) -> None:
    """Another address on the same network is 409 address_is_set, before and after the wallet was removed."""
    await call("PUT", "/v1/wallets/w-1", body())
    swapped = body(addresses={"local-evm": "0x00000000000000000000000000000000b0b0AbcD".lower()})
    status, problem = await call("PUT", "/v1/wallets/w-1", swapped)
    assert (status, problem["code"]) == (409, "address_is_set")
    assert (await call("DELETE", "/v1/wallets/w-1"))[0] == 204
    assert (await call("GET", "/v1/wallets/w-1"))[0] == 404
    assert (await call("PUT", "/v1/wallets/w-1", swapped))[0] == 409
    status, back = await call("PUT", "/v1/wallets/w-1", body())
    assert (status, back["version"] > 1) == (201, True)


async def test_lower_case_and_checksummed_are_one_address(call: Caller) -> None:
    """EIP-55 is checked where it is used, and answered always."""
    _, wallet = await call("PUT", "/v1/wallets/w-1", body(addresses={"local-evm": ADDRESS.lower()}))
    assert wallet["addresses"] == {"local-evm": ADDRESS}
    _, by_caip = await call("PUT", "/v1/wallets/w-2", body(addresses={"eip155:31337": ADDRESS}))
    _, by_family = await call("PUT", "/v1/wallets/w-3", body(addresses={"eip155": ADDRESS}))
    assert by_caip["addresses"] == by_family["addresses"] == {"local-evm": ADDRESS}


async def test_a_wallet_shows_what_is_known_of_it(api: Api, call: Caller) -> None:
    """Unknown until read, then its balance and how it stands; unknown again while the network is stale."""
    _, wallet = await call("PUT", "/v1/wallets/w-1", body())
    assert (wallet["status"], wallet["holdings"][0]["balance"]) == ("unknown", None)
    await api.world.observer.refresh_watched()
    await api.world.step({ETH_HOLDING: ETH // 2})
    _, wallet = await call("GET", "/v1/wallets/w-1")
    (holding,) = wallet["holdings"]
    assert (wallet["status"], holding["balance"], holding["as_of"]["height"]) == ("low", "0.5", 1)
    assert wallet["watched_since"] == {"local-evm": {"height": 1}}
    assert len(wallet["open_top_ups"]) == 1
    async with api.world.database.begin() as conn:
        await conn.execute(update(network_status).values(fresh=False))
    _, wallet = await call("GET", "/v1/wallets/w-1")
    assert wallet["status"] == "unknown"


async def test_lists_are_paged_and_filtered(call: Caller) -> None:
    """Every wallet once over all pages; filters by user and network."""
    await call("PUT", "/v1/users/u-1", {"country": "DE"})
    for i in range(5):
        await call("PUT", f"/v1/wallets/w-{i}", body(user="u-1") if i == 3 else body())
    seen, after = [], ""
    while True:
        _, page = await call("GET", f"/v1/wallets?limit=2{after}")
        seen += [w["id"] for w in page["data"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert seen == [f"w-{i}" for i in range(5)]
    _, of_user = await call("GET", "/v1/wallets?user=u-1&network=local-evm")
    assert [w["id"] for w in of_user["data"]] == ["w-3"]


async def test_a_list_by_status_agrees_with_what_is_shown(api: Api, call: Caller) -> None:
    """A wallet is found under its worst holding's status alone: low, and unknown while its network is stale."""

    async def listed(status: str) -> list[str]:
        _, page = await call("GET", f"/v1/wallets?status={status}")
        assert {w["status"] for w in page["data"]} <= {status}
        return [w["id"] for w in page["data"]]

    rule = {"when": "low", "network": "local-evm", "asset": "ETH", "trigger": "1", "target": "3"}
    unread = {"when": "low", "network": "local-solana", "asset": "SOL", "trigger": "1", "target": "3"}
    both = body(addresses={"local-evm": ADDRESS, "local-solana": SOLANA_WALLET}, funding=[rule, unread])
    await call("PUT", "/v1/wallets/low", body())
    await call("PUT", "/v1/wallets/low-and-unread", both)
    await call("PUT", "/v1/wallets/unread", both | {"funding": [unread]})
    await call("PUT", "/v1/wallets/nothing-required", body(funding=[]))
    await api.world.observer.refresh_watched()
    await api.world.step({ETH_HOLDING: ETH // 2})
    shown = {status: await listed(status) for status in ("ok", "unknown", "low", "critical")}
    assert shown == {
        "ok": ["nothing-required"],
        "unknown": ["unread"],
        "low": ["low", "low-and-unread"],
        "critical": [],
    }
    async with api.world.database.begin() as conn:
        await conn.execute(update(network_status).values(fresh=False))
    assert await listed("unknown") == ["low", "low-and-unread", "unread"]


async def test_nobody_learns_what_another_watches(api: Api, call: Caller) -> None:
    """Another tenant's wallet, top-up and user are answered exactly as what never was; both may watch one address."""
    await call("PUT", "/v1/users/u-1", {})
    await call("PUT", "/v1/wallets/w-1", body())
    await api.world.observer.refresh_watched()
    await api.world.step({ETH_HOLDING: 1})
    _, page = await call("GET", "/v1/top-ups")
    top_up = page["data"][0]["id"]
    other = await api.caller("other")
    for kind, mine in (("wallets", "w-1"), ("top-ups", top_up), ("users", "u-1")):
        _, theirs = await other("GET", f"/v1/{kind}/{mine}")
        _, never = await other("GET", f"/v1/{kind}/never-was")
        assert theirs | {"request_id": ""} == never | {"request_id": ""}
    assert (await other("POST", f"/v1/top-ups/{top_up}/cancel"))[0] == 404
    assert (await other("DELETE", "/v1/wallets/w-1"))[0] == 404
    assert (await other("GET", "/v1/wallets"))[1]["data"] == []
    assert (await other("GET", "/v1/events"))[1]["data"] == []
    assert (await other("PUT", "/v1/wallets/w-1", body()))[0] == 201


async def test_an_ip_address_goes_no_further(api: Api, call: Caller) -> None:
    """It is taken, never answered, not part of what makes two writes the same, and forgotten after a day."""
    first = await call("PUT", "/v1/wallets/w-1", body(customer_ip_address="203.0.113.9"))
    again = await call("PUT", "/v1/wallets/w-1", body(customer_ip_address="203.0.113.10"))
    assert (first[0], again[0]) == (201, 200)
    assert "203.0.113" not in str(first) + str(again)
    assert "203.0.113" not in str((await call("GET", "/v1/wallets/w-1"))[1])


async def test_contacts_are_for_those_who_may_read_them(api: Api, call: Caller) -> None:
    """Without contacts:read they are not in the answer."""
    _, user = await call("PUT", "/v1/users/u-1", {"locale": "de", "contacts": {"email": "a@example.com"}})
    assert user["contacts"] == {"email": "a@example.com"}
    reader = await api.caller(scopes=("wallets:read",))
    assert "contacts" not in (await reader("GET", "/v1/users/u-1"))[1]
    _, again = await call("PUT", "/v1/users/u-1", {"locale": "de", "contacts": {"email": "a@example.com"}})
    assert again["version"] == 1
    status, problem = await call("PUT", "/v1/users/u-1", {"country": "Germany", "time_zone": "Mars/Base"})
    assert status == 422
    assert {e["field"] for e in problem["errors"]} == {"/country", "/time_zone"}
