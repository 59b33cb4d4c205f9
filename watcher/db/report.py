"""`topup-watcher db upgrade` and `check`: the schema brought up to this release; what a server is and what it lacks."""

from collections.abc import Iterator
from typing import Final

from sqlalchemy import Connection, text

from watcher.store.blocking import connect
from watcher.store.migrate import LOCK_KEY, find_schema, newest, upgrade_on

OLDEST_POSTGRES: Final = 150_000
"""PostgreSQL 15, as the server writes it."""
_SERVER: Final = text("""
    select current_setting('server_version'), current_setting('server_version_num')::int,
        (select ssl from pg_stat_ssl where pid = pg_backend_pid()), inet_client_addr() is null,
        current_setting('server_encoding'), current_setting('transaction_read_only'),
        current_setting('synchronous_commit'), current_setting('fsync')
""")
_CONTENT: Final = text("""
    select id, restored_from, moved_at, (select count(*) from wallet),
        (select count(*) from top_up where status in ('open', 'settling')),
        (select count(*) from procrastinate_jobs where status in ('todo', 'doing'))
    from installation
""")


def upgrade_store(url: str) -> str:
    """Bring the schema up to this release; all of it or nothing. Gives a line that says so. Raises `StoreError`."""
    with connect(url) as conn:
        conn.execute(text("select pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
        before = find_schema(conn)
        upgrade_on(conn, newest())
    if before == newest():
        return f"schema {before} is the newest: nothing to do"
    return f"schema {before or 'none'} -> {newest()}"


def check_store(url: str) -> list[tuple[str, str | None]]:
    """What was looked at, each with its fault or None. Changes nothing. Raises `StoreError`."""
    with connect(url) as conn:
        return [*_check_server(conn), *_check_content(conn)]


def _check_server(conn: Connection) -> Iterator[tuple[str, str | None]]:
    version, number, tls, is_local, encoding, read_only, synchronous, fsync = conn.execute(_SERVER).one()
    too_old = None if number >= OLDEST_POSTGRES else "topup-watcher needs PostgreSQL 15 or newer"
    yield f"PostgreSQL {version}", too_old
    yield f"connection {'by socket' if is_local else 'with TLS' if tls else 'without TLS'}", None
    yield f"encoding {encoding}", None if encoding == "UTF8" else "must be UTF8"
    yield f"read only {read_only}", None if read_only == "off" else "the server takes no writes: is it a standby?"
    durable = synchronous != "off" and fsync == "on"
    yield f"fsync {fsync}, synchronous_commit {synchronous}", None if durable else "what was accepted may be lost"


def _check_content(conn: Connection) -> Iterator[tuple[str, str | None]]:
    schema = find_schema(conn)
    yield f"schema {schema or 'none'}", None if schema == newest() else f"not {newest()}: run topup-watcher db upgrade"
    if schema != newest():
        return
    row = conn.execute(_CONTENT).one_or_none()
    if row is None:
        yield "installation none: no daemon has used this database yet", None
        return
    installation, restored_from, moved_at, wallets, top_ups, jobs = row
    yield f"installation {installation}", None if moved_at is None else f"moved to another server at {moved_at:%F %T}Z"
    if restored_from is not None:
        yield f"restored from a backup of {restored_from:%F %T}Z", None
    yield f"{wallets} wallets, {top_ups} top-ups under way, {jobs} jobs", None
