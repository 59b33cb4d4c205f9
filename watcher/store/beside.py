"""The store for a command, beside a running daemon or without one."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from config.errors import FieldError
from config.model import Settings
from watcher.store.database import Database
from watcher.store.embedded import EmbeddedPostgres
from watcher.store.migrate import upgrade


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[Database]:
    """A pool on the configured store, its schema the newest. Raises `StoreError`."""
    async with AsyncExitStack() as stack:
        url = settings.database_url
        if url is None:
            url = (await stack.enter_async_context(EmbeddedPostgres(settings.data_dir))).url
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
