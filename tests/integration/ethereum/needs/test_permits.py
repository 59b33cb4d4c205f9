"""Approvals through Permit2: an amount and an expiry in one word, beside the approval of the token itself."""

import pytest

from chains.ethereum.needs.touched import PERMIT2
from chains.ethereum.needs.words import checksummed
from chains.needs import Verdict
from tests.integration.ethereum.needs.world import EACH_WAY, FAR, World, tokens_of
from tests.nodes.anvil import ARTIFACTS

pytestmark = pytest.mark.evm

AMOUNT = 40_000_000
APPROVE = "approve(address,address,uint160,uint48)"


@pytest.fixture
async def shop(world: World) -> str:
    await world.node.rpc("anvil_setCode", PERMIT2, ARTIFACTS["Permits"]["runtime"])
    return await world.at("PermitShop")


async def test_exactly_what_is_needed_through_permits(world: World, shop: str) -> None:
    """With both approvals standing, every way gives the amount to the unit, and a real block proves it."""
    token, permits = await world.at("Token"), checksummed(PERMIT2)
    await world.act(token, "approve(address,uint256)", permits, 2**255)
    await world.act(permits, APPROVE, token, shop, AMOUNT, FAR)
    transaction = await world.call(shop, "buy(address,address,uint160)", permits, token, AMOUNT)
    for ways in EACH_WAY:
        needs = await world.find(transaction, ways=ways)
        assert (needs.verdict, needs.detail) == (Verdict.FUNDS, ""), ways
        assert tokens_of(needs) == {token: AMOUNT}
        assert needs.exact
        await world.prove(transaction, needs)


@pytest.mark.parametrize(
    ("of_token", "of_permits", "expires"),
    [(0, AMOUNT, FAR), (2**255, AMOUNT - 1, FAR), (2**255, AMOUNT, 1), (2**255, 0, 0), (0, 0, 0)],
    ids=["of the token", "too little", "expired", "of Permit2", "both"],
)
async def test_a_permit_that_is_missing_or_has_expired(
    world: World, shop: str, of_token: int, of_permits: int, expires: int
) -> None:
    """Each approval that is missing, too small or over is named, and the amount is still known."""
    token, permits = await world.at("Token"), checksummed(PERMIT2)
    if of_token:
        await world.act(token, "approve(address,uint256)", permits, of_token)
    if expires:
        await world.act(permits, APPROVE, token, shop, of_permits, expires)
    transaction = await world.call(shop, "buy(address,address,uint160)", permits, token, AMOUNT)
    for ways in EACH_WAY:
        needs = await world.find(transaction, ways=ways)
        assert needs.verdict is Verdict.ALLOWANCE, ways
        assert tokens_of(needs) == {token: AMOUNT}
        lacks_permit = of_permits < AMOUNT or expires < FAR
        assert (f"{shop} may not take enough of {token} through Permit2" in needs.detail) == lacks_permit
        assert (f"{permits} may not take enough of {token}" in needs.detail) == (not of_token)
