"""Telling the operator, by the program or endpoint of the configuration. A notice is a job, tried until it is told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from config.model import Network
from notifier.channel import Channel
from notifier.model import Attempt, Endpoint, OutgoingEvent, Verdict
from watcher.clock import Clock, Stamp
from watcher.jobs.defer import defer
from watcher.store.database import Database

log = structlog.get_logger()

NOTICE_TASK: Final = "tell_operator"
NOTICE_PRIORITY: Final = 2
"""Before anything else that is queued."""
GIVEN_UP_AFTER: Final = timedelta(days=1)
AGAIN: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Way:
    """One way to the operator."""

    name: str
    """`command` or `endpoint`."""
    channel: Channel
    endpoint: Endpoint


async def tell_operator(
    conn: AsyncConnection, type_: str, network: Network, facts: Mapping[str, Any], stamp: Stamp
) -> None:
    """Once committed, have the operator told. It names the network and counts, never a wallet or a tenant."""
    notice = {
        "id": stamp.new_id("evt"),
        "type": type_,
        "at": stamp.now.isoformat(),
        "livemode": not network.test,
        "network": network.name,
        "facts": {**facts, "release": f"topup-watcher release {network.name}"},
    }
    await defer(conn, NOTICE_TASK, priority=NOTICE_PRIORITY, notice=notice, ways=None)


class OperatorTeller:
    """`tell` is a job. Each way is tried until it has taken the notice, or a day has passed."""

    def __init__(self, database: Database, ways: Sequence[Way], *, clock: Clock) -> None:
        """Without any way the log has it all."""
        self._database = database
        self._ways = ways
        self._clock = clock

    async def tell(self, notice: dict[str, Any], ways: list[str] | None) -> None:
        """By the `ways` named; None: all of them."""
        event = _make_event(notice)
        left = []
        for way in self._ways:
            if ways is None or way.name in ways:
                attempt = await way.channel.send(event, way.endpoint)
                if self._is_to_repeat(way, event, attempt):
                    left.append(way.name)
        if left:
            async with self._database.begin() as conn:
                again = self._clock.now() + AGAIN
                await defer(conn, NOTICE_TASK, priority=NOTICE_PRIORITY, at=again, notice=notice, ways=left)

    def _is_to_repeat(self, way: Way, event: OutgoingEvent, attempt: Attempt) -> bool:
        fields = {"way": way.name, "notice": event.id, "type": event.type}
        if attempt.verdict is Verdict.DELIVERED:
            log.info("operator.told", **fields)
            return False
        late = self._clock.now() - event.created_at > GIVEN_UP_AFTER
        final = late or attempt.verdict is not Verdict.RETRY
        log.error("operator.not_told", **fields, detail=attempt.detail, http_status=attempt.status_code, final=final)
        return not final


def _make_event(notice: Mapping[str, Any]) -> OutgoingEvent:
    at = datetime.fromisoformat(notice["at"])
    return OutgoingEvent(
        id=notice["id"],
        type=notice["type"],
        created_at=at,
        livemode=notice["livemode"],
        subject={"object": "network", "id": notice["network"]},
        version=int(at.timestamp()),
        data=notice["facts"],
    )
