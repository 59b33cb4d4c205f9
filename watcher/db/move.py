"""`topup-watcher db move --to URL`: all that the store holds on another server, and the store closed behind it."""

from datetime import datetime

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from watcher.db.backup import find_installation
from watcher.store.blocking import READ, connect, driver
from watcher.store.content import list_sequences, list_tables, read_rows, spell_alike
from watcher.store.copying import dismiss_others, fill, refuse_occupied, remake
from watcher.store.errors import StoreUnavailable
from watcher.store.migrate import LOCK_KEY


def move(url: str, to: str, *, epoch: str, now: datetime) -> int:
    """Copy the store of `url` to `to`, whose database must be empty. Gives the rows. Raises `StoreError`.

    Writers wait until it is done (a daemon answers 503 meanwhile), so nothing comes in between; then the old store is
    closed, and a daemon that still runs on it refuses it.
    """
    with connect(url) as source:
        names = ", ".join(f'"{table.name}"' for table in list_tables(driver(source)))
        find_installation(source)
    with connect(url, isolation=READ) as source:
        source.execute(text(f"lock table {names} in exclusive mode"))  # first of all: the snapshot is taken after it
        schema, _, _ = find_installation(source)
        raw = driver(source)
        spell_alike(raw)
        with connect(to) as target:
            target.execute(text("select pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
            refuse_occupied(target, "name an empty one")
            remake(target, schema)
            there = driver(target)
            rows = fill(there, list_tables(there), lambda table: read_rows(raw, table), list_sequences(raw))
            there.execute("update installation set epoch = %s", [epoch])
        _close(source, epoch=epoch, now=now)
    return rows


def _close(source: Connection, *, epoch: str, now: datetime) -> None:
    """The copy is committed by now: from here on there must not be two that are written to."""
    try:
        source.execute(text("update installation set epoch = :epoch, moved_at = :now"), {"epoch": epoch, "now": now})
        dismiss_others(source)
    except DBAPIError:
        raise StoreUnavailable("The copy is whole, but the old store could not be closed: drop the copy.") from None
