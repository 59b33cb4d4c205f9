"""The store for a command, beside a running daemon or without one."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from config.errors import FieldError
from config.model import Settings
from watcher.store.database import Database
from watcher.store.embedded import EmbeddedPostgres
from watcher.store.migrate import upgrade


@asynccontextmanager
async def open_server(settings: Settings) -> AsyncIterator[str]:
    """The configured server, or the embedded one for as long as this lasts. Gives its URL. Raises `StoreError`."""
    if settings.database_url is not None:
        yield settings.database_url
        return
    async with EmbeddedPostgres(settings.data_dir) as server:
        yield server.url


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[Database]:
    """A pool on the configured store, its schema the newest. Raises `StoreError`."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(open_server(settings))
        await upgrade(url)
        database = Database(url)
        stack.push_async_callback(database.close)
        yield database


def find_unknown_tenant(settings: Settings, tenant: str) -> list[FieldError]:
    """What is wrong with an option `--tenant`."""
    if tenant in settings.tenants:
        return []
    known = ", ".join(settings.tenants)
    return [FieldError("--tenant", "unknown_tenant", f"{tenant} is not in the configuration, which has {known}")]
