"""What the configuration declares, brought into the store at start: this installation, tenants, their endpoints."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from config.model import CONSOLE_ENDPOINT, Tenant
from notifier.model import Endpoint
from watcher.store.endpoints import CONFIG, find_later, remove_endpoints
from watcher.store.errors import StoreReplaced
from watcher.store.tables import endpoint, event_position, installation, tenant


@dataclass(frozen=True, slots=True)
class Restored:
    """The life of a store that was put back from a backup."""

    epoch: str
    made_at: datetime
    """When the backup was made."""
    at: datetime
    """When it was put back."""


CONSOLE = Endpoint(id=CONSOLE_ENDPOINT, url="console:", secrets=())
"""Where events are printed, when the configuration says so: an endpoint like any other."""


async def declare_installation(conn: AsyncConnection, *, now: datetime, new_id: Callable[[str], str]) -> str:
    """The id of this store, made at its first start: listing at Stripe never adopts another installation's session.

    Raises `StoreReplaced` for a store whose content has been moved elsewhere.
    """
    first = {"only": True, "id": new_id("ins"), "epoch": new_id("epo"), "created_at": now}
    new = upsert(installation).values(first).on_conflict_do_nothing()
    await conn.execute(new)
    await conn.execute(upsert(event_position).values(only=True, last=0).on_conflict_do_nothing())
    found = (await conn.execute(select(installation.c.id, installation.c.moved_at))).one()
    if found.moved_at is not None:
        raise StoreReplaced(f"This store was moved to another server on {found.moved_at:%Y-%m-%d}: name that one.")
    return str(found.id)


async def find_restored(conn: AsyncConnection) -> Restored | None:
    """The backup that this store was put back from, if it ever was."""
    row = (await conn.execute(select(installation))).one()
    return None if row.restored_at is None else Restored(row.epoch, row.restored_from, row.restored_at)


async def declare_tenant(conn: AsyncConnection, tenant_id: str, *, now: datetime) -> None:
    """Its row, for keys and all else that is a tenant's."""
    await conn.execute(upsert(tenant).values(id=tenant_id, created_at=now).on_conflict_do_nothing())


async def declare_tenants(
    conn: AsyncConnection, tenants: Iterable[Tenant], *, console: bool, now: datetime
) -> dict[tuple[str, str], Endpoint]:
    """Make the rows say what the configuration says. Gives every endpoint by (tenant, id)."""
    endpoints: dict[tuple[str, str], Endpoint] = {}
    for declared in tenants:
        await declare_tenant(conn, declared.id, now=now)
        wanted = [*declared.endpoints, CONSOLE] if console else list(declared.endpoints)
        await _declare_endpoints(conn, declared.id, wanted, now)
        endpoints |= {(declared.id, e.id): e for e in wanted}
    return endpoints


async def _declare_endpoints(conn: AsyncConnection, tenant_id: str, wanted: list[Endpoint], now: datetime) -> None:
    """An id that was made over the API, or removed, is the configuration's from now on."""
    dropped = (endpoint.c.source == CONFIG, endpoint.c.id.not_in([e.id for e in wanted]))
    await remove_endpoints(conn, tenant_id, *dropped, now=now)
    rows = (await conn.execute(select(endpoint).where(endpoint.c.tenant == tenant_id))).mappings()
    known = {row["id"]: row for row in rows}
    for e in wanted:
        row = known.get(e.id)
        still_gone = row is not None and row["source"] == CONFIG and row["url"] == e.url
        gone_at = row["gone_at"] if row is not None and still_gone else None
        values = {
            "source": CONFIG,
            "url": e.url,
            "events": list(e.events),
            "include_links": e.include_links,
            "enabled": e.enabled and gone_at is None,
            "secrets": [],
            "gone_at": gone_at,
        }
        if row is None:
            await conn.execute(
                insert(endpoint).values(tenant=tenant_id, id=e.id, created_at=now, updated_at=now, **values)
            )
        elif any(row[name] != value for name, value in values.items()):
            this = (endpoint.c.tenant == tenant_id, endpoint.c.id == e.id)
            await conn.execute(update(endpoint).where(*this).values(**values, updated_at=find_later(now)))
