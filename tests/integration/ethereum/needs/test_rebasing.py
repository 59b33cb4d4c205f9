"""Tokens that keep shares of an index: the amount is right within their own rounding, and is never called exact."""

import pytest

from chains.model import NATIVE
from chains.needs import Verdict
from tests.integration.ethereum.needs.world import EACH_WAY, SHOPPER, WALLET, World, tokens_of, totals_of

pytestmark = pytest.mark.evm


@pytest.mark.parametrize("index", [10**18, 137 * 10**16 + 7, 10**17 + 3, 123_456_789 * 10**12])
@pytest.mark.parametrize("held", [0, 1000, 5 * 10**17])
async def test_right_within_rounding(world: World, index: int, held: int) -> None:
    """Every way gives what the transfer moves to within a few units; with that it is mined, with 1 % less it is not."""
    token = await world.at("RebasingToken")
    await world.act(token, "rebase(uint256)", index)
    await world.give(token, held)
    amount = 3 * 10**18
    transaction = await world.call(token, "transfer(address,uint256)", SHOPPER, amount)
    slack = 2 + 2 * (1 + index // 10**18)
    for ways in EACH_WAY:
        needs = await world.find(transaction, ways=ways)
        assert (needs.verdict, needs.detail) == (Verdict.FUNDS, ""), ways
        assert abs(tokens_of(needs)[token] - amount) <= slack
        assert not needs.exact
    for part, mined in ((100, True), (99, False)):
        snapshot = await world.node.rpc("evm_snapshot")
        wanted = tokens_of(needs)[token] * part // 100 + (slack if mined else 0)
        await world.give(token, wanted - await world.node.balance(WALLET, token))
        await world.give(NATIVE, totals_of(needs)[NATIVE])
        assert await world.mines(transaction, needs) == mined
        await world.node.rpc("evm_revert", snapshot)
