"""A connection for an operator's command: it may take its time, and block its thread."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DBAPIError

from watcher.store.causes import say
from watcher.store.database import connect_arguments, psycopg_url
from watcher.store.errors import StoreUnavailable

LOCK_SECONDS: Final = 60
"""Longest wait for a lock that a daemon's transaction holds; those last `TRANSACTION_SECONDS` at most."""
READ: Final = "REPEATABLE READ"
"""One snapshot for a whole transaction."""
WRITE: Final = "READ COMMITTED"


@contextmanager
def connect(url: str, *, isolation: str = WRITE) -> Iterator[Connection]:
    """One transaction, committed at the end. Whatever goes wrong on the way to PostgreSQL is `StoreUnavailable`."""
    engine = create_engine(
        psycopg_url(url),
        isolation_level=isolation,
        connect_args=connect_arguments(url, statement_seconds=0, transaction_seconds=0, lock_seconds=LOCK_SECONDS),
        hide_parameters=True,
        pool_size=1,
    )
    try:
        with engine.begin() as conn:
            yield conn
    except DBAPIError as error:
        raise StoreUnavailable(f"PostgreSQL: {say(error.orig)}") from None
    except psycopg.Error as error:
        raise StoreUnavailable(f"PostgreSQL: {say(error)}") from None
    finally:
        engine.dispose()


def driver(conn: Connection) -> psycopg.Connection[Any]:
    """Psycopg's connection below, in the same transaction."""
    raw = conn.connection.driver_connection
    if not isinstance(raw, psycopg.Connection):
        raise TypeError("not a psycopg connection")
    return raw
