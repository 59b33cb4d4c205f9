"""Levels as they are stored, and as base units at the fee of the moment."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.model import NATIVE
from config.model import Level, LowFunding, Policy
from tests.unit.watcher.factories import ADDRESS, NETWORK, USDC
from watcher.levels import find_requirement, moves_with_fee, read_level, write_level, write_levels

POLICY = Policy("default", "v1", networks=(NETWORK,), gas_buffer=Level(transactions=2), hysteresis_percent=7)


def row(levels: dict[str, Any], asset: str = NATIVE) -> dict[str, Any]:
    return {
        "tenant": "t",
        "wallet": "w",
        "network": NETWORK,
        "asset": asset,
        "address": ADDRESS,
        "ask": False,
        "level": levels,
    }


@given(st.integers(0, 2**256 - 1), st.integers(1, 10**6))
def test_what_is_written_is_read_back(amount: int, transactions: int) -> None:
    """Any amount of any chain survives JSON, and so does a count of transactions."""
    for level in (Level(amount=amount), Level(transactions=transactions)):
        assert read_level(write_level(level)) == level
    assert read_level(write_level(None)) is None
    assert isinstance((write_level(Level(amount=amount)) or {})["amount"], str)


def test_only_a_coin_that_pays_gas_has_a_buffer() -> None:
    """The policy's, unless the entry has its own; a token has none."""
    low: dict[str, Any] = {
        "network": NETWORK,
        "trigger": Level(amount=1),
        "target": Level(amount=3),
        "critical": Level(amount=0),
    }
    native = write_levels(LowFunding(asset=NATIVE, **low), POLICY)
    assert native == {
        "trigger": {"amount": "1"},
        "target": {"amount": "3"},
        "critical": {"amount": "0"},
        "buffer": {"transactions": 2},
    }
    own = write_levels(LowFunding(asset=NATIVE, buffer=Level(amount=9), **low), POLICY)
    assert own["buffer"] == {"amount": "9"}
    token = write_levels(LowFunding(asset=USDC, **low), POLICY)
    assert token["buffer"] is None
    assert moves_with_fee(native)
    assert not moves_with_fee(token)
    assert not moves_with_fee(own)


def test_a_requirement_is_in_base_units_at_the_fee_of_the_moment() -> None:
    """Amounts as they are, transactions times what one costs now."""
    levels = {
        "trigger": {"transactions": 3},
        "target": {"amount": "1000"},
        "critical": {"transactions": 1},
        "buffer": {"transactions": 2},
    }
    found = find_requirement(row(levels), POLICY, 7)
    assert found is not None
    assert (found.trigger, found.target, found.critical, found.buffer) == (21, 1000, 7, 14)
    assert (found.tenant, found.wallet, found.ask, found.hysteresis_percent) == ("t", "w", False, 7)
    assert (found.holding.network, found.holding.asset, found.holding.address) == (NETWORK, NATIVE, ADDRESS)


@pytest.mark.parametrize("name", ["trigger", "target", "buffer"])
def test_an_unknown_fee_makes_the_requirement_unknown(name: str) -> None:
    """One level that can't be told leaves nothing to judge by."""
    levels: dict[str, Any] = {"trigger": {"amount": "1"}, "target": {"amount": "3"}, "critical": None, "buffer": None}
    assert find_requirement(row(levels), POLICY, None) is not None
    assert find_requirement(row({**levels, name: {"transactions": 1}}), POLICY, None) is None


def test_without_buffer_and_critical_there_are_none() -> None:
    """Absent is zero for the buffer, and no line at all for critical."""
    levels = {"trigger": {"amount": "1"}, "target": {"amount": "3"}, "critical": None, "buffer": None}
    found = find_requirement(row(levels, USDC), POLICY, None)
    assert found is not None
    assert (found.buffer, found.critical) == (0, None)
