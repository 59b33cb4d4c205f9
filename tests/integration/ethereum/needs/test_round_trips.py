"""What a look costs on a far node: round trips one after another, and calls."""

import pytest

from chains.model import NATIVE
from chains.needs import Limits
from tests.integration.ethereum.conftest import chain_on
from tests.integration.ethereum.needs.test_exact_amounts import (
    CASES,
    Make,
    an_amount_that_must_only_be_held,
    whatever_is_there,
)
from tests.integration.ethereum.needs.thin_node import ThinNode
from tests.integration.ethereum.needs.world import WALLET, World

pytestmark = pytest.mark.evm

SEARCHED = (whatever_is_there, an_amount_that_must_only_be_held)
"""What no run shows is searched for: two round trips more."""


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
async def test_round_trips_are_few(world: World, make: Make) -> None:
    """Five one after another, one more for a layout out of the ordinary; the head and the fee are read at once."""
    transaction, _ = await make(world)
    limits = Limits([NATIVE, *world.contracts.values()])
    async with ThinNode(world.node.http) as node, chain_on(node.url) as chain:
        await chain.check()
        for most in (6, 5):
            node.trips = 0
            needs = await chain.find_needs(WALLET, transaction, limits)
            assert needs.exact
            assert node.trips - 1 <= most + 2 * (make in SEARCHED)
            assert needs.calls <= 45
