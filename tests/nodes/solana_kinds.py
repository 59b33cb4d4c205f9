"""Which tests run on which kind of Solana node, and one real validator for a whole test run."""

import atexit
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Final

import pytest

from tests.nodes.solana import SolanaNode
from tests.nodes.solana_process import NO_VALIDATOR, Ability, Kind, SolanaProcess, can, find_validator

REAL: Final = pytest.param(Kind.VALIDATOR, marks=pytest.mark.acceptance)
"""The real validator eats a core: only the acceptance run starts it, once."""
EVERY_KIND: Final = (Kind.SURFPOOL, REAL)
"""For `@pytest.mark.parametrize("kind", EVERY_KIND)`."""


@asynccontextmanager
async def node_for(request: pytest.FixtureRequest, kind: Kind, *needs: Ability) -> AsyncIterator[SolanaNode]:
    """A node for one test: Surfpool of its own, or the run's real validator. Skips, by name, what a kind cannot do.

    The marker `needs_cheats` counts as the need `Ability.CHEATS`.
    """
    wanted = [*needs, *([Ability.CHEATS] if request.node.get_closest_marker("needs_cheats") else [])]
    for ability in wanted:
        if not can(kind, ability):
            pytest.skip(f"{request.node.name} needs a node that {ability.value}; {kind} is none")
    if kind is Kind.VALIDATOR and find_validator() is None:
        pytest.skip(f"{request.node.name}: {NO_VALIDATOR}")
    async with SolanaNode(_validator() if kind is Kind.VALIDATOR else None) as node:
        yield node


def _validator() -> SolanaProcess:
    """The run's real validator. One that was killed, or has died, begins anew: its ledger may be cut off."""
    process = _shared()
    if process.interrupted or not process.running:
        process.remove()
        process.start()
    return process


@cache
def _shared() -> SolanaProcess:
    process = SolanaProcess(Kind.VALIDATOR)
    atexit.register(process.remove)
    return process
