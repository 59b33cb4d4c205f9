"""The embedded PostgreSQL: one server in the data directory, shared by the daemon and the commands beside it."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import structlog

from watcher.store.errors import StoreInUse, StoreUnavailable
from watcher.store.locks import FileLock, hold
from watcher.store.postmaster import Cluster, find_programs
from watcher.store.system_user import find_or_create_user

log = structlog.get_logger()

LOOK_SECONDS: Final = 0.3
"""How often `watch` looks whether the server lives: a read of its process's command line."""


class EmbeddedPostgres:
    """`async with EmbeddedPostgres(data_dir) as server:` a server that answers at `server.url`.

    The first user starts it (or takes over one that a killed daemon left), the last one out stops it. Three lock files
    in the data directory say who is who: `daemon.lock` is held by the one daemon, `users.lock` is shared by everybody
    who needs the server, `server.lock` is held while it is being started or stopped.
    """

    def __init__(self, data_dir: Path, *, daemon: bool = False, settings: Mapping[str, str] | None = None) -> None:
        """`daemon`: claim the directory for this process alone. `settings` are PostgreSQL's own, for this start."""
        self._data_dir = data_dir.absolute()
        self._daemon = daemon
        self._settings = dict(settings or {})
        self._daemon_lock: FileLock | None = None
        self._users_lock: FileLock | None = None
        self._cluster: Cluster | None = None
        self.restarts = 0
        """How often `watch` found the server dead and started it again."""

    @property
    def url(self) -> str:
        """Connection URL of our database, without a password: the socket is open to this user alone."""
        return self._running.url()

    def find_pid(self) -> int | None:
        """The living server's process id."""
        return self._running.find_pid()

    async def __aenter__(self) -> Self:
        """Raises `StoreInUse` beside another daemon, `StoreUnavailable` when the server does not start."""
        task = asyncio.create_task(asyncio.to_thread(self._enter))
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            await task
            await asyncio.to_thread(self._leave)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        """Stop the server unless somebody else uses it. Close all connections of this process before."""
        task = asyncio.create_task(asyncio.to_thread(self._leave))
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            await task
            raise

    async def watch(self) -> None:
        """Start the server again whenever it is found dead. Never returns; raises `StoreUnavailable` on failure."""
        while True:
            if self.find_pid() is None:
                log.warning("postgres.died")
                task = asyncio.create_task(asyncio.to_thread(self._restart))
                try:
                    await asyncio.shield(task)
                except asyncio.CancelledError:
                    await task
                    raise
                self.restarts += 1
                log.info("postgres.restarted", pid=self.find_pid())
            await asyncio.sleep(LOOK_SECONDS)

    @property
    def _running(self) -> Cluster:
        if self._cluster is None:
            raise StoreUnavailable("The embedded PostgreSQL has not been started.")
        return self._cluster

    def _enter(self) -> None:
        self._data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            if self._daemon:
                self._claim()
            cluster = Cluster(self._data_dir / "postgres", find_programs(), find_or_create_user(), self._settings)
            with hold(self._data_dir / "server.lock"):
                self._users_lock = FileLock(self._data_dir / "users.lock")
                self._users_lock.take_shared()
                self._bring_up(cluster)
            self._cluster = cluster
        except BaseException:
            self._let_go()
            raise

    def _claim(self) -> None:
        self._daemon_lock = FileLock(self._data_dir / "daemon.lock")
        if not self._daemon_lock.try_exclusive():
            raise StoreInUse(
                f"Another topup-watcher daemon is already running on {self._data_dir}. "
                "The embedded PostgreSQL serves one; several share one that database.url names."
            )

    def _bring_up(self, cluster: Cluster) -> None:
        if not cluster.exists:
            cluster.create()
        cluster.check_version()
        if cluster.find_pid() is None:
            cluster.start()
        cluster.ensure_database()

    def _restart(self) -> None:
        cluster = self._running
        with hold(self._data_dir / "server.lock"):
            if not cluster.exists:
                raise StoreUnavailable(f"{cluster.directory} has vanished; restore it, nothing is made in its place.")
            if cluster.find_pid() is None:
                cluster.start()

    def _leave(self) -> None:
        if self._cluster is None or self._users_lock is None:
            self._let_go()
            return
        with hold(self._data_dir / "server.lock"):
            try:
                if self._users_lock.try_exclusive():
                    self._cluster.stop()
            finally:
                self._cluster = None
                self._let_go()

    def _let_go(self) -> None:
        for lock in (self._users_lock, self._daemon_lock):
            if lock is not None:
                lock.close()
        self._users_lock = self._daemon_lock = None
