"""`topup-watcher db backup` and `restore`: one moment of the store as a file, and back."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from psycopg import Connection as Driver
from sqlalchemy import Connection, text

from watcher.store.backup_file import Backup, BackupWriter, Manifest, write_backup
from watcher.store.blocking import READ, connect, driver
from watcher.store.content import Table, list_sequences, list_tables, read_rows, spell_alike
from watcher.store.copying import begin_new_life, dismiss_others, fill, refuse_occupied, remake
from watcher.store.errors import BackupUnusable, StoreUnavailable
from watcher.store.migrate import LOCK_KEY, find_schema, known_schemas, newest, upgrade_on


def back_up(url: str, path: Path, *, now: datetime) -> Manifest:
    """Write what the store holds now. One snapshot, so that a daemon may go on writing. Raises `StoreError`."""
    with connect(url, isolation=READ) as conn:
        schema, installation, epoch = find_installation(conn)
        raw = driver(conn)
        spell_alike(raw)
        tables = list_tables(raw)

        def write(file: BackupWriter) -> Manifest:
            return Manifest(
                made_at=now,
                installation=installation,
                epoch=epoch,
                schema=schema,
                columns={table.name: tuple(c.name for c in table.columns) for table in tables},
                sums={table.name: file.add(table.name, read_rows(raw, table)) for table in tables},
                sequences=list_sequences(raw),
            )

        return write_backup(path, write)


def restore(url: str, path: Path, *, replace: bool, epoch: str) -> Manifest:
    """Put a backup into the store, all of it or nothing. Raises `StoreError`.

    `replace`: what the store holds now is dropped, even behind a running daemon, which then refuses it.
    """
    with Backup(path) as backup:
        manifest = backup.manifest
        if manifest.schema not in known_schemas():
            message = f"{path} has schema {manifest.schema}, which this release does not know: run the newer release."
            raise BackupUnusable(message)
        with connect(url) as conn:
            conn.execute(text("select pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
            if not replace:
                refuse_occupied(conn, "--replace drops it")
            remake(conn, manifest.schema)
            raw = driver(conn)
            fill(raw, _match(raw, manifest, path), lambda table: backup.read(table.name), manifest.sequences)
            upgrade_on(conn, newest())
            begin_new_life(conn, epoch=epoch, made_at=manifest.made_at, now=datetime.now(UTC))
            dismiss_others(conn)
        return manifest


def find_installation(conn: Connection) -> tuple[str, str, str]:
    """Schema, installation and epoch. Raises `StoreUnavailable` for a database that no daemon has used."""
    schema = find_schema(conn)
    if schema != newest():
        older = "is empty" if schema is None else f"has schema {schema}, and this release works on {newest()}"
        raise StoreUnavailable(f"The database {older}: run topup-watcher db upgrade first.")
    row = conn.execute(text("select id, epoch from installation")).one_or_none()
    if row is None:
        raise StoreUnavailable("No daemon has used this database yet: there is nothing to copy.")
    return schema, row.id, row.epoch


def _match(conn: Driver[tuple[object, ...]], manifest: Manifest, path: Path) -> Iterator[Table]:
    """The database's tables with the backup's columns, in an order in which they can be filled."""
    tables = list_tables(conn)
    if {t.name: {c.name for c in t.columns} for t in tables} != {t: set(c) for t, c in manifest.columns.items()}:
        raise BackupUnusable(f"{path} does not have the tables of schema {manifest.schema}.")
    for table in tables:
        by_name = {column.name: column for column in table.columns}
        yield Table(table.name, tuple(by_name[name] for name in manifest.columns[table.name]))
