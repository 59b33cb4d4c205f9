"""After a restore: sessions that were made later than the backup are found at Stripe, and adopted, not made again.

The store has forgotten them, and perhaps the top-ups that they were for; people have their links.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from sqlalchemy import select

from notifier.model import OnrampSession
from notifier.onramp import Onramp
from watcher.clock import Clock
from watcher.model import Session
from watcher.store.database import Database
from watcher.store.declare import Restored
from watcher.store.tables import session, top_up

log = structlog.get_logger()

LOOK_FIRST_FOR: Final = timedelta(days=1)
"""From the restore on. What runs low later than that is another need."""
SLACK: Final = timedelta(minutes=5)
"""Between our clock and Stripe's, and for a call that was under way when the store was restored."""


class LostSessions:
    """What Stripe knows of the time between a backup and its restore; listed once for each tenant."""

    def __init__(self, database: Database, restored: Restored, *, clock: Clock) -> None:
        self._database = database
        self._restored = restored
        self._clock = clock
        self._by_tenant: dict[str, list[OnrampSession]] = {}

    def make_key(self, key: str) -> str:
        """An idempotency key of this life: under the one from before, Stripe may keep another body's answer."""
        return f"{key}:{self._restored.epoch}"

    async def find(self, onramp: Onramp, attempt: Session) -> OnrampSession | None:
        """The session that this attempt had before, or that a forgotten top-up had for the same. Raises `OnrampError`.

        None: there is none that we know nothing of, so that one may be made.
        """
        if self._clock.now() > self._restored.at + LOOK_FIRST_FOR:
            return None
        if attempt.tenant not in self._by_tenant:
            self._by_tenant[attempt.tenant] = await self._list(onramp)
        known, top_ups = await self._find_known(self._by_tenant[attempt.tenant])
        lost = [s for s in self._by_tenant[attempt.tenant] if s.id not in known]
        mine = [s for s in lost if s.metadata.get("top_up") == attempt.top_up]
        strays = [
            s
            for s in lost
            if s.metadata.get("top_up") not in top_ups and not s.status.terminal and _is_for(s, attempt.body)
        ]
        for candidate in sorted(mine, key=_age, reverse=True) + sorted(strays, key=_age, reverse=True):
            now = await onramp.retrieve_session(candidate.id)
            if candidate in mine or not now.status.terminal:
                log.info("session.adopted", top_up=attempt.top_up, session=now.id)
                return now
        return None

    async def _list(self, onramp: Onramp) -> list[OnrampSession]:
        found = await onramp.list_sessions(created_after=self._restored.made_at - SLACK)
        return [s for s in found if s.created_at <= self._restored.at + SLACK]

    async def _find_known(self, sessions: Sequence[OnrampSession]) -> tuple[set[str], set[str]]:
        """Which of them the store has, and which of their top-ups."""
        ids = [s.id for s in sessions]
        named = [s.metadata.get("top_up", "") for s in sessions]
        async with self._database.begin() as conn:
            known = await conn.execute(select(session.c.stripe_id).where(session.c.stripe_id.in_(ids)))
            top_ups = await conn.execute(select(top_up.c.id).where(top_up.c.id.in_(named)))
            return set(known.scalars()), set(top_ups.scalars())


def _age(found: OnrampSession) -> datetime:
    return found.created_at


def _is_for(found: OnrampSession, body: Mapping[str, Any]) -> bool:
    """Whether a session brings what this body asks for, to where it asks for it: amounts may differ."""
    wanted = {(key, str(address).casefold()) for key, address in body["wallet_addresses"].items()}
    there = {(key, address.casefold()) for key, address in found.destinations}
    return there == wanted and found.currencies == frozenset(body.get("destination_currencies", ()))
