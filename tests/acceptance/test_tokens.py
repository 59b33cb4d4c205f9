"""Tokens through the whole loop, on both chains: USDC runs low, is bought, and lands."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from solders.keypair import Keypair

from scripts.local_world import Owner, Plan, build_world
from tests.nodes.anvil import COIN

pytestmark = [pytest.mark.acceptance, pytest.mark.evm, pytest.mark.solana]

USDC = 10**6
PLAN = Plan(
    policies="""\
[policies.default]
networks = ["local-evm", "local-solana"]
funding = [
    { when = "low", network = "local-evm", asset = "USDC", trigger = "20", target = "50" },
    { when = "low", network = "local-solana", asset = "USDC", trigger = "20", target = "50" },
]
"""
)


async def test_a_token_that_runs_low_is_bought(tmp_path: Path) -> None:
    """On either chain: what is missing to the target is asked for, paid, and on chain to the unit."""
    async with AsyncExitStack() as stack:
        world = await build_world(stack, tmp_path, PLAN)
        owners: dict[str, Owner] = {"local-evm": "0x" + "b0" * 20, "local-solana": Keypair()}
        for network, owner in owners.items():
            if isinstance(owner, str):
                await world.give(owner, "ETH", COIN // 10)  # for fees
            await world.give(owner, "USDC", 30 * USDC)
            address = owner if isinstance(owner, str) else str(owner.pubkey())
            await world.backend.put(f"/v1/wallets/{network}", {"addresses": {network: address}})

            async def is_ok(name: str = network) -> bool:
                return bool((await world.backend.get(f"/v1/wallets/{name}"))["status"] == "ok")

            await world.wait(is_ok, f"{network} ok")
            await world.spend(owner, "USDC", 26 * USDC)
            ready = await world.wait_top_up("top_up.link_ready", network)
            assert ready["asked"] == "46"
            await world.pay(ready["onramp"]["session"])
            landed = await world.wait_top_up("top_up.landed", network)
            assert landed["outcome"] == "full"
            assert await world.balance(owner, "USDC") == 50 * USDC
