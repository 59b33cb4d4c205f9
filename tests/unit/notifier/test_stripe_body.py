"""The parameters of a create call: from an allow-list, complete, refused here when Stripe would refuse them."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.errors import OnrampRefused
from notifier.model import Destination, SessionRequest
from notifier.sandbox.forms import decode_form
from notifier.sandbox.rules import check_create
from notifier.stripe_body import PARAMETERS, check_body, make_body

EVM = "0xB00F0759DbeeF5E543Cc3E3B07A6442F5f3928a2"
SOLANA = "bufoH37MTiMTNAfBS4VEZ94dCEwMsmeSijD2vZRShuV"
ETHEREUM = Destination("ethereum", "ethereum", EVM)
ONE = SessionRequest("tu_1", 2, "acme", "inst", (ETHEREUM,), ("usdc",), Decimal("46.90"))
NEW_WALLET = replace(ONE, destinations=(ETHEREUM, Destination("solana", "solana", SOLANA)), currencies=(), amount=None)


def test_whole_body_of_a_top_up() -> None:
    """One asset at one address: both locks, both defaults, the amount as plain text, and four words of metadata."""
    assert make_body(ONE) == {
        "wallet_addresses": {"ethereum": EVM},
        "lock_wallet_address": True,
        "destination_networks": ["ethereum"],
        "destination_network": "ethereum",
        "destination_currencies": ["usdc"],
        "destination_currency": "usdc",
        "destination_amount": "46.90",
        "metadata": {"top_up": "tu_1", "attempt": "2", "tenant": "acme", "installation": "inst"},
    }


def test_base_has_a_key_of_its_own() -> None:
    """The wallet key is base_network while the network stays base; the other way round is refused."""
    body = make_body(replace(ONE, destinations=(Destination("base", "base_network", EVM),)))
    assert body["wallet_addresses"] == {"base_network": EVM}
    assert body["destination_networks"] == ["base"]
    with pytest.raises(OnrampRefused, match="base is not the wallet key of base"):
        make_body(replace(ONE, destinations=(Destination("base", "base", EVM),)))


def test_new_wallet_has_no_pair_and_no_amount() -> None:
    """Several networks: all locked, none preferred, and no list of currencies that would be empty."""
    body = make_body(NEW_WALLET)
    assert body["wallet_addresses"] == {"ethereum": EVM, "solana": SOLANA}
    assert body["destination_networks"] == ["ethereum", "solana"]
    assert body.keys() & {"destination_network", "destination_currency", "destination_currencies"} == set()


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [("1E-7", "eth", "0.0000001"), ("1E+2", "eth", "100"), ("5.0000000", "usdc", "5.000000"), ("3.00", "sol", "3.00")],
)
def test_amount_in_plain_digits(amount: str, currency: str, text: str) -> None:
    """Never an exponent, never more digits than the asset has."""
    assert make_body(replace(ONE, currencies=(currency,), amount=Decimal(amount)))["destination_amount"] == text


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"destinations": ()}, "crypto_onramp_no_wallet_address_to_lock"),
        ({"destinations": (ETHEREUM, ETHEREUM)}, "crypto_onramp_invalid_wallet_address_parameters"),
        ({"destinations": (replace(ETHEREUM, address=""),)}, "crypto_onramp_wallet_address_invalid"),
        ({"currencies": ("usdc", "usdc"), "amount": None}, "crypto_onramp_invalid_parameter"),
        ({"currencies": ("",), "amount": None}, "crypto_onramp_invalid_parameter"),
        ({"currencies": ()}, "crypto_onramp_incomplete_destination_currency_and_network_pair"),
        ({"currencies": ("usdc", "eth")}, "crypto_onramp_incomplete_destination_currency_and_network_pair"),
        (
            {"destinations": NEW_WALLET.destinations},
            "crypto_onramp_incomplete_destination_currency_and_network_pair",
        ),
        ({"amount": Decimal(0)}, "crypto_onramp_invalid_destination_amount"),
        ({"amount": Decimal(-1)}, "crypto_onramp_invalid_destination_amount"),
        ({"amount": Decimal("NaN")}, "crypto_onramp_invalid_destination_amount"),
        ({"amount": Decimal("Infinity")}, "crypto_onramp_invalid_destination_amount"),
        ({"amount": Decimal("0.0000001")}, "crypto_onramp_invalid_destination_amount"),
        ({"customer_ip_address": "1.2.3"}, "customer_ip_address"),
        ({"tenant": ""}, None),
        ({"top_up": "t" * 501}, None),
    ],
)
def test_refused_here(changes: dict[str, Any], code: str | None) -> None:
    """What Stripe's cross-rules refuse never leaves, and carries Stripe's code."""
    with pytest.raises(OnrampRefused) as raised:
        make_body(replace(ONE, **changes))
    assert raised.value.code == code


@pytest.mark.parametrize("ip", ["203.0.113.7", "2001:db8::1"])
def test_ip_address(ip: str) -> None:
    """Both kinds go through."""
    assert make_body(replace(ONE, customer_ip_address=ip))["customer_ip_address"] == ip


AMOUNTS = st.none() | st.decimals(min_value=Decimal("0.000001"), max_value=10**12, places=6)
DESTINATIONS = st.sampled_from(
    [ETHEREUM, Destination("base", "base_network", EVM), Destination("polygon", "polygon", EVM)]
)


@given(DESTINATIONS, AMOUNTS, st.text(min_size=1, max_size=40))
def test_what_is_made_is_taken(destination: Destination, amount: Decimal | None, top_up: str) -> None:
    """Any body that is made survives JSON unchanged, keeps to the allow-list, and the sandbox takes it."""
    body = make_body(replace(ONE, destinations=(destination,), amount=amount, top_up=top_up))
    assert json.loads(json.dumps(body)) == body
    assert check_body(body) == body
    assert body.keys() <= PARAMETERS
    params = {**body, "lock_wallet_address": "true"}
    wanted = check_create(params)
    assert wanted.destination_amount == amount
    assert wanted.metadata["top_up"] == top_up


@pytest.mark.parametrize(
    "change",
    [
        {"destination_networks": []},
        {"destination_currencies": []},
        {"wallet_addresses": {}},
        {"customer_ip_address": None},
        {"destination_amount": ""},
        {"api_key": "sk_live_other"},
        {"headers": {"Stripe-Account": "acct_1"}},
        {"source_amount": "1"},
        {"metadata": {"a": float("nan")}},
        {"metadata": object()},
    ],
)
def test_stored_body_is_looked_at_again(change: dict[str, Any]) -> None:
    """A lock that the SDK would silently drop, and options of the SDK's own, never get past."""
    with pytest.raises(OnrampRefused):
        check_body({**make_body(ONE), **change})


def test_lists_may_be_written_both_ways() -> None:
    """The sandbox reads `a[0]=` and `a[]=` alike."""
    assert decode_form("a[0]=x&a[1]=y") == decode_form("a[]=x&a[]=y") == {"a": ["x", "y"]}
