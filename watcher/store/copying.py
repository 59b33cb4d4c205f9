"""Rows from a backup, or from another server, into a database of ours: checked by reading them back."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from psycopg import Connection as Driver
from psycopg.sql import SQL, Identifier
from sqlalchemy import Connection, text

from watcher.store.blocking import driver
from watcher.store.content import Summing, Table, list_tables, set_sequences, spell_alike, sum_rows
from watcher.store.errors import BackupUnusable, StoreOccupied
from watcher.store.migrate import upgrade_on
from watcher.store.tables import metadata

AHEAD: Final = 1_000_000
"""Versions go on this far ahead after a restore: what is told then is newer than all that was told before."""
VERSIONED: Final = ("wallet", "app_user", "ask", "top_up", "network_status")
_OURS: Final = """
    select relname from pg_class where relnamespace = current_schema()::regnamespace and relkind = 'r'
        and (relname = any(%s) or relname like 'procrastinate\\_%%')
"""
_FUNCTIONS: Final = """
    select oid::regprocedure::text from pg_proc
    where pronamespace = current_schema()::regnamespace and proname like 'procrastinate\\_%'
"""
_TYPES: Final = """
    select typname from pg_type where typnamespace = current_schema()::regnamespace and typtype in ('e', 'c')
        and typname like 'procrastinate\\_%'
"""
_RESTORED: Final = text("""
    update installation set epoch = :epoch, restored_at = :now, moved_at = null,
        restored_from = case when restored_at > :made_at - interval '1 day' then restored_from
            else least(:made_at, (select max(created_at) from event)) end
""")
_OTHERS: Final = text("""
    select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and usename = current_user
        and application_name like 'topup-watcher%' and pid <> pg_backend_pid()
""")


def refuse_occupied(conn: Connection, advice: str) -> None:
    """Raises `StoreOccupied` for a database that has been used: an installation stands in it."""
    there = conn.execute(text("select to_regclass('installation') is not null")).scalar_one()
    found = conn.execute(text("select id from installation")).scalar_one_or_none() if there else None
    if found is not None:
        wallets = conn.execute(text("select count(*) from wallet")).scalar_one()
        raise StoreOccupied(f"The database holds the installation {found} with {wallets} wallets already; {advice}.")


def remake(conn: Connection, revision: str) -> None:
    """Our tables anew, empty, as of `revision`. Whatever else stands in the database is left alone."""
    raw = driver(conn)
    for (name,) in raw.execute(_OURS, [[*metadata.tables, "alembic_version"]]).fetchall():
        raw.execute(SQL("drop table if exists {} cascade").format(Identifier(name)))
    for (signature,) in raw.execute(_FUNCTIONS).fetchall():
        raw.execute(SQL("drop function if exists ") + SQL(signature) + SQL(" cascade"))
    for (name,) in raw.execute(_TYPES).fetchall():
        raw.execute(SQL("drop type if exists {} cascade").format(Identifier(name)))
    upgrade_on(conn, revision)
    names = SQL(", ").join(Identifier(table.name) for table in list_tables(raw))
    raw.execute(SQL("truncate {}").format(names))


def fill(
    conn: Driver[Any],
    tables: Iterable[Table],
    read: Callable[[Table], Iterator[bytes]],
    sequences: Mapping[str, int],
) -> int:
    """Write what `read` gives for each table, then read it back. Gives the rows. Raises `BackupUnusable`."""
    rows = 0
    spell_alike(conn)
    for table in tables:
        name = Identifier(table.name)
        conn.execute(SQL("alter table {} disable trigger user").format(name))  # a queued job would be queued again
        summing = Summing()
        with conn.cursor() as cursor, cursor.copy(table.copy_in()) as copy:
            for chunk in read(table):
                summing.add(chunk)
                copy.write(chunk)
        conn.execute(SQL("alter table {} enable trigger user").format(name))
        sent = summing.find()
        if sum_rows(conn, table) != sent:
            raise BackupUnusable(f"The rows of {table.name} were not read back as they were written; nothing was kept.")
        rows += sent.rows
    set_sequences(conn, sequences)
    return rows


def begin_new_life(conn: Connection, *, epoch: str, made_at: datetime, now: datetime) -> None:
    """What was put back is not what daemons have known: another epoch, versions above all that were ever told.

    It is looked for what came after its last event: a backup of a server that lags is older than it looks.
    """
    conn.execute(_RESTORED, {"epoch": epoch, "made_at": made_at, "now": now})
    for name in VERSIONED:
        conn.execute(text(f"update {name} set version = version + {AHEAD}"))  # noqa: S608 - fixed names


def dismiss_others(conn: Connection) -> None:
    """Break the connections of daemons and commands: at the next one they meet the new epoch."""
    conn.execute(_OTHERS)
