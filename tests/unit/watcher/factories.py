"""Things to decide about, with the values that a test doesn't care for filled in."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from chains.model import NATIVE, Asset, BlockRef, Holding, NetworkId
from config.model import NetworkAsset, OnrampAsset
from watcher.model import HoldingStatus, Position, Requirement
from watcher.policy import Terms

NETWORK = NetworkId("eip155:1")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
USDC = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
ADDRESS = "0xB00F0759DbeeF5E543Cc3E3B07A6442F5f3928a2"


def make_asset(**changes: Any) -> NetworkAsset:
    onramp = OnrampAsset("usdc", "ethereum", "ethereum", decimals=6, sold_us=True, sold_eu=True)
    asset = NetworkAsset(Asset(NETWORK, USDC, "USDC", 6), onramp, minimum=0, maximum=None)
    return replace(asset, **changes)


def make_requirement(**changes: Any) -> Requirement:
    requirement = Requirement(
        tenant="default",
        wallet="user-42",
        holding=Holding(NETWORK, USDC, ADDRESS),
        trigger=20_000_000,
        target=50_000_000,
    )
    return replace(requirement, **changes)


def make_position(**changes: Any) -> Position:
    requirement = changes.pop("requirement", None) or make_requirement()
    position = Position(
        requirement=requirement,
        balance=3_100_000,
        at=BlockRef(812, "0x" + "ab" * 32),
        status=HoldingStatus.UNKNOWN,
        waiting=False,
        paused_until=None,
        ended_at=None,
    )
    return replace(position, **changes)


def make_terms(**changes: Any) -> Terms:
    return replace(Terms(asset=make_asset(), country=None, onramp=True, cooldown=timedelta(hours=24)), **changes)


NATIVE_HOLDING = Holding(NETWORK, NATIVE, ADDRESS)
