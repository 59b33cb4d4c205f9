"""The `funding` list, as configuration and API both write it."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.model import NATIVE, NetworkId
from config.catalogue import build_network
from config.model import CreatedFunding, Level, LowFunding
from config.requirements import MOST_ENTRIES, FundingResult, parse_funding
from config.schema import NetworkEntry

_ENTRY = NetworkEntry.model_validate({"http": ["https://rpc.example"]})
NETWORKS = {n.id: n for n in (build_network(name, _ENTRY, []) for name in ("ethereum", "optimism", "solana")) if n}
ETHEREUM = NetworkId("eip155:1")
USDC = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
LOW: dict[str, Any] = {"when": "low", "network": "ethereum", "asset": "USDC", "trigger": "20", "target": "50"}
GAS: dict[str, Any] = {"when": "low", "network": "ethereum", "asset": "ETH", "trigger": "1", "target": "2"}


def parse(*entries: object) -> FundingResult:
    return parse_funding(list(entries), NETWORKS, pointer="/funding")


def faults(*entries: object) -> list[tuple[str, str]]:
    return [(e.field, e.code) for e in parse(*entries).errors]


def test_the_example_of_the_interface_is_read() -> None:
    """A new wallet's funding, a fixed level and a level in transactions, in one list."""
    gas = GAS | {"trigger": {"transactions": 3}, "target": {"transactions": 20}}
    result = parse({"when": "created", "networks": ["ethereum", "solana"]}, LOW, gas)
    assert not result.errors
    assert result.created == CreatedFunding((ETHEREUM, NetworkId("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp")))
    assert result.low == (
        LowFunding(ETHEREUM, USDC, trigger=Level(amount=20_000_000), target=Level(amount=50_000_000)),
        LowFunding(ETHEREUM, NATIVE, trigger=Level(transactions=3), target=Level(transactions=20)),
    )


CREATED = {"when": "created", "networks": ["ethereum"]}


@pytest.mark.parametrize("network", ["ethereum", "eip155:1"])
@pytest.mark.parametrize("asset", ["USDC", USDC])
def test_a_network_and_an_asset_have_two_names_each(network: str, asset: str) -> None:
    """The catalogue's name or the CAIP-2 id, the symbol or the contract: the same entry."""
    assert parse(LOW | {"network": network, "asset": asset}).low == parse(LOW).low


def test_levels_of_one_entry_are_read_together() -> None:
    """A critical level and a gas buffer stand beside trigger and target."""
    (entry,) = parse(GAS | {"critical": "0.5", "gas_buffer": {"transactions": 4}}).low
    assert (entry.critical, entry.buffer) == (Level(amount=5 * 10**17), Level(transactions=4))


def test_what_stripe_does_not_sell_can_be_watched() -> None:
    """`ask: false` is the way to watch it, and the refusal says so."""
    entry = LOW | {"network": "optimism"}
    assert faults(entry) == [("/funding/0/asset", "not_sold_here")]
    assert '"ask": false' in parse(entry).errors[0].message
    assert [e.ask for e in parse(entry | {"ask": False}).low] == [False]


def test_a_new_wallet_is_funded_where_stripe_sells_anything() -> None:
    """One token that is only watched does not keep a network from being asked for."""
    own = {"symbol": "OWN", "decimals": 18, "reference": "0x5FbDB2315678afecb367f032d93F642f64180aa3"}
    network = build_network(
        "ethereum", NetworkEntry.model_validate({"http": ["https://x.example"], "assets": [own]}), []
    )
    assert network is not None
    entry = {"when": "created", "networks": ["ethereum"]}
    result = parse_funding([entry], {network.id: network}, pointer="/funding")
    assert result == FundingResult(created=CreatedFunding((ETHEREUM,)))


def test_no_list_means_no_requirement() -> None:
    """An empty list is a wallet that is only watched."""
    assert parse() == FundingResult()


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ("low", ("", "not_an_object")),
        ({}, ("/when", "not_one_of")),
        ({"when": ["low"]}, ("/when", "not_one_of")),
        (LOW | {"triger": "1"}, ("/triger", "unknown_field")),
        (LOW | {"networks": ["ethereum"]}, ("/networks", "unknown_field")),
        (LOW | {"network": "base"}, ("/network", "unknown_network")),
        (LOW | {"network": {"a": 1}}, ("/network", "unknown_network")),
        (LOW | {"asset": "DOGE"}, ("/asset", "unknown_asset")),
        (LOW | {"asset": 7}, ("/asset", "required")),
        (LOW | {"trigger": None}, ("/trigger", "required")),
        (LOW | {"trigger": "50"}, ("/trigger", "not_less")),
        (LOW | {"trigger": "50.000001"}, ("/trigger", "not_less")),
        (LOW | {"critical": "20"}, ("/critical", "not_less")),
        (LOW | {"trigger": 20}, ("/trigger", "not_a_decimal")),
        (LOW | {"trigger": True}, ("/trigger", "not_a_decimal")),
        (LOW | {"trigger": "2e1"}, ("/trigger", "not_a_decimal")),
        (LOW | {"trigger": "-1"}, ("/trigger", "not_a_decimal")),
        (LOW | {"trigger": "1.0000001"}, ("/trigger", "not_a_decimal")),
        (LOW | {"trigger": {"transactions": 3}}, ("/trigger", "not_native")),
        (LOW | {"gas_buffer": "1"}, ("/gas_buffer", "not_native")),
        (LOW | {"ask": "yes"}, ("/ask", "not_a_boolean")),
        (GAS | {"trigger": {"transactions": 2}, "target": {"transactions": 2}}, ("/trigger", "not_less")),
        (GAS | {"trigger": {"transactions": "3"}}, ("/trigger", "not_a_level")),
        (GAS | {"trigger": {"transactions": True}}, ("/trigger", "not_a_level")),
        (GAS | {"trigger": {"transactions": 0}}, ("/trigger", "not_a_level")),
        (GAS | {"trigger": {"transactions": 10**7}}, ("/trigger", "not_a_level")),
        (GAS | {"trigger": {"transactions": 3, "amount": "1"}}, ("/trigger", "not_a_level")),
        ({"when": "created"}, ("/networks", "required")),
        ({"when": "created", "networks": []}, ("/networks", "required")),
        ({"when": "created", "networks": ["base"]}, ("/networks/0", "unknown_network")),
        ({"when": "created", "networks": ["ethereum", "eip155:1"]}, ("/networks", "repeated")),
        ({"when": "created", "networks": ["optimism"]}, ("/networks/0", "not_sold_here")),
        ({"when": "created", "networks": ["ethereum"], "asset": "ETH"}, ("/asset", "unknown_field")),
        ({**CREATED, "assets": []}, ("/assets", "not_a_list")),
        ({**CREATED, "assets": ["DOGE"]}, ("/assets/0", "unknown_asset")),
        ({**CREATED, "assets": ["ETH", "ETH"]}, ("/assets", "repeated")),
        ({**CREATED, "amount": "5"}, ("/amount", "not_one_asset")),
        ({**CREATED, "assets": ["USDC"], "amount": "0"}, ("/amount", "not_positive")),
        ({**CREATED, "assets": ["USDC"], "amount": 5}, ("/amount", "not_a_decimal")),
    ],
)
def test_a_mistake_is_refused_at_its_place(entry: object, fault: tuple[str, str]) -> None:
    """Each mistake has a pointer and a code, and is the only one complained of."""
    assert faults(entry) == [(f"/funding/0{fault[0]}", fault[1])]


def test_a_holding_and_a_new_wallet_have_one_entry_each() -> None:
    """Two levels for one holding, or two first fundings, would contradict one another."""
    created = {"when": "created", "networks": ["ethereum"]}
    for second in ("USDC", USDC):
        assert faults(LOW, LOW | {"asset": second, "target": "60"}) == [("/funding/1", "repeated")]
    assert faults(created, created) == [("/funding/1", "repeated")]


@pytest.mark.parametrize("entries", [None, {}, "x", [LOW] * (MOST_ENTRIES + 1)])
def test_only_a_list_of_bounded_length_is_read(entries: object) -> None:
    """Anything else has one fault, however large it is."""
    (error,) = parse_funding(entries, NETWORKS, pointer="/funding").errors
    assert (error.field, error.code) == ("/funding", "not_a_list")


def test_all_faults_of_a_list_are_told_at_once() -> None:
    """One answer shows all there is to mend."""
    assert faults(LOW | {"trigger": 1, "target": 2, "ask": 3}, {"when": "never"}) == [
        ("/funding/0/ask", "not_a_boolean"),
        ("/funding/0/trigger", "not_a_decimal"),
        ("/funding/0/target", "not_a_decimal"),
        ("/funding/1/when", "not_one_of"),
    ]


@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_a_trigger_is_taken_only_below_its_target(trigger: int, target: int) -> None:
    """For any two amounts, to the last unit."""
    text = {k: f"{v // 10**6}.{v % 10**6:06}" for k, v in {"trigger": trigger, "target": target}.items()}
    result = parse(LOW | text)
    assert bool(result.errors) is (trigger >= target)
    assert [(e.trigger.amount, e.target.amount) for e in result.low if not result.errors] == (
        [(trigger, target)] if trigger < target else []
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(
    ["when", "network", "networks", "asset", "assets", "amount", "trigger", "target", "critical", "gas_buffer", "ask"]
)


@given(st.lists(st.dictionaries(fields, json_values) | json_values, max_size=3))
def test_any_json_is_read_or_refused_with_pointers_into_it(entries: list[object]) -> None:
    """Nothing is raised, whatever is sent."""
    before = copy.deepcopy(entries)
    assert all(e.field.startswith("/funding/") for e in parse(*entries).errors)
    assert repr(entries) == repr(before)


@given(fields, json_values)
def test_one_strange_value_in_a_sound_entry_never_raises(field: str, value: object) -> None:
    """Each field stands any JSON value."""
    assert all(e.code for e in parse(GAS | {field: value}).errors)
