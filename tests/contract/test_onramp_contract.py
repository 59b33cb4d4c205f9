"""What every `Onramp` must do: the fake that other tests rely on, and Stripe's adapter against the sandbox."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

import aiohttp
import pytest

from notifier.errors import OnrampRefused, OnrampRetry, OnrampUnknown
from notifier.model import Destination, SessionRequest, SessionStatus
from notifier.onramp import Onramp
from notifier.sandbox.server import SandboxOptions, open_sandbox
from notifier.stripe_onramp import StripeOnramp
from tests.fakes.onramp import FakeOnramp, lost_answer, server_error

REQUEST: Final = SessionRequest(
    top_up="tu_1",
    attempt=1,
    tenant="default",
    installation="inst_1",
    destinations=(Destination("ethereum", "ethereum", "0xB00F0759DbeeF5E543Cc3E3B07A6442F5f3928a2"),),
    currencies=("eth",),
    amount=Decimal("0.5"),
)


@dataclass
class FakeBench:
    """The fake, and what happens at Stripe."""

    onramp: FakeOnramp

    async def fail_after_effect(self) -> None:
        self.onramp.script.append(("after", server_error()))

    async def lose_answer(self) -> None:
        self.onramp.script.append(("after", lost_answer()))

    async def reject(self, session: str) -> None:
        self.onramp.become(session, SessionStatus.REJECTED)


@dataclass
class StripeBench:
    """The adapter, and the sandbox's levers."""

    onramp: StripeOnramp
    url: str
    http: aiohttp.ClientSession

    async def fail_after_effect(self) -> None:
        await self._order("faults", {"on": "create", "kind": "500_after_effect"})

    async def lose_answer(self) -> None:
        await self._order("faults", {"on": "create", "kind": "timeout_after_effect"})

    async def reject(self, session: str) -> None:
        await self._order(f"sessions/{session}/pay", {"then": "reject"})

    async def _order(self, path: str, order: dict[str, str]) -> None:
        async with self.http.post(f"{self.url}/_sandbox/{path}", json=order) as answer:
            assert answer.status == 200


Bench = FakeBench | StripeBench


@pytest.fixture(params=["fake", "stripe"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    if request.param == "fake":
        yield FakeBench(FakeOnramp())
        return
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(open_sandbox(SandboxOptions("127.0.0.1", 0)))
        onramp = StripeOnramp("sk_test_1", installation="inst_1", api_base=url, timeout_seconds=1)
        http = aiohttp.ClientSession()
        yield StripeBench(await stack.enter_async_context(onramp), url, await stack.enter_async_context(http))


def recently() -> datetime:
    return datetime.now(UTC) - timedelta(minutes=5)


async def test_created_and_retrieved(bench: Bench) -> None:
    """A new session is unpaid, in test mode, has a link, carries the metadata, and is found by its id."""
    onramp: Onramp = bench.onramp
    session = await onramp.create_session(onramp.session_body(REQUEST), idempotency_key="tu_1:1")

    assert session.status is SessionStatus.INITIALIZED
    assert not session.livemode
    assert not onramp.livemode
    assert session.link
    assert session.link not in repr(session)
    assert session.metadata == {"top_up": "tu_1", "attempt": "1", "tenant": "default", "installation": "inst_1"}
    assert await onramp.retrieve_session(session.id) == session


async def test_one_session_a_key(bench: Bench) -> None:
    """However often it is repeated, a key gives one session."""
    body = bench.onramp.session_body(REQUEST)
    sessions = [await bench.onramp.create_session(body, idempotency_key="tu_1:1") for _ in range(3)]
    assert len({s.id for s in sessions}) == 1
    other = await bench.onramp.create_session(body, idempotency_key="tu_1:2")
    assert other.id != sessions[0].id


async def test_another_body_under_a_key(bench: Bench) -> None:
    """That is refused for good."""
    await bench.onramp.create_session(bench.onramp.session_body(REQUEST), idempotency_key="tu_1:1")
    other = bench.onramp.session_body(replace(REQUEST, amount=Decimal("0.6")))
    with pytest.raises(OnrampRefused):
        await bench.onramp.create_session(other, idempotency_key="tu_1:1")


async def test_stored_fault_and_its_session(bench: Bench) -> None:
    """A 5xx stays under its key; the session that was made all the same is found by its metadata."""
    await bench.fail_after_effect()
    body = bench.onramp.session_body(REQUEST)
    for _ in range(2):
        with pytest.raises(OnrampRetry) as raised:
            await bench.onramp.create_session(body, idempotency_key="tu_1:1")
        assert (raised.value.http_status or 0) >= 500

    found = await bench.onramp.find_session(top_up="tu_1", attempt=1, created_after=recently())
    assert found is not None
    assert found.metadata["top_up"] == "tu_1"
    assert await bench.onramp.find_session(top_up="tu_1", attempt=2, created_after=recently()) is None
    assert await bench.onramp.find_session(top_up="tu_2", attempt=1, created_after=recently()) is None


async def test_lost_answer(bench: Bench) -> None:
    """No answer is `OnrampUnknown`, and the same key tells what became of it."""
    await bench.lose_answer()
    body = bench.onramp.session_body(REQUEST)
    with pytest.raises(OnrampUnknown):
        await bench.onramp.create_session(body, idempotency_key="tu_1:1")
    session = await bench.onramp.create_session(body, idempotency_key="tu_1:1")
    found = await bench.onramp.find_session(top_up="tu_1", attempt=1, created_after=recently())
    assert found is not None
    assert found.id == session.id


async def test_everything_of_ours_is_listed(bench: Bench) -> None:
    """Each session with where it leads and what it is locked to, newest first."""
    other = replace(REQUEST, top_up="tu_2", currencies=(), amount=None)
    await bench.onramp.create_session(bench.onramp.session_body(REQUEST), idempotency_key="tu_1:1")
    await bench.onramp.create_session(bench.onramp.session_body(other), idempotency_key="tu_2:1")
    found = await bench.onramp.list_sessions(created_after=recently())
    assert [s.metadata["top_up"] for s in found] == ["tu_2", "tu_1"]
    (where,) = REQUEST.destinations
    assert {s.destinations for s in found} == {frozenset({(where.wallet_key, where.address)})}
    assert [s.currencies for s in found] == [frozenset(), frozenset({"eth"})]


async def test_what_happens_is_seen(bench: Bench) -> None:
    """A later look shows the status of then."""
    session = await bench.onramp.create_session(bench.onramp.session_body(REQUEST), idempotency_key="tu_1:1")
    await bench.reject(session.id)
    assert (await bench.onramp.retrieve_session(session.id)).status is SessionStatus.REJECTED


async def test_unknown_session(bench: Bench) -> None:
    """A session that isn't there is refused, not a crash."""
    with pytest.raises(OnrampRefused):
        await bench.onramp.retrieve_session("cos_unknown")


async def test_nothing_to_send_to(bench: Bench) -> None:
    """A request that breaks Stripe's rules is refused before any call."""
    with pytest.raises(OnrampRefused):
        bench.onramp.session_body(replace(REQUEST, destinations=()))
