"""Bad input: refused with a problem that names the field, and nothing is stored."""

import gzip
import json
from typing import Any

import pytest
from solders.pubkey import Pubkey
from spl.token.instructions import get_associated_token_address

from tests.fakes.settings import BONK
from tests.integration.api.conftest import Api, Caller
from tests.integration.watcher.world import ADDRESS

WALLET = "bufoH37MTiMTNAfBS4VEZ94dCEwMsmeSijD2vZRShuV"
OFF_CURVE = str(get_associated_token_address(Pubkey.from_string(WALLET), Pubkey.from_string(BONK)))
LOW = {"when": "low", "network": "local-evm", "asset": "ETH", "trigger": "1", "target": "3"}


def wallet(**changes: Any) -> bytes:
    return json.dumps({"addresses": {"local-evm": ADDRESS}, **changes}).encode()


def funding(**changes: Any) -> bytes:
    return wallet(funding=[{**LOW, **changes}])


def address(text: str) -> bytes:
    return wallet(addresses={"local-evm": text})


def solana(text: str) -> bytes:
    return wallet(addresses={"local-solana": text})


CASES: dict[str, tuple[bytes, int, str | None]] = {
    "a program": (solana("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"), 422, "/addresses/local-solana"),
    "the system program": (solana("1" * 32), 422, "/addresses/local-solana"),
    "an off-curve address": (solana(OFF_CURVE), 422, "/addresses/local-solana"),
    "a mint": (solana(BONK), 422, "/addresses/local-solana"),
    "an asset that is not sold": (
        wallet(
            addresses={"local-solana": WALLET},
            funding=[{**LOW, "network": "local-solana", "asset": "BONK"}],
        ),
        422,
        "/funding/0/asset",
    ),
    "a network without an address": (funding(network="local-solana", asset="SOL"), 422, "/funding/0/network"),
    "unknown network": (wallet(addresses={"nowhere": ADDRESS}), 422, "/addresses/nowhere"),
    "no address": (wallet(addresses={}), 422, "/addresses"),
    "wrong checksum": (address(ADDRESS[:-1] + "1"), 422, "/addresses/local-evm"),
    "zero address": (address("0x" + "0" * 40), 422, "/addresses/local-evm"),
    "precompile": (address("0x" + "0" * 39 + "1"), 422, "/addresses/local-evm"),
    "an address of another family": (
        address("bufoH37MTiMTNAfBS4VEZ94dCEwMsmeSijD2vZRShuV"),
        422,
        "/addresses/local-evm",
    ),
    "not an address": (address("0x12"), 422, "/addresses/local-evm"),
    "full-width digits": (address("0x" + "\uff11" * 40), 422, "/addresses/local-evm"),
    "unknown policy": (wallet(policy="nope"), 422, "/policy"),
    "unknown user": (wallet(user="u-1"), 422, "/user"),
    "unknown asset": (funding(asset="DOGE"), 422, "/funding/0/asset"),
    "unknown funding network": (funding(network="base"), 422, "/funding/0/network"),
    "trigger above target": (funding(trigger="3", target="3"), 422, "/funding/0/trigger"),
    "an amount as a number": (funding(trigger=1), 422, "/funding/0/trigger"),
    "an amount as a fraction": (funding(trigger=0.5), 422, "/funding/0/trigger"),
    "an exponent": (funding(trigger="1e-1"), 422, "/funding/0/trigger"),
    "a negative amount": (funding(trigger="-1"), 422, "/funding/0/trigger"),
    "too many decimals": (funding(trigger="0." + "1" * 19), 422, "/funding/0/trigger"),
    "an amount of other digits": (funding(trigger="\u0661"), 422, "/funding/0/trigger"),
    "2^256": (funding(target=str(2**256)), 422, "/funding/0/target"),
    "no trigger": (wallet(funding=[{k: v for k, v in LOW.items() if k != "trigger"}]), 422, "/funding/0/trigger"),
    "unknown key in funding": (funding(foo=1), 422, "/funding/0/foo"),
    "funding no list": (wallet(funding={"a": 1}), 422, "/funding"),
    "the same holding twice": (wallet(funding=[LOW, LOW]), 422, "/funding/1"),
    "unknown field": (wallet(foo=1), 422, "/foo"),
    "claim links": (wallet(link_mode="claim"), 422, "/link_mode"),
    "a flag as text": (wallet(notify="yes"), 422, "/notify"),
    "a bad time": (wallet(asks={"paused_until": "tomorrow"}), 422, "/asks/paused_until"),
    "a time that is no RFC 3339": (wallet(asks={"paused_until": "2026-W01-1T00:00:00Z"}), 422, "/asks/paused_until"),
    "a time without seconds": (wallet(asks={"paused_until": "2026-01-01T00:00Z"}), 422, "/asks/paused_until"),
    "null for asks": (wallet(asks=None), 422, "/asks"),
    "an IP address with a scope": (wallet(customer_ip_address="fe80::1%eth0"), 422, "/customer_ip_address"),
    "a target of nothing": (funding(trigger={"transactions": 1}, target="0"), 422, "/funding/0/trigger"),
    "a first funding where there is no address": (
        wallet(funding=[{"when": "created", "networks": ["local-evm", "local-solana"]}]),
        422,
        "/funding/0/networks/1",
    ),
    "a time without offset": (wallet(asks={"paused_until": "2026-01-01T00:00:00"}), 422, "/asks/paused_until"),
    "a bad IP address": (wallet(customer_ip_address="1.2.3"), 422, "/customer_ip_address"),
    "a long label": (wallet(label="x" * 81), 422, "/label"),
    "metadata that is no text": (wallet(metadata={"a": 1}), 422, "/metadata/a"),
    "not an object": (b"[]", 422, ""),
    "not JSON": (b"{", 400, None),
    "no body": (b"", 400, None),
    "duplicate keys": (b'{"policy": "a", "policy": "b"}', 400, None),
    "duplicate keys inside": (b'{"addresses": {"x": "1", "x": "2"}}', 400, None),
    "NaN": (b'{"label": NaN}', 400, None),
    "Infinity": (b'{"label": 1e400, "x": -Infinity}', 400, None),
    "not UTF-8": (b'{"label": "\xff"}', 400, None),
    "NUL": (b'{"label": "\\u0000"}', 400, None),
    "half a surrogate pair": (b'{"label": "\\ud800"}', 400, None),
    "nested too deep": (b'{"metadata": ' + b"[" * 40 + b"]" * 40 + b"}", 400, None),
    "a depth bomb": (b"[" * 60_000, 400, None),
    "too many keys": (json.dumps({str(i): 1 for i in range(300)}).encode(), 400, None),
    "a huge number": (b'{"label": ' + b"9" * 5000 + b"}", 400, None),
    "oversized": (wallet(label="x" * 70_000), 413, None),
}


@pytest.mark.parametrize("name", CASES)
async def test_a_bad_wallet_is_refused_whole(api: Api, call: Caller, name: str) -> None:
    """4xx problem+json with the field where there is one, and no row anywhere."""
    body, status, field = CASES[name]
    before = await api.counts()
    answered, problem = await call("PUT", "/v1/wallets/w-1", raw=body)
    assert answered == status
    assert problem["status"] == status
    assert problem["request_id"].startswith("req_")
    if field is not None:
        assert field in [error["field"] for error in problem["errors"]]
    assert await api.counts() == before


async def test_all_faults_are_told_at_once(call: Caller) -> None:
    """Whatever is wrong with each field, one answer names them all."""
    body = wallet(
        policy="nope",
        user="nobody",
        addresses={"eip155": ADDRESS[:-1] + "1", "a/b~c": ADDRESS},
        funding=[{**LOW, "trigger": "9", "f/o": 1}],
    )
    _, problem = await call("PUT", "/v1/wallets/w-1", raw=body)
    fields = {error["field"] for error in problem["errors"]}
    assert {"/policy", "/user", "/addresses/eip155", "/addresses/a~1b~0c"} <= fields
    assert {"/funding/0/trigger", "/funding/0/f~1o"} <= fields
    _, problem = await call("PUT", "/v1/wallets/w-1", raw=wallet(link_mode="claim", notify=1, label=2))
    assert {e["field"]: e["code"] for e in problem["errors"]} == {
        "/link_mode": "not_available_yet",
        "/notify": "not_a_boolean",
        "/label": "not_a_string",
    }


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Content_Type": "text/plain"}, 415), ({"Content_Encoding": "gzip"}, 415)],
)
async def test_what_is_no_plain_json_is_not_read(call: Caller, headers: dict[str, str], status: int) -> None:
    """Another media type, or a compressed body (which might be a bomb), is refused unread."""
    answered, _ = await call("PUT", "/v1/wallets/w-1", raw=gzip.compress(wallet()), **headers)
    assert answered == status


@pytest.mark.parametrize("path", ["/v1/wallets/" + "x" * 65, "/v1/wallets/a%20b", "/v1/wallets/%F0%9F%98%80"])
async def test_a_bad_id_is_refused(call: Caller, path: str) -> None:
    """Ids are 1 to 64 of a small alphabet."""
    status, problem = await call("PUT", path, raw=wallet())
    assert status == 422
    assert problem["errors"][0]["code"] == "bad_id"


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "foo=1", "limit=1&limit=2", "status=bad"])
async def test_a_bad_query_is_refused(call: Caller, query: str) -> None:
    """Unknown, repeated and out-of-range parameters are named."""
    status, problem = await call("GET", f"/v1/wallets?{query}")
    assert status == 422
    assert problem["errors"][0]["field"].startswith("?")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/users/u/erase"),
    ],
)
async def test_what_is_not_there_yet_says_so_by_name(call: Caller, method: str, path: str) -> None:
    """501 not_available_yet, never a silent success."""
    status, problem = await call(method, path, {})
    assert (status, problem["code"]) == (501, "not_available_yet")


async def test_without_a_key_nothing_is_told(api: Api, call: Caller) -> None:
    """401 for no key, a wrong one, and a malformed header; 404 paths give away nothing more."""
    call.key = "tuw_wrong"
    assert (await call("GET", "/v1/wallets"))[0] == 401
    call.key = "x"
    assert (await call("GET", "/v1/wallets"))[0] == 401
    async with api.http.get(api.url + "/v1/wallets") as answer:
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_a_key_may_only_what_its_scopes_say(api: Api) -> None:
    """403 names the scope that is missing."""
    reader = await api.caller(scopes=("wallets:read",))
    status, problem = await reader("PUT", "/v1/wallets/w-1", raw=wallet())
    assert status == 403
    assert "wallets:write" in problem["detail"]
