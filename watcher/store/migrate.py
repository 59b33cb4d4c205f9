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
            await conn.run_sync(upgrade_on, revision)
    finally:
        await database.close()


def upgrade_on(conn: Connection, revision: str) -> None:
    """The same in a transaction of the caller's."""
    conn.execute(text("select pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
    config = make_config()
    _refuse_newer(conn)
    config.attributes["connection"] = conn
    command.upgrade(config, revision)


def find_schema(conn: Connection) -> str | None:
    """The version that the database is of; None for one that is not ours yet. Raises `SchemaTooNew`."""
    heads = MigrationContext.configure(conn).get_current_heads()
    _refuse_newer(conn)
    return heads[0] if heads else None


def known_schemas() -> set[str]:
    """The versions that this release can bring up to its own."""
    return {script.revision for script in ScriptDirectory.from_config(make_config()).walk_revisions()}


def newest() -> str:
    """The version that this release works on."""
    return str(ScriptDirectory.from_config(make_config()).get_current_head())


def _refuse_newer(conn: Connection) -> None:
    for found in MigrationContext.configure(conn).get_current_heads():
        if found not in known_schemas():
            raise SchemaTooNew(
                f"The database has schema {found}, which this release of topup-watcher does not know: "
                "run the newer release, or restore a backup made before its upgrade."
            )
