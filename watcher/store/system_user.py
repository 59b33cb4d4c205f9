"""Root may not run PostgreSQL. When root runs us, a system user without shell or home does."""

import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from watcher.store.errors import StoreUnavailable

NAME: Final = "topup-watcher"


@dataclass(frozen=True, slots=True)
class SystemUser:
    """Who runs the server for root."""

    uid: int
    gid: int


def find_or_create_user() -> SystemUser | None:
    """None for an ordinary user, who runs the server himself. Raises `StoreUnavailable` when no user can be made."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(NAME)
    except KeyError:
        _create_user()
        entry = pwd.getpwnam(NAME)
    return SystemUser(entry.pw_uid, entry.pw_gid)


def open_path(path: Path) -> None:
    """Let others pass through the folders that lead to `path`: pass, not list or read."""
    for folder in path.resolve().parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def _create_user() -> None:
    program = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    reason = "PostgreSQL can't run as root: run as an ordinary user, or name a database in database.url."
    if program is None:
        raise StoreUnavailable(reason)
    command = [program, "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", NAME]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=30)  # noqa: S603 - fixed words
    except (OSError, subprocess.SubprocessError) as error:
        try:
            pwd.getpwnam(NAME)  # somebody else was quicker
        except KeyError:
            raise StoreUnavailable(reason) from error
