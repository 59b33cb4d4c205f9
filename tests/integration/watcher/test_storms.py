"""Many wallets short at once: one wave at its rate, fair, nothing lost; and a storm is held until it is over."""

import asyncio
import json
import sys
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text

from chains.model import NATIVE, Holding
from config.errors import ConfigError
from config.model import Brake, Settings
from notifier.command import CommandChannel
from notifier.model import Endpoint
from tests.fakes.onramp import FakeOnramp
from tests.fakes.settings import ETH, EVM, make_network, make_settings, make_tenant
from tests.integration.watcher.world import World
from watcher import recording
from watcher.alarm import NOTICE_TASK, OperatorTeller, Way
from watcher.braking import RELEASED, Braker, release
from watcher.dispatch import Dispatcher
from watcher.model import TopUpStatus
from watcher.pacer import PLACES, Pacer
from watcher.pacing import BURST
from watcher.pausing import find_scope, pause, resume
from watcher.registration import register_wallet
from watcher.render import find_link_status
from watcher.session_request import Onramps
from watcher.store.database import Database
from watcher.store.holds import Scope
from watcher.store.tables import event, session, session_turn, turned_short
from watcher.top_ups import move_top_up
from watcher.wallet_plan import WalletSpec
from watcher.withholding import WITHHOLD_TASK, Withholder

RATE = 10
OFF = Brake(share_percent=100)
CAREFUL = Brake(share_percent=30, minimum=3, window_seconds=60)


class Storm(World):
    """Many wallets of two tenants, and the loops that ask for them, driven by hand."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.onramp = FakeOnramp()
        accounts = dict.fromkeys(self.settings.tenants, self.onramp)
        onramps = Onramps(accounts, "ins_1", self.settings)
        self.dispatcher = Dispatcher(self.database, onramps, clock=self.clock, new_id=self.new_id)
        self.pacer = Pacer(self.database, "", accounts, per_second=RATE, clock=self.clock)
        self.braker = Braker(self.database, self.settings, clock=self.clock, new_id=self.new_id)
        self.withholder = Withholder(self.database, clock=self.clock)
        self.notices: list[dict[str, Any]] = []

    async def people(self, counts: dict[str, int]) -> dict[str, list[Holding]]:
        """So many wallets of each tenant, with enough."""
        made: dict[str, list[Holding]] = {tenant: [] for tenant in counts}
        for t, (tenant, count) in enumerate(counts.items()):
            for i in range(count):
                address = f"0x{10 + t}{i:038}"  # no letters: it is its own checksum
                spec = WalletSpec(f"w-{i:04}", {"local-evm": address}, policy="default", body={})
                async with self.database.begin() as conn:
                    await register_wallet(conn, spec, self.settings.tenants[tenant], self.settings, self.stamp())
                made[tenant].append(Holding(EVM, NATIVE, address))
        await self.observer.refresh_watched()
        await self.step({holding: 2 * ETH for holdings in made.values() for holding in holdings})
        return made

    async def look(self) -> tuple[timedelta, list[str]]:
        """One look of the pacer: its pause, and the top-ups whose turn it was, which are asked for."""
        wait = await self.pacer.grant()
        query = text("delete from procrastinate_jobs where task_name = 'create_session' returning id, args")
        async with self.database.begin() as conn:
            ids = [row[1]["top_up"] for row in sorted((await conn.execute(query)).all())]
        for top_up in ids:
            await self.dispatcher.create_session(top_up)
        return wait, ids

    async def catch_up(self) -> None:
        """Run what a change of the holds has deferred."""
        query = text("delete from procrastinate_jobs where task_name = any(:names) returning id, task_name, args")
        async with self.database.begin() as conn:
            names = [WITHHOLD_TASK, NOTICE_TASK]
            rows = sorted((await conn.execute(query, {"names": names})).all())
        self.notices += [row[2]["notice"] for row in rows if row[1] == NOTICE_TASK]
        if any(row[1] == WITHHOLD_TASK for row in rows):
            await self.withholder.withhold()

    async def links(self) -> Counter[str]:
        """How many asks have which link status."""
        async with self.database.begin() as conn:
            ready = set((await conn.execute(select(session.c.top_up).where(session.c.link.is_not(None)))).scalars())
        shown = [find_link_status(t, None) for t in await self.top_ups() if t.id not in ready]
        return Counter({**Counter(shown), "ready": len(ready)}) - Counter()

    async def count(self, table: Any) -> int:
        async with self.database.begin() as conn:
            return int((await conn.execute(select(func.count()).select_from(table))).scalar_one())


def make_storm_settings(tmp: Path, brake: Brake) -> Settings:
    settings = make_settings(tmp, network=make_network(brake=brake))
    tenants = {name: make_tenant(id=name) for name in ("default", "other")}
    return replace(settings, tenants=tenants)


@pytest.fixture
async def storm(database: Database, tmp_path: Path, request: pytest.FixtureRequest) -> Storm:
    made = Storm(database, make_storm_settings(tmp_path, getattr(request, "param", CAREFUL)))
    await made.start()
    return made


def fall(holdings: list[Holding]) -> dict[Holding, int]:
    return dict.fromkeys(holdings, ETH // 2)


@pytest.mark.parametrize("storm", [OFF], indirect=True)
async def test_a_wave_is_asked_for_at_its_rate_fairly_and_whole(storm: Storm) -> None:
    """Hundreds short in one block: never more than the rate, the small tenant is not behind, each has one session."""
    people = await storm.people({"default": 120, "other": 10})
    await storm.step({**fall(people["default"]), **fall(people["other"])})
    began, order, seconds = storm.clock.now(), list[str](), Counter[int]()
    tenants = {t.id: t.tenant for t in await storm.top_ups()}
    while await storm.count(session_turn):
        wait, ids = await storm.look()
        order += [tenants[top_up] for top_up in ids]
        seconds[(storm.clock.now() - began) // timedelta(seconds=1)] += len(ids)
        storm.clock.advance(microseconds=max(wait, timedelta(milliseconds=1)) // timedelta(microseconds=1))
    assert Counter(order) == {"default": 120, "other": 10}
    assert order[:20].count("other") == 10
    assert max(seconds.values()) <= RATE + BURST
    assert max(seconds) <= 130 // RATE + 1
    assert len(storm.onramp.sessions) == 130
    assert await storm.links() == {"ready": 130}


@pytest.mark.parametrize("storm", [OFF], indirect=True)
async def test_turns_under_way_leave_room_for_other_jobs(storm: Storm) -> None:
    """While the onramp hangs no more turns are given out than there are places, and they wait; then they go on."""
    people = await storm.people({"default": PLACES + 5})
    await storm.step(fall(people["default"]))
    for _ in range(5 * PLACES):
        await storm.pacer.grant()
        storm.clock.advance(seconds=1)
    assert await storm.count(session_turn) == 5
    jobs = [args["top_up"] for name, args in await storm.jobs() if name == "create_session"]
    assert len(set(jobs)) == PLACES + 5


@pytest.mark.parametrize("storm", [OFF], indirect=True)
async def test_asks_that_are_over_cost_no_turn(storm: Storm) -> None:
    """Once the spike is gone, the next that is short does not wait for the turns of those that need none any more."""
    people = await storm.people({"default": 30})
    await storm.step(fall(people["default"][:29]))
    await storm.step(dict.fromkeys(people["default"][:29], 9 * ETH))
    async with storm.database.begin() as conn:
        for top_up in await storm.top_ups():
            await move_top_up(conn, top_up, TopUpStatus.RETRACTED, storm.stamp())
    await storm.step(fall(people["default"][29:]))
    _, first = await storm.look()
    assert len(first) == 1
    assert await storm.count(session_turn) == 0
    assert len(storm.onramp.sessions) == 1


async def test_one_wallet_of_few_trips_no_brake(storm: Storm) -> None:
    """Two of three wallets are a large share, and below the minimum: they are asked for."""
    people = await storm.people({"default": 3})
    await storm.step(fall(people["default"][:2]))
    assert await storm.links() == {"pending": 2}
    assert "network.held" not in await storm.events()


async def test_a_storm_is_held_and_told_until_it_is_released(storm: Storm) -> None:
    """No session, `withheld`, one network.held a tenant, the operator told; released, all of them are asked for."""
    people = await storm.people({"default": 6, "other": 2})
    await storm.step(fall(people["default"][:2]))
    assert await storm.links() == {"pending": 2}
    await storm.step({**fall(people["default"]), **fall(people["other"])})
    await storm.catch_up()
    assert await storm.links() == {"withheld": 8}
    assert (await storm.events()).count("network.held") == 2
    (notice,) = storm.notices
    assert notice["facts"] == {
        "turned_short": 8,
        "wallets": 8,
        "window_seconds": 60,
        "release": "topup-watcher release local-evm",
    }
    for _ in range(3):
        storm.clock.advance(hours=1)
        assert await storm.look() == (timedelta(seconds=2), [])
        await storm.braker.look_at_brakes()
        await storm.step()
    assert await storm.links() == {"withheld": 8}
    async with storm.database.begin() as conn:
        assert await release(conn, storm.rules.network, storm.settings, storm.stamp(), why=RELEASED)
    await storm.catch_up()
    assert await storm.links() == {"pending": 8}
    while await storm.count(session_turn):
        await storm.look()
        storm.clock.advance(seconds=1)
    assert await storm.links() == {"ready": 8}
    async with storm.database.begin() as conn:
        query = select(event.c.type, event.c.data).where(event.c.subject_object == "network").order_by(event.c.position)
        kinds = (await conn.execute(query)).all()
        assert not await release(conn, storm.rules.network, storm.settings, storm.stamp(), why=RELEASED)
    told = [(kind, data["network"]["status"]) for kind, data in kinds]
    assert told[-4:] == [("network.held", "held")] * 2 + [("network.recovered", "fresh")] * 2


async def test_a_storm_that_has_passed_lets_go_by_itself(storm: Storm) -> None:
    """When most have recovered, the asks of the others go on without anybody's word."""
    people = await storm.people({"default": 10})
    await storm.step(fall(people["default"][:5]))
    await storm.step(dict.fromkeys(people["default"][:3], 9 * ETH))
    await storm.braker.look_at_brakes()
    assert (await storm.links())["withheld"] >= 2
    await storm.step(dict.fromkeys(people["default"][3:4], 9 * ETH))
    await storm.braker.look_at_brakes()
    await storm.catch_up()
    assert [n["type"] for n in storm.notices] == ["network.held", "network.released"]
    assert "withheld" not in await storm.links()
    assert await storm.count(turned_short) == 0


async def test_slow_falls_are_no_storm(storm: Storm) -> None:
    """As many over a longer time than the window are asked for one by one."""
    people = await storm.people({"default": 10})
    for holding in people["default"][:8]:
        await storm.step(fall([holding]))
        storm.clock.advance(seconds=31)
        await storm.braker.look_at_brakes()
    assert await storm.links() == {"pending": 8}
    assert await storm.count(turned_short) <= 2


@pytest.mark.parametrize(
    "scope", [Scope("tenant", "default"), Scope("network", EVM), Scope("all")], ids=lambda s: str(s.kind)
)
async def test_what_is_paused_waits_and_is_not_lost(storm: Storm, scope: Scope) -> None:
    """Asks from before and during a pause are withheld; those of others go on; resumed, each gets its session."""
    people = await storm.people({"default": 8, "other": 8})
    await storm.step(fall(people["default"][:1]))
    assert await pause(storm.database, scope, clock=storm.clock)
    assert not await pause(storm.database, scope, clock=storm.clock)
    await storm.catch_up()
    await storm.step({**fall(people["default"][1:2]), **fall(people["other"][:1])})
    await storm.look()
    others = {"ready": 1} if scope.kind == "tenant" else {"withheld": 1}
    assert await storm.links() == Counter({"withheld": 2}) + Counter(others)
    assert await resume(storm.database, scope)
    assert not await resume(storm.database, scope)
    await storm.catch_up()
    while await storm.count(session_turn):
        storm.clock.advance(seconds=1)
        await storm.look()
    assert await storm.links() == {"ready": 3}


async def test_a_turn_given_out_before_the_pause_makes_no_session(storm: Storm) -> None:
    """The job that was queued already finds the pause, and the ask waits for another turn."""
    people = await storm.people({"default": 5})
    await storm.step(fall(people["default"][:1]))
    await storm.pacer.grant()
    await pause(storm.database, Scope("all"), clock=storm.clock)
    (top_up,) = await storm.top_ups()
    await storm.dispatcher.create_session(top_up.id)
    assert storm.onramp.sessions == {}
    assert await storm.links() == {"withheld": 1}
    assert await storm.count(session_turn) == 1


async def test_the_operators_program_is_told_until_it_takes_it(storm: Storm, tmp_path: Path) -> None:
    """It gets the notice as JSON; while it fails the notice is queued again, and its failure is not ours."""
    out = tmp_path / "told"
    program = f"import sys; out = open({str(out)!r}, 'a+'); out.write(sys.stdin.read()); out.seek(0); "
    program += "sys.exit(len(out.readlines()) == 1)"
    ways = [Way("command", CommandChannel([sys.executable, "-c", program]), Endpoint("operator", "", ()))]
    teller = OperatorTeller(storm.database, ways, clock=storm.clock)
    people = await storm.people({"default": 5})
    await storm.step(fall(people["default"]))
    await storm.catch_up()
    await teller.tell(storm.notices[0], None)
    (again,) = [args for name, args in await storm.jobs() if name == NOTICE_TASK]
    assert again["ways"] == ["command"]
    await teller.tell(**again)
    assert [name for name, _ in await storm.jobs() if name == NOTICE_TASK] == []
    first, second = [json.loads(line) for line in out.read_text().splitlines()]
    assert first == second
    assert (first["type"], first["subject"]) == ("network.held", {"object": "network", "id": "local-evm"})


async def test_a_program_that_hangs_is_killed(storm: Storm) -> None:
    """The operator's program can't hold up the daemon."""
    channel = CommandChannel([sys.executable, "-c", "import time; time.sleep(600)"], seconds=1)
    teller = OperatorTeller(storm.database, [Way("command", channel, Endpoint("operator", "", ()))], clock=storm.clock)
    notice = {
        "id": "evt_1",
        "type": "network.held",
        "at": storm.clock.now().isoformat(),
        "livemode": False,
        "network": "local-evm",
        "facts": {},
    }
    async with asyncio.timeout(30):
        await teller.tell(notice, None)
    assert [name for name, _ in await storm.jobs()] == [NOTICE_TASK]


def test_a_pause_names_exactly_one_thing(tmp_path: Path) -> None:
    """None, two, or something that isn't configured is refused with its place."""
    settings = make_storm_settings(tmp_path, CAREFUL)
    for wrong in ({}, {"tenant": "default", "everything": True}, {"tenant": "nobody"}, {"network": "nowhere"}):
        with pytest.raises(ConfigError):
            find_scope(settings, "pause", **{"tenant": None, "network": None, "everything": False, **wrong})  # type: ignore[arg-type]
    scope, _ = find_scope(settings, "pause", tenant=None, network="local-evm", everything=False)
    assert scope == Scope("network", EVM)


@pytest.mark.parametrize("storm", [CAREFUL], indirect=True)
async def test_a_wave_larger_than_one_transaction_is_held_whole(storm: Storm, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of a large step is counted before the first of it is asked for: no session slips out."""
    monkeypatch.setattr(recording, "MOST_AT_ONCE", 2)
    monkeypatch.setattr(recording, "MOST_COUNTED", 4)
    people = await storm.people({"default": 10})
    seen: list[Counter[str]] = []
    record = storm.observer._recorder._record_part

    async def watch_parts(*args: Any, **options: Any) -> None:
        await record(*args, **options)
        seen.append(await storm.links())

    monkeypatch.setattr(storm.observer._recorder, "_record_part", watch_parts)
    await storm.step(fall(people["default"]))
    assert len(seen) > 4
    assert all(set(each) <= {"withheld"} for each in seen)
    assert await storm.links() == {"withheld": 10}


@pytest.mark.parametrize("storm", [OFF], indirect=True)
async def test_a_wave_does_not_keep_heads_waiting(storm: Storm, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a step can't record in time is taken up at the next heads, and none of it is lost."""
    monkeypatch.setattr(recording, "MOST_AT_ONCE", 3)
    people = await storm.people({"default": 10})
    record = storm.observer._recorder._record_part

    async def take_long(*args: Any, **options: Any) -> None:
        await record(*args, **options)
        storm.clock.advance(seconds=5)

    monkeypatch.setattr(storm.observer._recorder, "_record_part", take_long)
    await storm.step(fall(people["default"]))
    opened = [len(await storm.top_ups())]
    while opened[-1] < 10:
        await storm.step()
        opened.append(len(await storm.top_ups()))
        assert opened[-1] > opened[-2]
    assert opened[0] < 10
    assert len(await storm.top_ups()) == 10
