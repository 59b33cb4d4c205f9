"""Triggers, targets and buffers as they stand in `requirement.level`, and as base units at the fee of the moment."""

from collections.abc import Mapping
from typing import Any

from chains.model import NATIVE, Holding
from config.model import Level, LowFunding, Policy
from watcher.model import Requirement
from watcher.policy import resolve_level


def write_level(level: Level | None) -> dict[str, Any] | None:
    """As JSON; base units are text, since they outgrow JSON readers' numbers."""
    if level is None:
        return None
    return {"transactions": level.transactions} if level.amount is None else {"amount": str(level.amount)}


def read_level(value: Mapping[str, Any] | None) -> Level | None:
    """The reverse of `write_level`."""
    if value is None:
        return None
    if "amount" in value:
        return Level(amount=int(value["amount"]))
    return Level(transactions=value["transactions"])


def write_levels(entry: LowFunding, policy: Policy) -> dict[str, Any]:
    """The `level` column of a requirement: the entry's levels, and the policy's gas buffer where the asset pays gas."""
    return {
        "trigger": write_level(entry.trigger),
        "target": write_level(entry.target),
        "critical": write_level(entry.critical),
        "buffer": write_level(entry.buffer or policy.gas_buffer) if entry.asset == NATIVE else None,
    }


def moves_with_fee(levels: Mapping[str, Any]) -> bool:
    """Whether some level is counted in transactions."""
    return any(level is not None and "transactions" in level for level in levels.values())


def find_requirement(row: Mapping[str, Any], policy: Policy, transaction_cost: int | None) -> Requirement | None:
    """A stored requirement in base units; None while the fee that it depends on is unknown."""
    levels = {name: read_level(value) for name, value in row["level"].items()}
    units = {name: resolve_level(lv, transaction_cost) for name, lv in levels.items() if lv is not None}
    if any(amount is None for amount in units.values()):
        return None
    trigger, target = units["trigger"], units["target"]
    if trigger is None or target is None:
        return None
    return Requirement(
        tenant=row["tenant"],
        wallet=row["wallet"],
        holding=Holding(row["network"], row["asset"], row["address"]),
        trigger=trigger,
        target=max(target, trigger),  # one may be an amount and the other move with the fee
        buffer=units.get("buffer") or 0,
        critical=units.get("critical"),
        hysteresis_percent=policy.hysteresis_percent,
        ask=row["ask"],
    )
