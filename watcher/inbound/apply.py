"""Applying what backends sent: each webhook once, in one transaction with all that it brings about."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import structlog
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from config.errors import FieldError
from config.model import Tenant
from watcher.api.problems import list_faults
from watcher.api.routing import validate
from watcher.asks.beforehand import Findings, Sources, look_up
from watcher.clock import Clock, Stamp
from watcher.inbound.kinds import KINDS
from watcher.inbound.model import Kind, Told
from watcher.model import NeedKind, NewEvent
from watcher.render import render_faults
from watcher.store.errors import StoreUnavailable
from watcher.store.events import record_events
from watcher.store.inbox import (
    REFUSED,
    SUBJECT,
    close_inbound,
    find_first_waiting,
    find_inbound,
    has_earlier,
    list_refusals,
    take_revision,
)

log = structlog.get_logger()

INBOUND_TASK = "apply_inbound"
WAIT_SECONDS: Final = 0.25
MOST_AT_ONCE: Final = 2
"""Transactions side by side: applying is mostly work of this process, and must leave some to those who answer."""
MOST_WAITS: Final = 20
"""What one webhook needs may be in another that came before it and is being applied just now."""


async def make_refusal(
    conn: AsyncConnection,
    tenant: Tenant,
    names: Mapping[str, str],
    errors: Sequence[FieldError],
    stamp: Stamp,
) -> NewEvent | None:
    """The event that says why a webhook was refused; None when the very same was told before.

    `names`: id, source and type of the webhook. An id may be refused more than once: by another source of the tenant,
    or with other bytes.
    """
    data: dict[str, Any] = {"inbound": {"object": SUBJECT, **names}, "errors": render_faults(errors)}
    before = await list_refusals(conn, tenant.id, names["id"])
    if any(told["data"] == data for told in before):
        return None
    return NewEvent(
        id=stamp.new_id("evt"),
        tenant=tenant.id,
        type=REFUSED,
        subject_object=SUBJECT,
        subject_id=names["id"],
        version=before[-1]["version"] + 1 if before else 1,
        livemode=tenant.livemode,
        data=data,
    )


class _TooEarly(Exception):
    """Refused while earlier ones are still being applied."""


class _Unseen(Exception):
    """What an ask has to know was not looked up yet."""

    def __init__(self, row: RowMapping) -> None:
        super().__init__()
        self.row = row


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was looked up for one webhook."""

    id: tuple[str, str]
    findings: Findings | Exception


class Inbound:
    """Its method is a job, and may run any number of times."""

    def __init__(
        self,
        sources: Sources,
        *,
        clock: Clock,
        new_id: Callable[[str], str],
        step_aside: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`sources`: the store, and where asks are looked up.

        `step_aside` is awaited before each transaction, for what is more urgent.
        """
        self._database = sources.database
        self._settings = sources.settings
        self._clock = clock
        self._new_id = new_id
        self._step_aside = step_aside
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)
        self._sources = sources

    async def apply_inbound(
        self, tenant: str, source: str, inbound_id: str, also: Sequence[Sequence[str]] = ()
    ) -> None:
        """Apply these webhooks, or tell why not: `also` holds sources and ids. What is handled is not looked at again.

        One that fails unexpectedly holds up what came later about the same thing, and nothing else.
        """
        owner = self._settings.tenants.get(tenant)
        if owner is None:
            log.warning("inbound.no_tenant", tenant=tenant, source=source)
            return
        faults: list[Exception] = []
        for each_source, each_id in ((source, inbound_id), *also):
            try:
                await self._apply_in_turn(owner, each_source, each_id)
            except StoreUnavailable:
                raise
            except Exception as error:  # noqa: BLE001  raised below, once the others had their turn
                faults.append(error)
        if faults:
            raise faults[0] if len(faults) == 1 else ExceptionGroup("several webhooks", faults)

    async def _apply_in_turn(self, owner: Tenant, source: str, inbound_id: str) -> None:
        """What came earlier about the same thing comes first, whoever's job it is."""
        seen: _Seen | None = None
        waits = 0
        while True:
            try:
                if not await self._try(owner, source, inbound_id, seen, patient=waits < MOST_WAITS):
                    return
                seen, waits = None, 0
            except _Unseen as error:
                seen = await self._look_up(owner, error.row)
            except _TooEarly:
                seen, waits = None, waits + 1
                await asyncio.sleep(WAIT_SECONDS)

    async def _try(self, owner: Tenant, source: str, inbound_id: str, seen: _Seen | None, *, patient: bool) -> bool:
        """Apply the first that waits for this one's turn; False when there is none left."""
        async with self._turns, self._begin() as conn:
            first = await find_first_waiting(conn, owner.id, source, inbound_id)
            if first is None:
                return False
            if _asks(first) and (seen is None or seen.id != (first["source"], first["id"])):
                raise _Unseen(first)
            row = await find_inbound(conn, owner.id, first["source"], first["id"], lock=True)
            if row is None or row["handled_at"] is not None:  # by another job, meanwhile
                return True
            stamp = Stamp(self._clock.now(), self._new_id)
            outcome, events = await self._handle(conn, row, owner, seen.findings if seen else Findings(), stamp)
            if outcome == "refused" and patient and await has_earlier(conn, row):
                raise _TooEarly
            await close_inbound(conn, row, outcome, about=describe(row["payload"]), now=stamp.now)
            await record_events(conn, events, now=stamp.now, new_id=self._new_id)
        log.info("inbound.handled", tenant=owner.id, source=row["source"], inbound=row["id"], outcome=outcome)
        return True

    @asynccontextmanager
    async def _begin(self) -> AsyncIterator[AsyncConnection]:
        if self._step_aside is not None:
            await self._step_aside()
        async with self._database.begin() as conn:
            yield conn

    async def _look_up(self, owner: Tenant, row: RowMapping) -> _Seen:
        """What an ask has to know, while nothing is locked. Or why that can't be found: raised in its turn."""
        mine = (row["source"], row["id"])
        try:
            kind = KINDS[row["payload"]["type"]]
            body = validate(kind.body, row["payload"]["data"])
            about = NeedKind(kind.about)
            found = await look_up(body, owner.id, self._sources, now=self._clock.now(), kind=about)
            return _Seen(mine, found)
        except Exception as error:
            if list_faults(error) is None:
                raise
            return _Seen(mine, error)

    async def _handle(
        self, conn: AsyncConnection, row: RowMapping, owner: Tenant, findings: Findings | Exception, stamp: Stamp
    ) -> tuple[str, Sequence[NewEvent]]:
        kind = KINDS.get(row["payload"]["type"])
        if kind is None:
            return "ignored", ()
        try:
            async with conn.begin_nested():
                return await self._apply(conn, kind, row, owner, findings=findings, stamp=stamp)
        except Exception as error:
            errors = list_faults(error)
            if errors is None:
                raise
        placed = [FieldError("/data" + e.field, e.code, e.message) for e in errors]
        names = {"id": row["id"], "source": row["source"], "type": row["payload"]["type"]}
        event = await make_refusal(conn, owner, names, placed, stamp)
        return "refused", () if event is None else (event,)

    async def _apply(
        self,
        conn: AsyncConnection,
        kind: Kind,
        row: RowMapping,
        owner: Tenant,
        *,
        findings: Findings | Exception,
        stamp: Stamp,
    ) -> tuple[str, Sequence[NewEvent]]:
        """A webhook that is refused leaves no trace, not even its revision: sent again in a better form, it counts."""
        data = row["payload"]["data"]
        body = validate(kind.body, data)
        number = body.revision
        if number is not None and not await take_revision(conn, owner.id, kind.about, body.id, number, now=stamp.now):
            return "outdated", ()
        if isinstance(findings, Exception):
            raise findings
        told = Told(owner, self._settings, stamp, row["received_at"], data=data, body=body, findings=findings)
        return "applied", await kind.apply(conn, told)


def describe(payload: Mapping[str, Any]) -> dict[str, Any]:
    """What stays of a payload once it is handled: its type, and which thing it was about."""
    kind = KINDS.get(payload["type"])
    named = {"object": kind.about, "id": payload["data"].get("id")} if kind else {}
    return {"type": payload["type"], **named}


def _asks(row: RowMapping) -> bool:
    kind = KINDS.get(row["payload"]["type"])
    return kind is not None and kind.asks
