"""The operator's PostgreSQL breaks in every way that it has; judged by what Stripe and the backend saw."""

import asyncio
import os
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from scripts.local_world import LocalWorld, Plan, build_world
from tests.acceptance.test_kill import PLAN, address_of, register
from tests.nodes.anvil import COIN
from tests.nodes.own_postgres import OwnPostgres, find_own_programs, run_postgres
from tests.nodes.processes import until

PROGRAMS = find_own_programs()
pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.evm,
    pytest.mark.timeout(600),
    pytest.mark.skipif(PROGRAMS is None, reason="no PostgreSQL here: apt-get install postgresql"),
    pytest.mark.skipif(os.geteuid() != 0, reason="a disk of its own for the server needs root"),
]
DISK = "160m"


@pytest.fixture
def disk() -> Iterator[Path]:
    """A small disk of its own."""
    folder = Path(tempfile.mkdtemp(prefix="topup-disk-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=755", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
    folder.rmdir()


@pytest.fixture
def own(disk: Path) -> Iterator[OwnPostgres]:
    """A server on it, durable as in production."""
    assert PROGRAMS is not None
    settings = {"max_connections": "40", "min_wal_size": "32MB", "max_wal_size": "48MB", "shared_buffers": "16MB"}
    with run_postgres(PROGRAMS, settings, parent=disk) as server:
        yield server


@contextmanager
def stopped(own: OwnPostgres) -> Iterator[None]:
    """As a power cut: `immediate`, and gone for a while."""
    own.cluster._run("pg_ctl", ["-D", str(own.cluster.directory), "-w", "-m", "immediate", "stop"], seconds=20)
    yield
    own.cluster.start()


@contextmanager
def frozen(own: OwnPostgres) -> Iterator[None]:
    """Every process of the server, its connections open."""
    postmaster = own.cluster.find_pid()
    assert postmaster is not None
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    pids = [postmaster, *(int(pid) for pid in children)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    yield
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def crowded(own: OwnPostgres) -> Iterator[None]:
    """Somebody else takes every connection that there is, once ours were cut off."""
    cut_off = "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'topup-watcher%'"
    with psycopg.connect(own.url(), autocommit=True) as admin:
        taken: list[psycopg.Connection] = []
        for _ in range(100):
            admin.execute(cut_off)
            try:
                while True:
                    taken.append(psycopg.connect(own.url(), connect_timeout=5))
            except psycopg.OperationalError:
                pass
            ours = admin.execute("select count(*) from pg_stat_activity where application_name like 'topup-watcher%'")
            if ours.fetchone() == (0,):
                break
        yield
        for conn in taken:
            conn.close()


@contextmanager
def full(own: OwnPostgres) -> Iterator[None]:
    """Not a byte is left on its disk."""
    filler = own.cluster.directory.parent / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 65536)
        except OSError:
            pass
    yield
    filler.unlink()
    if own.cluster.find_pid() is None:  # it gives up where it can't write its log: an operator starts it again
        own.cluster.start()


FAULTS = {"stopped": stopped, "frozen": frozen, "crowded": crowded}
MOST_ON_A_FULL_DISK = 2_000
"""Registrations: what is allocated already takes some."""


async def count_creates(world: LocalWorld) -> int:
    """Sessions that Stripe was asked for."""
    return sum(entry["operation"] == "create" for entry in await world.sandbox.ledger(world.http))


async def break_and_heal(world: LocalWorld, own: OwnPostgres, name: str, number: int) -> None:
    """One wallet runs low while the store is away: refusals meanwhile, and its link when the store is back."""
    address = address_of(number)
    await world.give(address, "ETH", COIN // 10)
    await register(world, number)

    async def away() -> bool:
        async with world.http.get(f"{world.daemon.url}/readyz") as answer:
            return answer.status == 503

    async def ready() -> bool:
        return not await away()

    with FAULTS[name](own):
        await until(away, seconds=30, what=f"{name}: not ready", every=0.2)
        before = await count_creates(world)
        await world.spend(address, "ETH", COIN * 7 // 100)
        async with world.http.get(f"{world.daemon.url}/healthz") as answer:
            assert answer.status == 200
        body = {"addresses": {"local-evm": address_of(number + 500)}}
        status, problem = await world.backend.call("PUT", f"/v1/wallets/w-{number + 500}", body)
        assert (status, problem.get("code")) == (503, "store_unavailable"), (name, problem)
        assert await away(), name
        assert await count_creates(world) == before, name
    await until(ready, seconds=60, what=f"{name}: ready again", every=0.2)
    await world.wait_top_up("top_up.link_ready", f"w-{number}", seconds=60)


async def fill_up(world: LocalWorld, own: OwnPostgres, number: int) -> set[str]:
    """The disk fills up while wallets are registered. Gives those that were accepted all the same."""
    address = address_of(number)
    await world.give(address, "ETH", COIN // 10)
    await register(world, number)
    accepted: set[str] = set()
    refused = 0
    paused = (datetime.now(UTC) + timedelta(days=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    with full(own):
        await world.spend(address, "ETH", COIN * 7 // 100)
        for other in range(1000, 1000 + MOST_ON_A_FULL_DISK):
            body = {
                "addresses": {"local-evm": address_of(other)},
                "asks": {"paused_until": paused},
                "metadata": {"x": "y" * 400},
            }
            status, problem = await world.backend.call("PUT", f"/v1/wallets/w-{other}", body)
            if status in (200, 201):
                accepted.add(f"w-{other}")
                continue
            assert (status, problem.get("code")) == (503, "store_unavailable"), problem
            refused += 1
            if refused == 3:
                break
        assert refused, "the disk was never full"
        async with world.http.get(f"{world.daemon.url}/healthz") as answer:
            assert answer.status == 200

    async def ready() -> bool:
        async with world.http.get(f"{world.daemon.url}/readyz") as answer:
            return answer.status == 200

    await until(ready, seconds=60, what="ready with space again", every=0.2)
    await world.wait_top_up("top_up.link_ready", f"w-{number}", seconds=60)
    return accepted


async def wait_for_each_other(world: LocalWorld, own: OwnPostgres, number: int) -> None:
    """Somebody's transaction takes the rows of ours in the opposite order, again and again."""
    address = address_of(number)
    await world.give(address, "ETH", COIN // 10)
    await register(world, number)
    await world.spend(address, "ETH", COIN * 7 // 100)
    ours = "application_name like 'topup-watcher%'"
    waits = f"select count(*) from pg_stat_activity where {ours} and wait_event_type = 'Lock'"  # noqa: S608
    async with await psycopg.AsyncConnection.connect(own.url("topup"), autocommit=True) as watching:
        for label in range(5):
            async with await psycopg.AsyncConnection.connect(own.url("topup")) as rude:
                await rude.execute("select last from event_position for update")
                writing = asyncio.create_task(
                    world.backend.call("PUT", f"/v1/wallets/w-{number}", _relabel(number, label))
                )

                async def waiting() -> bool:
                    return await (await watching.execute(waits)).fetchone() == (True,)

                await until(waiting, seconds=20, what="our transaction waits")
                with suppress(psycopg.errors.DeadlockDetected):
                    await rude.execute("update wallet set label = label")
                await rude.rollback()
            assert (await writing)[0] in (200, 503)
        rows = await (
            await watching.execute("select deadlocks from pg_stat_database where datname = 'topup'")
        ).fetchone()
    assert rows is not None
    assert rows[0] > 0, "nobody waited for each other"
    await world.wait_top_up("top_up.link_ready", f"w-{number}", seconds=60)


def _relabel(number: int, label: int) -> dict[str, Any]:
    return {"addresses": {"local-evm": address_of(number)}, "label": f"{label}"}


async def judge(world: LocalWorld, wallets: set[str], accepted: set[str]) -> None:
    """No second session, no second event id, and every wallet that was accepted is there with its one ask."""
    ledger = await world.sandbox.ledger(world.http)
    made = {
        (e["session"], e["params"]["metadata"]["top_up"]) for e in ledger if e["operation"] == "create" and e["session"]
    }
    assert max(Counter(top_up for _, top_up in made).values()) == 1, "a top-up has more than one session"
    ids: dict[tuple[str, str, int], set[str]] = {}
    asked: dict[str, set[str]] = {}
    for event in world.events():
        ids.setdefault((event["type"], event["subject"]["id"], event["version"]), set()).add(event["id"])
        if event["type"] == "top_up.link_ready":
            asked.setdefault(event["data"]["top_up"]["wallet"], set()).add(event["subject"]["id"])
    assert all(len(known) == 1 for known in ids.values()), "an event has more than one id"
    assert {wallet: len(top_ups) for wallet, top_ups in asked.items()} == dict.fromkeys(wallets, 1)
    for wallet in wallets | accepted:
        await world.backend.get(f"/v1/wallets/{wallet}")


async def test_whatever_becomes_of_the_store_nothing_is_done_twice(own: OwnPostgres, tmp_path: Path) -> None:
    """Cut off, frozen, crowded, full, entangled: 503 and silence meanwhile, then every link once, without a restart."""
    with psycopg.connect(own.url(), autocommit=True) as conn:
        conn.execute("create database topup")
    database = f'[database]\nurl = "{own.url("topup", tls="sslmode=require")}"\npool_size = 8\n'
    async with AsyncExitStack() as stack:
        world = await build_world(stack, tmp_path, Plan(policies=PLAN.policies, solana=False, more=database))
        for number, name in enumerate(FAULTS, 1):
            await break_and_heal(world, own, name, number)
        accepted = await fill_up(world, own, 4)
        await wait_for_each_other(world, own, 5)
        assert world.daemon.ended() is None
        await judge(world, {f"w-{number}" for number in range(1, 6)}, accepted)
        assert await world.daemon.stop() == 0
