"""What backends sent: kept as it came until it is handled, then only what it was about; and how far each thing is."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import RowMapping, func, select, text, update
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from watcher.store.tables import event, inbox, revision

REFUSED = "inbound.refused"
SUBJECT = "inbound"
_COLUMNS: Final = ("tenant", "source", "id", "digest", "about", "outcome", "received_at")

Key = tuple[str, str, str]
"""Tenant, source and id."""


_KEEP: Final = text("""
    insert into inbox (tenant, source, id, digest, payload, about, outcome, received_at, handled_at)
    select tenant, source, id, digest, cast(payload as jsonb), about, outcome, received_at,
        case when outcome is not null then received_at end
    from unnest(
        cast(:tenant as text[]), cast(:source as text[]), cast(:id as text[]), cast(:digest as bytea[]),
        cast(:payload as text[]), cast(:about as text[]), cast(:outcome as text[]), cast(:received_at as timestamptz[])
    ) with ordinality as came (tenant, source, id, digest, payload, about, outcome, received_at, place)
    order by place
    on conflict do nothing
    returning tenant, source, id
""")
_DIGESTS: Final = text("""
    select tenant, source, id, inbox.digest
    from inbox join unnest(cast(:tenant as text[]), cast(:source as text[]), cast(:id as text[]))
        as known (tenant, source, id) using (tenant, source, id)
""")
_FIRST: Final = text("""
    select first.tenant, first.source, first.id, first.payload
    from inbox mine join inbox first on first.tenant = mine.tenant and first.about = mine.about
    where mine.tenant = :tenant and mine.source = :source and mine.id = :id and mine.handled_at is null
        and first.handled_at is null and first.about is not null and first.position <= mine.position
    order by first.position limit 1
""")
_EARLIER: Final = text("""
    select exists (
        select from inbox
        where tenant = :tenant and handled_at is null and about is not null and position < :position
    )
""")


@dataclass(frozen=True, slots=True)
class Arrival:
    """A webhook that was verified and understood, and the job that acts on it."""

    tenant: str
    source: str
    id: str
    digest: bytes
    """SHA-256 of the body."""
    payload: Mapping[str, Any] = field(repr=False)
    received_at: datetime
    about: str | None = None
    """The thing, `wallet:w-1`, when it is to be applied."""
    outcome: str | None = None
    """When there is nothing to be done about it."""
    task: str | None = None
    args: Mapping[str, Any] = field(default_factory=dict)
    together: bool = False
    """One job may serve several of these: their sources and ids stand in its `also`."""

    @property
    def key(self) -> Key:
        """What tells it from others."""
        return self.tenant, self.source, self.id


async def insert_arrivals(conn: AsyncConnection, arrivals: Sequence[Arrival]) -> tuple[set[Key], dict[Key, bytes]]:
    """Store those that are new, in the order given: their keys, and the digests of those that were there already.

    Of several with one key, the first is stored. Whoever sends one of them elsewhere just now is waited for.
    """
    columns = {name: [getattr(each, name) for each in arrivals] for name in _COLUMNS}
    columns["payload"] = [json.dumps(each.payload) for each in arrivals]
    new = {(row[0], row[1], row[2]) for row in await conn.execute(_KEEP, columns)}
    known = {each.key for each in arrivals} - new
    if not known:
        return new, {}
    keys = dict(zip(("tenant", "source", "id"), map(list, zip(*sorted(known), strict=True)), strict=True))
    return new, {(row[0], row[1], row[2]): row[3] for row in await conn.execute(_DIGESTS, keys)}


async def find_first_waiting(conn: AsyncConnection, tenant: str, source: str, inbound_id: str) -> RowMapping | None:
    """What is to be applied first for this webhook's turn to come: an earlier one about the same thing, or itself."""
    mine = {"tenant": tenant, "source": source, "id": inbound_id}
    return (await conn.execute(_FIRST, mine)).mappings().one_or_none()


async def has_earlier(conn: AsyncConnection, row: RowMapping) -> bool:
    """Whether a webhook of the tenant that came before this row's is not applied yet."""
    mine = {"tenant": row["tenant"], "position": row["position"]}
    return bool((await conn.execute(_EARLIER, mine)).scalar_one())


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
