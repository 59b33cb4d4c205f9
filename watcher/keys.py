"""Making API keys, beside a running daemon or without one."""

from sqlalchemy import insert

from config.errors import ConfigError, FieldError
from config.model import Settings
from watcher.api.auth import SCOPES, digest_key, make_key
from watcher.clock import Clock
from watcher.store.beside import find_unknown_tenant, open_store
from watcher.store.declare import declare_tenant
from watcher.store.tables import api_key

DEFAULT_SCOPES = tuple(scope for scope in SCOPES if scope != "admin")


async def create_api_key(
    settings: Settings, *, tenant: str, scopes: list[str] | None, clock: Clock, key_id: str
) -> str:
    """A new key for a tenant; only its hash is stored. Raises `ConfigError`, `StoreError`."""
    wanted = scopes or list(DEFAULT_SCOPES)
    errors = [
        FieldError("--scope", "unknown_scope", f"{s} is none of {' '.join(SCOPES)}") for s in wanted if s not in SCOPES
    ]
    errors += find_unknown_tenant(settings, tenant)
    if errors:
        raise ConfigError("keys create", errors)
    key = make_key()
    async with open_store(settings) as database:
        now = clock.now()
        async with database.begin() as conn:
            await declare_tenant(conn, tenant, now=now)
            row = {"id": key_id, "tenant": tenant, "digest": digest_key(key), "scopes": wanted, "created_at": now}
            await conn.execute(insert(api_key).values(**row))
    return key
