"""Too many requests: 429 that says when to come back, for a tenant and for who tries keys."""

import pytest

from tests.integration.api.conftest import Api, Caller


async def statuses(caller: Caller, count: int, path: str = "/v1/wallets") -> list[int]:
    return [(await caller("GET", path))[0] for _ in range(count)]


async def test_a_tenant_that_asks_too_much_is_told_when_to_come_back(api: Api, call: Caller) -> None:
    """All its keys together: the burst, then 429 with Retry-After, then as many as a second gives; others unharmed."""
    second = await api.caller(scopes=("wallets:read",))
    stranger = await api.caller("other")
    api.seconds.step = 0
    assert await statuses(call, 60) + await statuses(second, 40) == [200] * 100
    headers = {"Authorization": f"Bearer {call.key}"}
    async with api.http.get(api.url + "/v1/wallets", headers=headers) as answer:
        problem = await answer.json(content_type="application/problem+json")
        assert (answer.status, problem["code"], answer.headers["Retry-After"]) == (429, "rate_limited", "1")
    assert await statuses(stranger, 1) == [200]
    api.seconds.now += 1
    assert await statuses(call, 51) == [200] * 50 + [429]


@pytest.mark.parametrize("path", ["/v1/wallets", "/v1/top-ups/x/link"])
async def test_who_tries_keys_is_stopped_and_who_has_one_is_not(api: Api, call: Caller, path: str) -> None:
    """Beyond a few tries keys of one address aren't looked up any more; one that was recognised before still is."""
    method = "GET" if path == "/v1/wallets" else "POST"
    assert await statuses(call, 1) == [200]
    late = await api.caller(scopes=("wallets:read",))
    api.seconds.step = 0
    guesser = Caller(api.http, api.url, "tuw_guess")
    tries = [(await guesser(method, path))[0] for _ in range(60)]
    assert tries[:30] == [401] * 30
    assert tries[-20:] == [429] * 20
    assert await statuses(call, 1) == [200]
    assert await statuses(late, 1) == [429]
    api.seconds.now += 1
    assert await statuses(late, 1) == [200]


@pytest.mark.parametrize("header", [{}, {"Authorization": "Basic dHV3"}, {"Authorization": "Bearer sk_test_other"}])
async def test_who_shows_no_key_at_all_is_stopped_too(api: Api, header: dict[str, str]) -> None:
    """What isn't even shaped like a key of ours counts the same."""
    api.seconds.step = 0
    tries = []
    for _ in range(41):
        async with api.http.get(api.url + "/v1/wallets", headers=header) as answer:
            tries.append(answer.status)
    assert tries == [401] * 40 + [429]


async def test_probes_have_no_limit(api: Api) -> None:
    """Liveness, readiness and metrics are asked for by machines of the operator's own."""
    api.seconds.step = 0
    for path in ("/healthz", "/readyz", "/metrics") * 40:
        async with api.http.get(api.url + path) as answer:
            assert answer.status == 200
