"""What backends sent: kept as it came until it is handled, then only what it was about; and how far each thing is."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, func, select, update
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from watcher.store.tables import event, inbox, revision

REFUSED = "inbound.refused"
SUBJECT = "inbound"


async def keep_inbound(conn: AsyncConnection, values: Mapping[str, Any]) -> bool:
    """Store a row of `inbox`; False when its id is there already. Whoever sent it first is waited for."""
    new = upsert(inbox).values(**values).on_conflict_do_nothing()
    return (await conn.execute(new.returning(inbox.c.id))).first() is not None


async def find_inbound(
    conn: AsyncConnection, tenant: str, source: str, inbound_id: str, *, lock: bool = False
) -> RowMapping | None:
    """The row, or None when it was pruned."""
    query = select(inbox).where(inbox.c.tenant == tenant, inbox.c.source == source, inbox.c.id == inbound_id)
    return (await conn.execute(query.with_for_update() if lock else query)).mappings().one_or_none()


async def close_inbound(
    conn: AsyncConnection, row: RowMapping, outcome: str, *, about: Mapping[str, Any], now: datetime
) -> None:
    """Say what it came to. Of the payload stays what it was `about`: there may have been an IP address in it."""
    mine = (inbox.c.tenant == row["tenant"], inbox.c.source == row["source"], inbox.c.id == row["id"])
    await conn.execute(update(inbox).where(*mine).values(handled_at=now, outcome=outcome, payload=dict(about)))


async def take_revision(
    conn: AsyncConnection, tenant: str, kind: str, thing_id: str, number: int, *, now: datetime
) -> bool:
    """Whether this is later than all that was heard of the thing; then it is the last."""
    new = upsert(revision).values(tenant=tenant, object=kind, id=thing_id, last=number, updated_at=now)
    later = new.on_conflict_do_update(
        index_elements=["tenant", "object", "id"],
        set_={"last": new.excluded.last, "updated_at": now},
        where=revision.c.last < new.excluded.last,
    )
    return (await conn.execute(later.returning(revision.c.last))).first() is not None


async def list_refusals(conn: AsyncConnection, tenant: str, inbound_id: str) -> list[RowMapping]:
    """What was told of refusing webhooks of this id, first to last. Nobody else tells more before the commit."""
    key = func.hashtextextended(f"{tenant}/{inbound_id}", 2)
    await conn.execute(select(func.pg_advisory_xact_lock(key)))
    query = (
        select(event.c.version, event.c.data)
        .where(event.c.tenant == tenant, event.c.subject_object == SUBJECT, event.c.subject_id == inbound_id)
        .order_by(event.c.version)
    )
    return list((await conn.execute(query)).mappings())


async def forget_addresses(conn: AsyncConnection, *, before: datetime) -> None:
    """Take the IP address out of what came before that time and is still not handled."""
    old = (inbox.c.handled_at.is_(None), inbox.c.received_at <= before)
    held = inbox.c.payload["data"].has_key("customer_ip_address")
    without = inbox.c.payload.delete_path(array(["data", "customer_ip_address"]))
    await conn.execute(update(inbox).where(*old, held).values(payload=without))
