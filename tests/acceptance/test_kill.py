"""kill -9 at random moments, of the daemon and of its PostgreSQL; judged by ledgers that no kill touches."""

import asyncio
import os
import random
import signal
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from scripts.local_world import LocalWorld, Plan, build_world
from tests.nodes.anvil import COIN
from tests.nodes.processes import DaemonProcess, until

pytestmark = [pytest.mark.acceptance, pytest.mark.evm, pytest.mark.timeout(900)]

KILLS = int(os.environ.get("KILLS", "50"))
POSTGRES_EVERY = 5
"""Every fifth kill takes PostgreSQL instead of the daemon."""
LONGEST_LIFE = 1.2
"""Seconds from a spend to the kill: from before the block is seen to after the link has arrived."""

PLAN = Plan(
    policies="""\
[policies.default]
networks = ["local-evm"]
gas_buffer = { transactions = 0 }
funding = [{ when = "low", network = "local-evm", asset = "ETH", trigger = "0.05", target = "0.2" }]
""",
    solana=False,
)


def address_of(number: int) -> str:
    return "0x" + (0xB0B0 << 140 | number << 16 | 0xABCD).to_bytes(20, "big").hex()


async def register(world: LocalWorld, number: int) -> None:
    """As a backend does: again until it is answered."""

    async def accepted() -> bool:
        try:
            await world.backend.put(f"/v1/wallets/w-{number}", {"addresses": {"local-evm": address_of(number)}})
        except (aiohttp.ClientError, RuntimeError, TimeoutError, OSError):
            return False
        return True

    await until(accepted, seconds=60, what=f"registration of w-{number}", every=0.1)


async def live_once(world: LocalWorld, number: int, chance: random.Random) -> None:
    """One wallet runs low, and something dies at a random moment of it."""
    address = address_of(number)
    await world.give(address, "ETH", COIN // 10)
    await register(world, number)
    await world.spend(address, "ETH", COIN * 7 // 100)
    await asyncio.sleep(chance.uniform(0, LONGEST_LIFE))  # the moment of the kill is what is drawn by lot
    postmaster = find_postmaster(world.daemon) if number % POSTGRES_EVERY == 0 else None
    if postmaster is not None:
        os.kill(postmaster, signal.SIGKILL)
    else:
        world.daemon.kill()
        world.daemon.start()


def find_postmaster(daemon: DaemonProcess) -> int | None:
    try:
        return int(next((daemon.config.parent / "data").rglob("postmaster.pid")).read_text().split("\n")[0])
    except (StopIteration, ValueError, OSError):
        return None


async def pay_every_other(world: LocalWorld) -> None:
    """The people: those with an even wallet pay as soon as they have a link."""
    paid: set[str] = set()
    while True:
        for event in world.events():
            top_up = event["data"].get("top_up", {})
            session = str((top_up.get("onramp") or {}).get("session"))
            even = event["type"] == "top_up.link_ready" and int(top_up["wallet"].split("-")[1]) % 2 == 0
            if even and session not in paid:
                paid.add(session)
                await world.pay(session)
        await asyncio.sleep(0.1)


def describe(world: LocalWorld, numbers: range) -> str:
    """What is still missing, and the end of the daemon's log."""
    seen: dict[str, set[str]] = {}
    for event in world.events():
        if "top_up" in event["data"]:
            seen.setdefault(event["data"]["top_up"]["wallet"], set()).add(event["type"])
    lacking = {
        f"w-{n}": sorted(seen.get(f"w-{n}", set()))
        for n in numbers
        if "top_up.link_ready" not in seen.get(f"w-{n}", set())
        or (n % 2 == 0 and "top_up.landed" not in seen.get(f"w-{n}", set()))
    }
    return f"not converged: {lacking}\n{world.daemon.output[-4000:]}"


async def judge(world: LocalWorld, numbers: range) -> None:
    """No second session, no second event id, no missed shortfall, and what was paid has landed."""
    creates = [entry for entry in await world.sandbox.ledger(world.http) if entry.get("session")]
    sessions = {(e["session"], e["params"]["metadata"]["top_up"]) for e in creates if e["operation"] == "create"}
    by_top_up = Counter(top_up for _, top_up in sessions)
    assert max(by_top_up.values()) == 1, "a top-up has more than one session"

    ids: dict[tuple[str, str, int], set[str]] = {}
    for event in world.events():
        key = (event["type"], event["subject"]["id"], event["version"])
        ids.setdefault(key, set()).add(event["id"])
    assert all(len(known) == 1 for known in ids.values()), "an event has more than one id"

    opened: dict[str, set[str]] = {}
    for event in world.events():
        if event["type"] == "top_up.link_ready":
            opened.setdefault(event["data"]["top_up"]["wallet"], set()).add(event["subject"]["id"])
    assert set(opened) == {f"w-{n}" for n in numbers}, "a shortfall was missed"
    assert all(len(top_ups) == 1 for top_ups in opened.values()), "a shortfall was asked for twice"

    landed = {e["data"]["top_up"]["wallet"] for e in world.events() if e["type"] == "top_up.landed"}
    assert landed == {f"w-{n}" for n in numbers if n % 2 == 0}
    for number in numbers:
        balance = await world.balance(address_of(number), "ETH")
        assert (balance >= COIN // 5) == (number % 2 == 0)


async def test_killed_at_any_moment_it_converges(tmp_path: Path) -> None:
    """After 50 kills: one session a top-up, one id an event, every shortfall asked for once, every payment landed."""
    seed = random.randrange(2**32)  # noqa: S311  moments, not secrets
    print(f"seed {seed}")  # noqa: T201  what a failure is replayed with
    chance = random.Random(seed)  # noqa: S311
    numbers = range(1, KILLS + 1)
    async with AsyncExitStack() as stack:
        world = await build_world(stack, tmp_path, PLAN)
        people = asyncio.create_task(pay_every_other(world))
        try:
            for number in numbers:
                await live_once(world, number, chance)
            even = {f"w-{n}" for n in numbers if n % 2 == 0}

            async def converged() -> bool:
                assert not people.done(), people.exception()
                told = {e["data"]["top_up"]["wallet"] for e in world.events() if e["type"] == "top_up.link_ready"}
                landed = {e["data"]["top_up"]["wallet"] for e in world.events() if e["type"] == "top_up.landed"}
                return len(told) == len(numbers) and landed >= even

            try:
                await until(converged, seconds=120, what="convergence", every=0.5)
            except TimeoutError:
                pytest.fail(describe(world, numbers))
        finally:
            people.cancel()
            await asyncio.gather(people, return_exceptions=True)
        await world.daemon.ready(world.http)  # the last kill may have been a moment ago
        await judge(world, numbers)
        assert await world.daemon.stop() == 0
