"""Bring the schema up to this release: all versions in one transaction, so a crash leaves it as it was."""

from importlib import resources
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from watcher.store.database import Database
from watcher.store.errors import SchemaTooNew

LOCK_KEY: Final = 0x746F7075705F7761  # "topup_wa"
"""Advisory lock: of two that start at once, the second waits and finds nothing left to do."""
MIGRATE_SECONDS: Final = 600
"""For one statement: a new index on a large table takes its time, and so does the wait for another starter."""


def make_config() -> Config:
    """Alembic's configuration, pointing into this package wherever it is installed."""
    config = Config()
    config.set_main_option("script_location", str(resources.files("watcher.store.migrations")).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


async def upgrade(url: str, *, revision: str = "head") -> None:
    """Upgrade the database to `revision`.

    Raises `SchemaTooNew` when it was written by a newer release, `StoreUnavailable` when it can't be reached.
    """
    database = Database(url, pool_size=1, overflow=0, statement_seconds=MIGRATE_SECONDS, seconds=MIGRATE_SECONDS)
    try:
        async with database.begin() as conn:
            await conn.run_sync(_upgrade, revision)
    finally:
        await database.close()


def _upgrade(conn: Connection, revision: str) -> None:
    conn.execute(text("select pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
    config = make_config()
    _refuse_newer(conn, ScriptDirectory.from_config(config))
    config.attributes["connection"] = conn
    command.upgrade(config, revision)


def _refuse_newer(conn: Connection, scripts: ScriptDirectory) -> None:
    known = {script.revision for script in scripts.walk_revisions()}
    for found in MigrationContext.configure(conn).get_current_heads():
        if found not in known:
            raise SchemaTooNew(
                f"The database has schema {found}, which this release of topup-watcher does not know: "
                "run the newer release, or restore a backup made before its upgrade."
            )
