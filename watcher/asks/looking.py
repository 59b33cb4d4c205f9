"""Looking at proposed transactions again: while they wait for money, and once more before a link goes out."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from chains.model import BlockRef
from chains.needs import Verdict
from watcher.asks.analysis import Analysis
from watcher.asks.beforehand import Findings, Sources, analyse
from watcher.asks.bodies import BODIES
from watcher.asks.ground import NotUnderstood, Rate
from watcher.asks.model import ASK_KINDS, NeedKey
from watcher.asks.rates import find_rates
from watcher.asks.renew import renew_ask
from watcher.clock import Clock, Stamp
from watcher.model import SessionState, TopUpStatus
from watcher.store.analysed import list_analysed
from watcher.store.asks import AskKey, find_ask, find_links, find_needs_by_key, find_top_ups_of, lock_ask
from watcher.store.events import record_events
from watcher.store.networks import find_head
from watcher.store.top_ups import find_sessions, find_top_up, lock_top_up
from watcher.store.wallets import find_addresses
from watcher.top_ups import move_top_up

log = structlog.get_logger()

FRESH: Final = timedelta(seconds=10)
"""What was found so long ago is good enough for one that moves at every block."""
CHASED: Final = timedelta(minutes=1)
MOST_CHASES: Final = 3
"""Links taken back before they went out, within that time: one that moves at every block would never go out."""
SIDE_BY_SIDE: Final = 8
BATCH: Final = 100
"""Most that one run of the sweep looks at; the next run takes those that have waited longest."""


class Looker:
    """Its methods are jobs, or steps of one; running one twice does nothing twice."""

    def __init__(self, sources: Sources, *, clock: Clock, new_id: Callable[[str], str]) -> None:
        """`sources`: chains to ask, and the store."""
        self._sources = sources
        self._database = sources.database
        self._clock = clock
        self._new_id = new_id

    async def look_again(self) -> None:
        """At each open ask whose network has moved since it was last looked at."""
        async with self._database.begin() as conn:
            due = await list_analysed(conn, now=self._clock.now(), limit=BATCH)
        for i in range(0, len(due), SIDE_BY_SIDE):
            part = due[i : i + SIDE_BY_SIDE]
            ended = await asyncio.gather(*(self.look(key) for key in part), return_exceptions=True)
            for key, error in zip(part, ended, strict=True):
                if isinstance(error, Exception):
                    log.error("transaction.look_failed", kind=key[1].value, ask=key[2], exc_info=error)

    async def look(self, key: AskKey) -> bool | None:
        """Whether it needs something else than before; None when that can't be said now."""
        async with self._database.begin() as conn:
            ask = await find_ask(conn, key)
            if ask is None or not ask.status.living:
                return False
            address = (await find_addresses(conn, ask.tenant, ask.wallet, watched=True)).get(ask.network)
            head = await find_head(conn, ask.network)
        network = self._sources.settings.networks.get(ask.network)
        if network is None or address is None:
            return False
        body = BODIES[ask.kind].model_validate(dict(ask.body))
        settings = self._sources.settings
        rates: Mapping[str, Rate | None] = {}
        try:
            rates = await find_rates(body, settings, self._sources.rates)
            analysis = await analyse(body, network, address, self._sources, now=self._clock.now())
        except NotUnderstood as error:  # it was taken while nobody could say so
            log.info("transaction.not_understood", kind=ask.kind.value, ask=ask.id, reason=str(error))
            analysis = Analysis(Verdict.REVERTS, str(error), at=head, looked_at=self._clock.now())
        stamp = Stamp(self._clock.now(), self._new_id)
        async with self._database.begin() as conn:
            ask = await lock_ask(conn, key)
            if ask is None or not ask.status.living:
                return False
            changed, events = await renew_ask(
                conn, ask, body, Findings(rates, analysis), settings=settings, stamp=stamp
            )
            await record_events(conn, events, now=stamp.now, new_id=self._new_id)
        return changed if analysis.found else None

    async def may_send(self, top_up: str) -> bool:
        """Whether a link may be made for an open top-up: all transactions that it is for still need what they did.

        One that was opened for other amounts, and for nothing else, is over: the next step opens what is needed now.
        One that others want, too, is not held back by a transaction of which nothing can be said.
        Needs that move at every block are not chased for ever: what was found moments ago is good enough then.
        """
        now = self._clock.now()
        async with self._database.begin() as conn:
            before, alone = await _read_amounts(conn, top_up), await _is_alone(conn, top_up)
            keys = await _list_asks(conn, top_up)
            behind = [k for k in keys if await self._is_behind(conn, k) and not await _was_chased(conn, k, now=now)]
        found = [await self.look(key) for key in behind]
        if None in found and alone:
            return False
        if not any(found):
            return True
        async with self._database.begin() as conn:
            if await _read_amounts(conn, top_up) == before:
                return True  # something else of them has changed, which another top-up is for
        await self._withdraw(top_up)
        return False

    async def _is_behind(self, conn: AsyncConnection, key: AskKey) -> bool:
        ask = await find_ask(conn, key)
        found = None if ask is None else ask.analysis
        return ask is not None and found is not None and is_behind(found, await find_head(conn, ask.network))

    async def _withdraw(self, top_up_id: str) -> None:
        stamp = Stamp(self._clock.now(), self._new_id)
        async with self._database.begin() as conn:
            top_up = await lock_top_up(conn, top_up_id)
            links = await find_links(conn, [top_up_id])
            alone = all(x.need.kind in ASK_KINDS for x in links)
            if top_up is None or top_up.status is not TopUpStatus.OPEN or not alone:
                return
            if any(s.state is not SessionState.NONE for s in await find_sessions(conn, top_up_id)):
                return
            _, event = await move_top_up(conn, top_up, TopUpStatus.RETRACTED, stamp)
            await record_events(conn, [event], now=stamp.now, new_id=self._new_id)


async def _was_chased(conn: AsyncConnection, key: AskKey, *, now: datetime) -> bool:
    """Whether enough links for an ask were taken back of late, and what it needs was found since."""
    ask = await find_ask(conn, key)
    analysis = None if ask is None or ask.analysis is None or not ask.analysis.found else ask.analysis
    if analysis is None or analysis.looked_at is None or analysis.looked_at <= now - FRESH:
        return False
    found = [await find_top_up(conn, top_up_id) for top_up_id in await find_top_ups_of(conn, key)]
    ends = (TopUpStatus.RETRACTED, TopUpStatus.SUPERSEDED)
    late = [t for t in found if t is not None and t.status in ends and t.updated_at > now - CHASED]
    return sum([not await find_sessions(conn, t.id) for t in late]) >= MOST_CHASES


def is_behind(found: Analysis, head: BlockRef | None) -> bool:
    """Whether the network has moved since the transaction was last understood. Pure."""
    return found.at is None or not found.found or head is None or head.number > found.at.number


async def _list_asks(conn: AsyncConnection, top_up: str) -> list[AskKey]:
    """The asks that a top-up is for, and that are not over."""
    links = await find_links(conn, [top_up])
    return sorted(
        {(x.need.tenant, x.need.kind, x.need.id) for x in links if x.need.kind in ASK_KINDS and x.state.living}
    )


async def _is_alone(conn: AsyncConnection, top_up: str) -> bool:
    """Whether a top-up is for proposed transactions and nothing else that lives."""
    for link in await find_links(conn, [top_up]):
        ask = await find_ask(conn, (link.need.tenant, link.need.kind, link.need.id))
        if link.state.living and (ask is None or ask.analysis is None):
            return False
    return True


async def _read_amounts(conn: AsyncConnection, top_up: str) -> dict[NeedKey, int | None]:
    """What a top-up is for, base units; None for what is over."""
    keys = [x.need for x in await find_links(conn, [top_up])]
    return {n.key: n.amount if n.state.living else None for n in await find_needs_by_key(conn, keys)}
