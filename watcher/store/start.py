"""The store as a daemon opens it: the server, the schema of this release, what the configuration declares."""

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime

from config.model import Settings
from notifier.model import Endpoint
from watcher.store.database import Database
from watcher.store.declare import Restored, declare_installation, declare_tenants, find_restored
from watcher.store.embedded import EmbeddedPostgres
from watcher.store.identity import Identity, read_identity
from watcher.store.migrate import upgrade


@dataclass(frozen=True, slots=True)
class Opened:
    """A store that is ready for work."""

    database: Database
    url: str = field(repr=False)
    server: EmbeddedPostgres | None
    """To be watched by whoever runs it; None: the operator's."""
    installation: str
    endpoints: Mapping[tuple[str, str], Endpoint]
    identity: Identity
    restored: Restored | None


async def open_for_daemon(
    settings: Settings, stack: AsyncExitStack, *, now: datetime, new_id: Callable[[str], str], replica: str
) -> Opened:
    """Start or find the server, bring its schema up, declare what is configured. Raises `StoreError`."""
    server = None
    if settings.database_url is None:
        server = await stack.enter_async_context(EmbeddedPostgres(settings.data_dir, daemon=True))
        url = server.url
    else:
        url = settings.database_url
    database = Database(url, pool_size=settings.pool_size, overflow=0, replica=replica)
    stack.push_async_callback(database.close)
    await upgrade(url)
    async with database.begin() as conn:
        installation = await declare_installation(conn, now=now, new_id=new_id)
        tenants = settings.tenants.values()
        endpoints = await declare_tenants(conn, tenants, console=settings.console, now=now)
        identity, restored = await read_identity(conn), await find_restored(conn)
    database.expect(identity)
    return Opened(database, url, server, installation, endpoints, identity, restored)
