"""One pool of connections to PostgreSQL, and transactions on it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import psycopg
from sqlalchemy import URL, event, make_url, text
from sqlalchemy.exc import (
    DBAPIError,
    InterfaceError,
    InternalError,
    InvalidatePoolError,
    InvalidRequestError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from watcher.store.causes import say
from watcher.store.errors import StoreUnavailable
from watcher.store.identity import Identity

CONNECT_SECONDS: Final = 5
STATEMENT_SECONDS: Final = 5
TRANSACTION_SECONDS: Final = 30
"""A frozen server keeps no time: this limit is kept here."""
NAME_END: Final = 40
"""Characters of a replica's name that tell it from others: it ends with an id."""
POOL_SECONDS: Final = 5
"""Longest wait for a free connection."""
POSITION: Final = "topup_watcher_position"
"""Where a transaction leaves the position of its last event, until it is committed."""
ENTER_SECONDS: Final = 6
"""Longest wait for a connection that answers, a full pool included."""
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
    plain = plain.replace(" ", "%20")  # which SQLAlchemy leaves as they are, in a password
    return psycopg.conninfo.make_conninfo(plain, **connect_arguments(url, statement_seconds, replica=replica))


def connect_arguments(
    url: str,
    statement_seconds: int,
    *,
    replica: str = "",
    transaction_seconds: int = TRANSACTION_SECONDS,
    lock_seconds: int = 0,
) -> dict[str, Any]:
    """What every connection of ours is opened with, beside what the URL says. 0: no limit."""
    theirs = psycopg_url(url).query.get("options", "")
    options = {
        "statement_timeout": f"{statement_seconds}s",
        "idle_in_transaction_session_timeout": f"{transaction_seconds}s",
        "lock_timeout": f"{lock_seconds}s",
        "timezone": "UTC",
    }
    return {
        "connect_timeout": CONNECT_SECONDS,
        "options": " ".join([str(theirs), *(f"-c {name}={value}" for name, value in options.items())]).strip(),
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
            connect_args=connect_arguments(url, statement_seconds, replica=replica),
            hide_parameters=True,
        )
        self._identity: Identity | None = None
        event.listen(self.engine.sync_engine, "checkout", self._check)

    def expect(self, identity: Identity) -> None:
        """From now on, transactions are on this store or `StoreReplaced`."""
        self._identity = identity

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """A transaction: committed at the end, rolled back on an exception."""
        entered = False
        try:
            async with asyncio.timeout(self._seconds) as limit, self._enter() as conn:
                entered = True
                conn.info.pop(POSITION, None)
                yield conn
                position = conn.info.pop(POSITION, None)
            if position is not None and self._identity is not None:
                self._identity.note(position)
        except (DBAPIError, PoolTimeoutError) as error:
            raise _sort(error) from error
        except InvalidRequestError as error:
            if entered or "closed" not in str(error):
                raise
            raise StoreUnavailable("PostgreSQL: connections break") from error
        except TimeoutError as error:
            if limit.expired():
                raise StoreUnavailable("PostgreSQL: no answer in time") from error
            raise

    @asynccontextmanager
    async def _enter(self) -> AsyncIterator[AsyncConnection]:
        """A frozen server is noticed here, by the question that each transaction begins with."""
        try:
            async with asyncio.timeout(ENTER_SECONDS):
                conn = await self.engine.connect()
        except TimeoutError as error:
            raise StoreUnavailable("PostgreSQL: no answer in time") from error
        async with AsyncExitStack() as stack:
            stack.push_async_exit(conn)
            await stack.enter_async_context(conn.begin())
            yield conn

    async def ping(self) -> None:
        """Raises `StoreUnavailable` when PostgreSQL does not answer within `CONNECT_SECONDS`, or takes no writes."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS), self.begin() as conn:
                read_only = await conn.execute(text("select current_setting('transaction_read_only')"))
                if read_only.scalar_one() == "on":
                    raise StoreUnavailable("PostgreSQL: takes no writes")
        except TimeoutError as error:
            raise StoreUnavailable("PostgreSQL: no answer in time") from error

    def _check(self, conn: Any, record: object, fairy: object) -> None:
        """Before each transaction, in place of a ping: a broken connection is exchanged, another store is refused."""
        del record, fairy
        try:
            conn.autocommit = True
            if self._identity is None:
                conn.cursor().execute("select 1")
            else:
                self._identity.check_dbapi(conn)
            conn.autocommit = False
        except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable) as error:
            raise StoreUnavailable("PostgreSQL: somebody holds it locked") from error
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise InvalidatePoolError from error

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()


async def driver_connection(conn: AsyncConnection) -> psycopg.AsyncConnection[Any]:
    """Psycopg's connection below, in the same transaction."""
    raw = (await conn.get_raw_connection()).driver_connection
    if not isinstance(raw, psycopg.AsyncConnection):
        raise TypeError("not a psycopg connection")
    return raw


def _sort(error: DBAPIError | PoolTimeoutError) -> Exception:
    """What passes as `StoreUnavailable`; a fault of ours as itself."""
    if isinstance(error, PoolTimeoutError):
        return StoreUnavailable("PostgreSQL: no free connection in time")
    passes = getattr(error.orig, "sqlstate", None) in _PASSING
    if isinstance(error, OperationalError | InterfaceError) or (isinstance(error, InternalError) and passes):
        return StoreUnavailable(f"PostgreSQL: {say(error.orig)}")
    return error
