"""API keys: shown once, kept as hashes, and making one changes nothing else."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from config.errors import ConfigError
from config.model import Settings
from notifier.model import Endpoint
from tests.fakes.clock import ManualClock
from tests.fakes.settings import make_settings, make_tenant
from watcher.api.auth import SCOPES
from watcher.keys import create_api_key
from watcher.store.database import Database
from watcher.store.declare import declare_tenants
from watcher.store.tables import api_key, endpoint, metadata

CLOCK = ManualClock()
HOOK = Endpoint("main", "https://backend.example/hooks", ("whsec_a2tra2tra2tra2tra2tra2tra2tra2tra2s=",))


def settings_of(url: str, tmp: Path) -> Settings:
    return replace(make_settings(tmp, tenant=replace(make_tenant(), endpoints=(HOOK,))), database_url=url)


async def make(settings: Settings, **changes: Any) -> str:
    given: dict[str, Any] = {"tenant": "default", "scopes": None, "clock": CLOCK, "key_id": "key_1", **changes}
    return await create_api_key(settings, **given)


async def test_a_key_is_kept_as_a_hash(database: Database, database_url: str, tmp_path: Path) -> None:
    """What is stored can't be used; without a word on scopes it may everything but admin."""
    key = await make(settings_of(database_url, tmp_path))
    async with database.begin() as conn:
        row = (await conn.execute(select(api_key))).mappings().one()
    assert key.removeprefix("tuw_") not in str(dict(row))
    assert key.encode() not in row["digest"]
    assert set(row["scopes"]) == set(SCOPES) - {"admin"}


async def test_every_key_is_another(database_url: str, tmp_path: Path) -> None:
    """Two keys of one tenant are both good, and nobody can guess the second from the first."""
    settings = settings_of(database_url, tmp_path)
    keys = {await make(settings, key_id=f"key_{i}", scopes=["wallets:read"]) for i in range(3)}
    assert len(keys) == 3
    assert all(len(key) > 40 for key in keys)


async def test_all_that_is_wrong_is_told_before_anything_is_made(database_url: str, tmp_path: Path) -> None:
    """An unknown scope and an unknown tenant, in one run."""
    with pytest.raises(ConfigError) as refused:
        await make(settings_of(database_url, tmp_path), tenant="nobody", scopes=["wallets:read", "wallets:eat"])
    assert {(e.field, e.code) for e in refused.value.errors} == {
        ("--scope", "unknown_scope"),
        ("--tenant", "unknown_tenant"),
    }


async def test_making_a_key_changes_nothing_else(database: Database, database_url: str, tmp_path: Path) -> None:
    """Beside a running daemon: an endpoint that a 410 has switched off stays off."""
    settings = settings_of(database_url, tmp_path)
    async with database.begin() as conn:
        await declare_tenants(conn, settings.tenants.values(), console=False, now=CLOCK.now())
        await conn.execute(update(endpoint).values(enabled=False))
        before = await count(conn)
    await make(replace(settings, console=True))
    async with database.begin() as conn:
        assert await count(conn) == {**before, "api_key": 1}
        assert (await conn.execute(select(endpoint.c.enabled))).scalars().all() == [False]


async def count(conn: Any) -> dict[str, int]:
    """Rows of every table."""
    return {
        name: (await conn.execute(select(func.count()).select_from(table))).scalar_one()
        for name, table in metadata.tables.items()
    }
