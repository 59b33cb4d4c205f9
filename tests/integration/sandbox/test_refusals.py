"""What Stripe documents as refused is refused with the documented body, and nothing is made."""

from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notifier.sandbox.errors import StripeRefusal
from notifier.sandbox.forms import decode_form
from notifier.sandbox.listing import list_sessions
from notifier.sandbox.rules import PARAMETERS, check_create
from tests.integration.sandbox.conftest import EVM, SOLANA, TOP_UP, StripeClient

ONRAMP = "crypto_onramp_"
TOKEN = {k: v for k, v in TOP_UP.items() if "destination_c" not in k and k != "destination_amount"}


def without(*names: str) -> dict[str, str]:
    return {k: v for k, v in TOP_UP.items() if k not in names}


REFUSED: list[tuple[str, dict[str, str], str, str | None]] = [
    ("unknown parameter", {**TOP_UP, "colour": "red"}, "parameter_unknown", "colour"),
    ("a list of the old beta", {**TOP_UP, "supported_destination_networks[0]": "ethereum"}, "parameter_unknown", None),
    ("nested as in the old beta", {"transaction_details[destination_currency]": "eth"}, "parameter_unknown", None),
    ("headless parameter", {**TOP_UP, "ui_mode": "headless"}, "parameter_unknown", "ui_mode"),
    (
        "base as a wallet key",
        {
            "wallet_addresses[base]": EVM,
            "destination_networks[0]": "base",
            "lock_wallet_address": "true",
        },
        "parameter_unknown",
        "wallet_addresses[base]",
    ),
    ("unknown network", {**TOP_UP, "destination_networks[1]": "arbitrum"}, "parameter_invalid", None),
    ("unknown currency", {**TOP_UP, "destination_currency": "doge"}, "parameter_invalid", "destination_currency"),
    ("a map where a list is due", {**TOP_UP, "destination_networks[x]": "ethereum"}, "parameter_invalid", None),
    ("a map where a word is due", {**TOP_UP, "settlement_speed[x]": "instant"}, "parameter_invalid", None),
    ("a lock that is no boolean", {**TOP_UP, "lock_wallet_address": "1"}, "parameter_invalid", "lock_wallet_address"),
    ("empty list", {**without("destination_networks[0]"), "destination_networks": ""}, "parameter_invalid_empty", None),
    (
        "both amounts",
        {**TOP_UP, "source_amount": "10", "source_currency": "usd"},
        ONRAMP + "invalid_source_destination_pair",
        None,
    ),
    (
        "network without currency",
        without("destination_currency", "destination_currencies[0]", "destination_amount"),
        ONRAMP + "incomplete_destination_currency_and_network_pair",
        None,
    ),
    (
        "currency without network",
        without("destination_network", "destination_amount"),
        ONRAMP + "incomplete_destination_currency_and_network_pair",
        None,
    ),
    (
        "amount without currency",
        without("destination_currency", "destination_currencies[0]"),
        ONRAMP + "missing_destination_currency",
        None,
    ),
    (
        "pair not sold",
        {**TOP_UP, "destination_currencies[0]": "sol", "destination_currency": "sol"},
        ONRAMP + "invalid_destination_currency_and_network_pair",
        None,
    ),
    (
        "lists without a pair",
        {**TOKEN, "destination_currencies[0]": "sol"} | {"destination_network": "ethereum"},
        ONRAMP + "incomplete_destination_currency_and_network_pair",
        None,
    ),
    (
        "lists without a pair, no defaults",
        {
            "wallet_addresses[ethereum]": EVM,
            "destination_networks[0]": "ethereum",
            "destination_currencies[0]": "sol",
        },
        ONRAMP + "invalid_destination_currencies_and_networks",
        None,
    ),
    (
        "network outside its list",
        {**TOP_UP, "destination_network": "base"},
        ONRAMP + "conflicting_destination_network",
        "destination_network",
    ),
    (
        "currency outside its list",
        {**TOP_UP, "destination_currency": "usdc"},
        ONRAMP + "conflicting_destination_currency",
        "destination_currency",
    ),
    (
        "wallet outside the networks",
        {**TOP_UP, "wallet_addresses[solana]": SOLANA},
        ONRAMP + "wallet_addresses_not_all_networks_supported",
        "wallet_addresses",
    ),
    (
        "wallet without networks",
        {"wallet_addresses[ethereum]": EVM},
        ONRAMP + "wallet_addresses_not_all_networks_supported",
        "wallet_addresses",
    ),
    (
        "lock without address",
        without("wallet_addresses[ethereum]"),
        ONRAMP + "no_wallet_address_to_lock",
        None,
    ),
    (
        "EVM address cut off",
        {**TOP_UP, "wallet_addresses[ethereum]": EVM[:-1]},
        ONRAMP + "wallet_address_invalid",
        None,
    ),
    (
        "EVM checksum wrong",
        {**TOP_UP, "wallet_addresses[ethereum]": EVM.replace("DbeeF", "DBeeF")},
        ONRAMP + "wallet_address_invalid",
        "wallet_addresses[ethereum]",
    ),
    (
        "Solana address where an EVM one is due",
        {**TOP_UP, "wallet_addresses[ethereum]": SOLANA},
        ONRAMP + "wallet_address_invalid",
        None,
    ),
    (
        "EVM address where a Solana one is due",
        {"wallet_addresses[solana]": EVM, "destination_networks[]": "solana"},
        ONRAMP + "wallet_address_invalid",
        None,
    ),
    (
        "19 decimals of ETH",
        {**TOP_UP, "destination_amount": "0." + "1" * 19},
        ONRAMP + "invalid_destination_amount",
        None,
    ),
    ("zero", {**TOP_UP, "destination_amount": "0"}, ONRAMP + "invalid_destination_amount", "destination_amount"),
    ("negative", {**TOP_UP, "destination_amount": "-1"}, ONRAMP + "invalid_destination_amount", None),
    ("exponent", {**TOP_UP, "destination_amount": "1e-7"}, "parameter_invalid", "destination_amount"),
    (
        "source amount without currency",
        {**without("destination_amount"), "source_amount": "10"},
        ONRAMP + "missing_source_currency",
        "source_currency",
    ),
    (
        "fractions of a cent",
        {**without("destination_amount"), "source_amount": "10.001", "source_currency": "usd"},
        ONRAMP + "invalid_source_amount",
        None,
    ),
    ("not an IP address", {**TOP_UP, "customer_ip_address": "1.2.3"}, "customer_ip_address", "customer_ip_address"),
    ("metadata key of 41", {**TOP_UP, f"metadata[{'k' * 41}]": "v"}, "parameter_invalid", None),
    ("metadata value of 501", {**TOP_UP, "metadata[a]": "v" * 501}, "parameter_invalid", "metadata[a]"),
    ("51 pairs", {**TOP_UP, **{f"metadata[k{i}]": "v" for i in range(51)}}, "parameter_invalid", "metadata"),
]


@pytest.mark.parametrize(("fields", "code", "param"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED])
async def test_refused_as_documented(
    stripe: StripeClient, fields: dict[str, str], code: str, param: str | None
) -> None:
    """Each rule broken alone gives a 400 with its code, and no session."""
    status, body, _ = await stripe.create(fields)

    assert (status, body["error"]["code"]) == (400, code)
    assert body["error"]["type"] == "invalid_request_error"
    assert body["error"]["message"]
    if param is not None:
        assert body["error"]["param"] == param
    _, listed, _ = await stripe.get()
    assert listed["data"] == []


async def test_unknown_parameter_in_stripes_words(stripe: StripeClient) -> None:
    """The message that integrators report of the live API."""
    fields = {"wallet_addresses[base]": EVM, "destination_networks[0]": "base"}
    _, body, _ = await stripe.create(fields)
    assert body["error"]["message"] == "Received unknown parameter: wallet_addresses[base]"


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({}, "did not provide an API key"),
        ({"Authorization": "Bearer sk_live_x"}, "sandbox"),
        ({"Authorization": "Bearer pk_test_x"}, "Invalid API Key"),
        ({"Authorization": "Basic !!!"}, "did not provide an API key"),
    ],
)
async def test_keys(stripe: StripeClient, headers: dict[str, str], words: str) -> None:
    """No key, a live key, and what is no secret key are 401; a live key is told that this is a sandbox."""
    status, body, _ = await stripe.create(TOP_UP, headers=headers)
    assert status == 401
    assert words in body["error"]["message"]


async def test_bearer_is_as_good_as_basic(stripe: StripeClient) -> None:
    """Both ways of Stripe's."""
    status, _, _ = await stripe.create(TOP_UP, headers={"Authorization": "Bearer sk_test_two"})
    assert status == 200


async def test_session_of_another_account_is_not_there(stripe: StripeClient) -> None:
    """A key sees its own sessions alone, and an unknown id has the same answer."""
    session = await stripe.session()
    other = StripeClient(stripe.url, stripe.http, key="sk_test_other")

    status, body, _ = await other.get("/" + session["id"])
    assert (status, body["error"]["code"]) == (404, "resource_missing")
    _, listed, _ = await other.get()
    assert listed["data"] == []
    status, body, _ = await stripe.get("/cos_unknown")
    assert (status, body["error"]["code"]) == (404, "resource_missing")


@pytest.mark.parametrize("index", ["[0]", "[]"])
async def test_both_ways_of_writing_a_list(stripe: StripeClient, index: str) -> None:
    """`a[0]=` and `a[]=` are one."""
    fields = {("destination_networks" + index if "networks[" in k else k): v for k, v in TOP_UP.items()}
    status, body, _ = await stripe.create(fields)
    assert status == 200
    assert body["transaction_details"]["destination_networks"] == ["ethereum"]


async def test_object_as_documented(stripe: StripeClient) -> None:
    """Padded amounts, all twelve wallet keys with base_network, a client_secret, a link to a page of this server."""
    body = await stripe.session()

    details = body["transaction_details"]
    assert details["destination_amount"] == "0.500000000000000000"
    assert len(details["wallet_addresses"]) == 13
    assert details["wallet_addresses"]["base_network"] is None
    assert details["wallet_addresses"]["ethereum"] == EVM
    assert details["lock_wallet_address"] is True
    assert details["transaction_id"] is None
    assert body["client_secret"].startswith(body["id"] + "_secret_")
    assert body["redirect_url"].startswith(stripe.url + "/pay/")
    assert (body["status"], body["livemode"], body["metadata"]) == ("initialized", False, {"top_up": "tu_1"})
    _, again, _ = await stripe.get("/" + body["id"])
    assert again == body


WORDS = st.sampled_from([*sorted(PARAMETERS), "created", "limit", "status", "starting_after", "x"])
NAMES = st.builds(
    lambda word, parts: word + "".join(f"[{p}]" for p in parts),
    WORDS,
    st.lists(st.text("0a[]", max_size=2), max_size=3),
)
VALUES = st.one_of(st.sampled_from(["ethereum", "eth", "true", "1", "²", "", "9" * 5000]), st.text(max_size=8))


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(NAMES, VALUES), max_size=6))
def test_any_form_is_taken_or_refused(fields: list[tuple[str, str]]) -> None:
    """Whatever is sent, the rules answer in Stripe's way; none of it is an accident of ours."""
    try:
        params: Any = decode_form(urlencode(fields, errors="replace"))
    except ValueError:
        return
    for rule in (check_create, lambda p: list_sessions([], p)):
        with suppress(StripeRefusal):
            rule(params)
