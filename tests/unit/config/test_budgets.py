"""Budgets of endpoints: by host, checked; without one there is no limit."""

import os
from pathlib import Path
from typing import Any

import pytest

from chains.model import NetworkId
from chains.rpc_budget import Budget
from tests.unit.config.files import faults, load

AT = "/networks/ethereum/budgets"


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in os.environ if n.upper().startswith("TOPUP_")]:
        monkeypatch.delenv(name)


def budgets(content: dict[str, Any], **entries: Any) -> None:
    """Give the network these budgets; `rest` stands for `*`."""
    named = {{"rest": "*", "node": "rpc.example"}.get(name, name): entry for name, entry in entries.items()}
    content["networks"]["ethereum"]["budgets"] = named


def test_by_host_or_for_the_rest(tmp_path: Path) -> None:
    """Each with the limits that it names, and none by default."""
    node = {"calls_per_second": 25, "credits_per_second": 500, "credits": {"eth_call": 26}, "most_in_batch": 100}
    settings = load(tmp_path, lambda c: budgets(c, node=node, rest={"calls_per_second": 5}))
    found = settings.networks[NetworkId("eip155:1")].budgets
    assert found == {"rpc.example": Budget(25, 500, {"eth_call": 26}, 100), "*": Budget(calls_per_second=5)}
    assert load(tmp_path).networks[NetworkId("eip155:1")].budgets == {}


WRONG: dict[str, tuple[dict[str, Any], set[tuple[str, str]]]] = {
    "a host that is none of its endpoints": ({"other.example": {}}, {(f"{AT}/other.example", "unknown_endpoint")}),
    "a URL, whose key is not repeated": ({"https://rpc.example/KEY": {}}, {(AT, "unknown_endpoint")}),
    "nothing a second": ({"rest": {"calls_per_second": 0}}, {(f"{AT}/*/calls_per_second", "greater_than_equal")}),
    "an unknown limit": ({"rest": {"calls_per_day": 5}}, {(f"{AT}/*/calls_per_day", "extra_forbidden")}),
    "a weight below zero": (
        {"rest": {"credits": {"eth_call": -1}}},
        {(f"{AT}/*/credits/eth_call", "greater_than_equal")},
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named(tmp_path: Path, name: str) -> None:
    """The field, and why."""
    entries, expected = WRONG[name]
    assert faults(tmp_path, lambda c: budgets(c, **entries)) == expected
