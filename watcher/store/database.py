"""One pool of connections to PostgreSQL, and transactions on it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import psycopg
from sqlalchemy import URL, make_url, text
from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from watcher.store.errors import StoreUnavailable

CONNECT_SECONDS: Final = 5
STATEMENT_SECONDS: Final = 5
TRANSACTION_SECONDS: Final = 30
"""A frozen server keeps no time: this limit is kept here."""
NAME_END: Final = 40
"""Characters of a replica's name that tell it from others: it ends with an id."""
POOL_SECONDS: Final = 5
"""Longest wait for a free connection."""
_PASSING: Final = {"25006", "25P03"}
"""Internal errors of PostgreSQL that pass: it takes no writes (a standby), or we held a transaction too long."""


def psycopg_url(url: str) -> URL:
    """An operator's URL (`postgresql://`, `postgres://`) with the driver that we use."""
    return make_url(url.replace("postgres://", "postgresql://", 1)).set(drivername="postgresql+psycopg")


def name_session(replica: str) -> str:
    """What PostgreSQL shows a replica's sessions as, so that others can end those of a dead one. 63 bytes at most."""
    return f"topup-watcher {replica[-NAME_END:]}".rstrip()


def conninfo(url: str, *, replica: str = "", statement_seconds: int = STATEMENT_SECONDS) -> str:
    """The same for psycopg and procrastinate, with our time-outs. Holds the password: not for a log."""
    plain = psycopg_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.conninfo.make_conninfo(plain, **_connect_arguments(replica, statement_seconds))


def _connect_arguments(replica: str, statement_seconds: int) -> dict[str, Any]:
    options = {
        "statement_timeout": f"{statement_seconds}s",
        "idle_in_transaction_session_timeout": f"{TRANSACTION_SECONDS}s",
        "timezone": "UTC",
    }
    return {
        "connect_timeout": CONNECT_SECONDS,
        "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
        "application_name": name_session(replica),
        "tcp_user_timeout": CONNECT_SECONDS * 1000,
        "keepalives_idle": CONNECT_SECONDS,
    }


class Database:
    """Transactions, and nothing else. Whatever goes wrong on the way to PostgreSQL is `StoreUnavailable`."""

    def __init__(
        self,
        url: str,
        *,
        replica: str = "",
        pool_size: int = 10,
        overflow: int = 10,
        statement_seconds: int = STATEMENT_SECONDS,
        seconds: int = TRANSACTION_SECONDS,
    ) -> None:
        """`url` may be any PostgreSQL URL. `seconds` limits a whole transaction. Connects on first use.

        `replica` is the name of the daemon that uses it.
        """
        self._seconds = seconds
        self.engine: AsyncEngine = create_async_engine(
            psycopg_url(url),
            pool_size=pool_size,
            max_overflow=overflow,
            pool_timeout=POOL_SECONDS,
            pool_pre_ping=True,
            connect_args=_connect_arguments(replica, statement_seconds),
            hide_parameters=True,
        )

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """A transaction: committed at the end, rolled back on an exception."""
        try:
            async with asyncio.timeout(self._seconds) as limit, self.engine.begin() as conn:
                yield conn
        except (OperationalError, InterfaceError) as error:
            raise StoreUnavailable(f"PostgreSQL: {_say(error)}") from error
        except InternalError as error:
            if getattr(error.orig, "sqlstate", None) not in _PASSING:
                raise
            raise StoreUnavailable(f"PostgreSQL: {_say(error)}") from error
        except PoolTimeoutError as error:
            raise StoreUnavailable("PostgreSQL: no free connection in time") from error
        except TimeoutError as error:
            if limit.expired():
                raise StoreUnavailable("PostgreSQL: no answer in time") from error
            raise

    async def ping(self) -> None:
        """Raises `StoreUnavailable` when PostgreSQL does not answer within `CONNECT_SECONDS`, or takes no writes."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS), self.begin() as conn:
                read_only = await conn.execute(text("select current_setting('transaction_read_only')"))
                if read_only.scalar_one() == "on":
                    raise StoreUnavailable("PostgreSQL: takes no writes")
        except TimeoutError as error:
            raise StoreUnavailable("PostgreSQL: no answer in time") from error

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()


async def driver_connection(conn: AsyncConnection) -> psycopg.AsyncConnection[Any]:
    """Psycopg's connection below, in the same transaction."""
    raw = (await conn.get_raw_connection()).driver_connection
    if not isinstance(raw, psycopg.AsyncConnection):
        raise TypeError("not a psycopg connection")
    return raw


def _say(error: DBAPIError) -> str:
    state = getattr(error.orig, "sqlstate", None)
    return f"{type(error.orig).__name__}{f' ({state})' if state else ''}"
