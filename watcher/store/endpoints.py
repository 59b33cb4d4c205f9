"""Receivers of events: rows in and out. One that is no more stays for the deliveries that name it, unseen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, DateTime, RowMapping, delete, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.model import Endpoint
from watcher.store.tables import delivery, endpoint, tenant

CONFIG: Final = "config"
API: Final = "api"
REMOVED: Final = "removed"
"""Sources: declared in the configuration, made over the API, or no more."""
ENDPOINT_REMOVED: Final = "endpoint removed"
"""What a delivery ended of whose endpoint is no more."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TICK: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class SigningSecret:
    """One secret of an endpoint."""

    value: str = field(repr=False)
    until: datetime | None = None
    """None: the newest, which has no end yet."""


@dataclass(frozen=True, slots=True)
class StoredEndpoint:
    """A living endpoint."""

    id: str
    source: str
    url: str = field(repr=False)
    events: tuple[str, ...]
    include_links: bool
    enabled: bool
    secrets: tuple[SigningSecret, ...] = field(repr=False)
    """Newest first; none when they stand in the configuration."""
    gone_at: datetime | None
    created_at: datetime
    updated_at: datetime

    @property
    def version(self) -> int:
        """Grows with each change, over deletes too: each write is at least a millisecond after the last."""
        return (self.updated_at - _EPOCH) // _TICK

    def find_secrets(self, now: datetime) -> tuple[SigningSecret, ...]:
        """Those that are valid."""
        return tuple(s for s in self.secrets if s.until is None or s.until > now)

    def make_target(self, now: datetime) -> Endpoint:
        """Where to send, signed with what is valid now."""
        secrets = tuple(s.value for s in self.find_secrets(now))
        return Endpoint(self.id, self.url, secrets, self.events, self.include_links, self.enabled)


async def hold_endpoints(conn: AsyncConnection, tenant_id: str) -> None:
    """One at a time: from here to the commit nobody else changes which endpoints this tenant has."""
    await conn.execute(select(tenant.c.id).where(tenant.c.id == tenant_id).with_for_update(key_share=True))


async def find_endpoint(conn: AsyncConnection, tenant_id: str, endpoint_id: str) -> StoredEndpoint | None:
    """A living one, or None."""
    query = select(endpoint).where(*_living(tenant_id), endpoint.c.id == endpoint_id)
    row = (await conn.execute(query)).mappings().one_or_none()
    return None if row is None else _read(row)


async def list_endpoints(
    conn: AsyncConnection, tenant_id: str, *, limit: int, after: str | None, updated_after: datetime | None
) -> list[StoredEndpoint]:
    """A page in the order of ids."""
    query = select(endpoint).where(*_living(tenant_id))
    if after is not None:
        query = query.where(endpoint.c.id > after)
    if updated_after is not None:
        query = query.where(endpoint.c.updated_at > updated_after)
    rows = (await conn.execute(query.order_by(endpoint.c.id).limit(limit))).mappings()
    return [_read(row) for row in rows]


async def count_endpoints(conn: AsyncConnection, tenant_id: str) -> int:
    """Those made over the API."""
    mine = (endpoint.c.tenant == tenant_id, endpoint.c.source == API)
    return int((await conn.execute(select(func.count()).select_from(endpoint).where(*mine))).scalar_one())


async def insert_endpoint(
    conn: AsyncConnection, tenant_id: str, endpoint_id: str, values: Mapping[str, Any], *, now: datetime
) -> StoredEndpoint:
    """A new one, or one that had been removed, written anew."""
    written = {"source": API, "gone_at": None, "created_at": now, **values}
    new = upsert(endpoint).values(tenant=tenant_id, id=endpoint_id, updated_at=now, **written)
    again = new.on_conflict_do_update(
        index_elements=["tenant", "id"], set_={**written, "updated_at": find_later(now)}
    ).returning(endpoint)
    return _read((await conn.execute(again)).mappings().one())


async def update_endpoint(
    conn: AsyncConnection, tenant_id: str, endpoint_id: str, values: Mapping[str, Any], *, now: datetime
) -> StoredEndpoint | None:
    """The living one as it is afterwards; without values, only its version grows."""
    this = (*_living(tenant_id), endpoint.c.id == endpoint_id)
    query = update(endpoint).where(*this).values(**values, updated_at=find_later(now)).returning(endpoint)
    row = (await conn.execute(query)).mappings().one_or_none()
    return None if row is None else _read(row)


async def leave_alone(conn: AsyncConnection, tenant_id: str, target: Endpoint, *, now: datetime) -> None:
    """Its receiver wants no more: off until it is written anew, or declared elsewhere. If that is done, it stays on."""
    there = (*_living(tenant_id), endpoint.c.id == target.id, endpoint.c.url == target.url)
    gone = {"enabled": False, "gone_at": now, "updated_at": find_later(now)}
    await conn.execute(update(endpoint).where(*there).values(**gone))


async def remove_endpoints(
    conn: AsyncConnection, tenant_id: str, *conditions: ColumnElement[bool], now: datetime
) -> None:
    """Mark them, with their secrets forgotten and what was on its way to them ended.

    The rows go later: a transaction that is open now may be about to queue a delivery for one.
    """
    gone = {"source": REMOVED, "enabled": False, "secrets": [], "updated_at": find_later(now)}
    removed = update(endpoint).where(*_living(tenant_id), *conditions).values(**gone).returning(endpoint.c.id)
    ids = (await conn.execute(removed)).scalars().all()
    if ids:
        pending = (delivery.c.tenant == tenant_id, delivery.c.endpoint.in_(ids), delivery.c.status == "pending")
        dead = {"status": "dead", "next_attempt_at": None, "last_detail": ENDPOINT_REMOVED, "updated_at": now}
        await conn.execute(update(delivery).where(*pending).values(**dead))


async def forget_endpoints(conn: AsyncConnection, *, before: datetime) -> None:
    """Delete what was removed before then and no delivery names any more."""
    named = select(delivery.c.endpoint).where(
        delivery.c.tenant == endpoint.c.tenant, delivery.c.endpoint == endpoint.c.id
    )
    over = (endpoint.c.source == REMOVED, endpoint.c.updated_at < before)
    await conn.execute(delete(endpoint).where(*over, ~named.exists()))


def find_later(now: datetime) -> Any:
    """For `updated_at`: now, and never less than a millisecond after the last change, so that the version grows."""
    return func.greatest(literal(now, DateTime(timezone=True)), endpoint.c.updated_at + _TICK)


def write_secrets(secrets: Sequence[SigningSecret]) -> list[dict[str, Any]]:
    """As the column holds them."""
    return [{"secret": s.value, "until": None if s.until is None else s.until.isoformat()} for s in secrets]


def _read(row: RowMapping) -> StoredEndpoint:
    secrets = tuple(
        SigningSecret(s["secret"], None if s["until"] is None else datetime.fromisoformat(s["until"]))
        for s in row["secrets"]
    )
    kept = ("id", "source", "url", "include_links", "enabled", "gone_at", "created_at", "updated_at")
    return StoredEndpoint(**{name: row[name] for name in kept}, events=tuple(row["events"]), secrets=secrets)


def _living(tenant_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return endpoint.c.tenant == tenant_id, endpoint.c.source != REMOVED
