"""Applying what backends sent: each webhook once, in one transaction with all that it brings about."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
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
from watcher.jobs.defer import defer, has_earlier
from watcher.model import NeedKind, NewEvent
from watcher.render import render_faults
from watcher.store.events import record_events
from watcher.store.inbox import REFUSED, SUBJECT, close_inbound, find_inbound, list_refusals, take_revision

log = structlog.get_logger()

INBOUND_TASK = "apply_inbound"
WAIT_SECONDS: Final = 0.25
MOST_WAITS: Final = 20
"""What one webhook needs may be in another that came before it and is being applied just now."""


async def defer_inbound(conn: AsyncConnection, tenant: str, source: str, inbound_id: str, *, about: str) -> None:
    """Have a stored webhook applied once committed. What is `about` one thing is applied in the order of its coming."""
    lock = f"inbound:{tenant}:{about}"
    await defer(conn, INBOUND_TASK, lock=lock, tenant=tenant, source=source, inbound_id=inbound_id)


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


class Inbound:
    """Its method is a job, and may run any number of times."""

    def __init__(self, sources: Sources, *, clock: Clock, new_id: Callable[[str], str]) -> None:
        """`sources`: the store, and where asks are looked up."""
        self._database = sources.database
        self._settings = sources.settings
        self._clock = clock
        self._new_id = new_id
        self._sources = sources

    async def apply_inbound(self, tenant: str, source: str, inbound_id: str) -> None:
        """Apply one webhook, or tell why not. Once handled it is never looked at again."""
        owner = self._settings.tenants.get(tenant)
        if owner is None:
            log.warning("inbound.no_tenant", tenant=tenant, source=source)
            return
        for waits in range(MOST_WAITS + 1):
            try:
                await self._try(owner, source, inbound_id, patient=waits < MOST_WAITS)
            except _TooEarly:
                await asyncio.sleep(WAIT_SECONDS)
            else:
                return

    async def _try(self, owner: Tenant, source: str, inbound_id: str, *, patient: bool) -> None:
        stamp = Stamp(self._clock.now(), self._new_id)
        mine = {"tenant": owner.id, "source": source, "inbound_id": inbound_id}
        findings = await self._look_up(owner, source, inbound_id, now=stamp.now)
        async with self._database.begin() as conn:
            row = await find_inbound(conn, owner.id, source, inbound_id, lock=True)
            if row is None or row["handled_at"] is not None:
                return
            outcome, events = await self._handle(conn, row, owner, findings, stamp)
            early = outcome == "refused" and await has_earlier(conn, INBOUND_TASK, mine, alike={"tenant": owner.id})
            if early and patient:
                raise _TooEarly
            await close_inbound(conn, row, outcome, about=describe(row["payload"]), now=stamp.now)
            await record_events(conn, events, now=stamp.now, new_id=self._new_id)
        log.info("inbound.handled", tenant=owner.id, source=source, inbound=inbound_id, outcome=outcome)

    async def _look_up(self, owner: Tenant, source: str, inbound_id: str, *, now: datetime) -> Findings | Exception:
        """What an ask has to know, while nothing is locked. Or why that can't be found: raised in its turn."""
        async with self._database.begin() as conn:
            row = await find_inbound(conn, owner.id, source, inbound_id)
        kind = None if row is None else KINDS.get(row["payload"]["type"])
        if row is None or row["handled_at"] is not None or kind is None or not kind.asks:
            return Findings()
        try:
            body = validate(kind.body, row["payload"]["data"])
            return await look_up(body, owner.id, self._sources, now=now, kind=NeedKind(kind.about))
        except Exception as error:
            if list_faults(error) is None:
                raise
            return error

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
