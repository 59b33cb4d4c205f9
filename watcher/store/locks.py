"""Advisory locks on files of the data directory. The kernel drops them with their process, however it ends."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self


class FileLock:
    """One open lock file. Not inherited by child processes, so a left-over server never holds it."""

    def __init__(self, path: Path) -> None:
        """Opens (and creates) the file; raises OSError where that is not allowed."""
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def try_exclusive(self) -> bool:
        """Whether nobody else holds it, shared or not: then it is ours. A shared hold of ours is exchanged."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN):
                return False
            raise
        return True

    def take_shared(self) -> None:
        """Waits for an exclusive holder."""
        fcntl.flock(self._fd, fcntl.LOCK_SH)

    def take_exclusive(self) -> None:
        """Waits for all holders: only for short work, and in a thread."""
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def close(self) -> None:
        """Lets go. Twice is once."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close."""
        self.close()


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold the file's lock alone."""
    with FileLock(path) as lock:
        lock.take_exclusive()
        yield
