"""The needs of each kind of payment on a local anvil, by the daemon's own adapter. See `benchmarks.requirement`."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from benchmarks.wire import Look, Trip, looking, ms, noting, p90
from chains.ethereum.adapter import EthereumChain
from chains.model import NATIVE, Asset, NetworkId
from chains.needs import Limits, TransactionNeeds
from tests.integration.ethereum.needs.test_exact_amounts import CASES, Make
from tests.integration.ethereum.needs.world import WALLET, World, client, totals_of
from tests.nodes.anvil import CHAIN_ID, COIN, Anvil

NETWORK: Final = NetworkId(f"eip155:{CHAIN_ID}")
COLD: Final = 5
"""Looks of a daemon that has never seen the token: enough for a median."""
AIM_MS: Final = 30
AIM_TRIPS: Final = 5
PHASES: Final = ("head, price", "accounts", "layouts", "run", "prove")


@dataclass(frozen=True, slots=True)
class Figures:
    """One kind of payment."""

    name: str
    cold: Sequence[Look]
    warm: Sequence[Look]
    bare: Sequence[float]
    needs: TransactionNeeds


async def measure(runs: int) -> list[Figures]:
    """Every kind of the tests' world, each on nodes of its own."""
    return [await _measure(make, runs) for make in CASES]


async def _measure(make: Make, runs: int) -> Figures:
    async with _world() as world, _world() as rich:
        transaction, _ = await make(world)
        same, _ = await make(rich)
        limits = Limits([NATIVE, *world.contracts.values()])
        cold, warm, bare = [], [], []
        for _ in range(COLD):
            async with _chain(world.node) as chain:
                await chain.check()
                with looking() as look:
                    await chain.find_needs(WALLET, transaction, limits)
                cold.append(look)
        async with _chain(world.node) as chain:
            needs = await chain.find_needs(WALLET, transaction, limits)
            await _fund(rich, needs)
            for _ in range(runs):
                with looking() as look:
                    await chain.find_needs(WALLET, transaction, limits)
                warm.append(look)
                bare.append(await _bare(rich, same))
        return Figures(make.__name__, cold, warm, bare, needs)


@asynccontextmanager
async def _world() -> AsyncIterator[World]:
    """A node. There are two, made alike: on one the wallet has nothing, on the other what it needs."""
    async with Anvil() as node, client(node.http) as rpc:
        yield World(node, rpc, (await node.accounts())[0])


def _chain(node: Anvil) -> EthereumChain:
    with noting("chains.ethereum.adapter"):
        return EthereumChain(
            NETWORK, CHAIN_ID, http_urls=[node.http], assets=[Asset(NETWORK, NATIVE, "ETH", 18)], close_confirmations=1
        )


async def _fund(world: World, needs: TransactionNeeds) -> None:
    """All that it needs, and coins for any gas: the bare call fails on a wallet that has less."""
    for asset, amount in totals_of(needs).items():
        await world.give(asset, amount)
    await world.give(NATIVE, 10 * COIN)


async def _bare(world: World, transaction: Mapping[str, Any]) -> float:
    """Seconds of one `eth_estimateGas` of the same."""
    call = {name: transaction[name] for name in ("to", "data", "value") if name in transaction}
    with looking() as look:
        await world.rpc.call("eth_estimateGas", [{"from": WALLET, **call}])
    return look.seconds


def phases(look: Look) -> dict[str, float]:
    """Seconds by what was waited for; `ours` is the rest."""
    last_run = max((n for n, trip in enumerate(look.trips) if _is_run(trip)), default=-1)
    times = dict.fromkeys(PHASES, 0.0)
    for number, trip in enumerate(look.trips):
        times[_phase(trip, number > last_run)] += trip.seconds
    return {**times, "ours": look.own}


def _is_run(trip: Trip) -> bool:
    return "eth_getTransactionCount" not in trip.methods and not {"eth_simulateV1", "debug_traceCall"}.isdisjoint(
        trip.methods
    )


def _phase(trip: Trip, is_after_runs: bool) -> str:  # noqa: FBT001  one caller
    if trip.methods[0] in ("eth_getBlockByNumber", "eth_feeHistory", "eth_gasPrice"):
        return "head, price"
    if "eth_getTransactionCount" in trip.methods:
        return "accounts"
    if _is_run(trip):
        return "run"
    return "prove" if is_after_runs else "layouts"


def render(found: Sequence[Figures]) -> list[str]:
    """Two tables: the figures, and where the time of a warm look goes."""
    lines = [
        "| transaction | median ms | p90 ms | calls | trips | first ms | calls | trips | bare ms | ratio | exact |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for each in found:
        times, cold = [look.seconds for look in each.warm], each.cold
        lines.append(
            f"| {each.name.replace('_', ' ')} | {ms(times):.1f} | {p90(times) * 1000:.1f} "
            f"| {median(look.calls for look in each.warm):.0f} | {median(look.sequential for look in each.warm):.0f} "
            f"| {ms([look.seconds for look in cold]):.1f} | {median(look.calls for look in cold):.0f} "
            f"| {median(look.sequential for look in cold):.0f} "
            f"| {ms(each.bare):.2f} | {median(times) / median(each.bare):.1f} | {'yes' if each.needs.exact else 'no'} |"
        )
    lines += ["", f"| ms waited for | {' | '.join(PHASES)} | ours |", "|---|" + "--:|" * (len(PHASES) + 1)]
    for each in found:
        split = [phases(look) for look in each.warm]
        told = [f"{ms([one[name] for one in split]):.1f}" for name in (*PHASES, "ours")]
        lines.append(f"| {each.name.replace('_', ' ')} | {' | '.join(told)} |")
    return [*lines, "", *_shortfalls(found)]


def _shortfalls(found: Sequence[Figures]) -> list[str]:
    slow = [f.name.replace("_", " ") for f in found if ms([look.seconds for look in f.warm]) > AIM_MS]
    deep = [f.name.replace("_", " ") for f in found if median(look.sequential for look in f.warm) > AIM_TRIPS]
    return [
        f"Aim of {AIM_MS} ms: met by {len(found) - len(slow)} of {len(found)}"
        + (f"; not by {', '.join(slow)}." * bool(slow)),
        f"Aim of {AIM_TRIPS} round trips: met by {len(found) - len(deep)} of {len(found)}"
        + (f"; not by {', '.join(deep)}." * bool(deep)),
    ]
