"""The commands as the command line calls them: a server to work on, blocking work in a thread, words to print."""

import asyncio
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from config.errors import ConfigError, FieldError
from config.model import Settings
from watcher.clock import SystemClock, make_new_id
from watcher.db.backup import back_up, restore
from watcher.db.move import move
from watcher.db.report import check_store, upgrade_store
from watcher.store.beside import open_server

T = TypeVar("T")
SCHEMES = ("postgresql://", "postgres://")


def run_upgrade(settings: Settings) -> str:
    """See `upgrade_store`."""
    return _on_server(settings, upgrade_store)


def run_check(settings: Settings) -> list[tuple[str, str | None]]:
    """See `check_store`."""
    return _on_server(settings, check_store)


def run_backup(settings: Settings, path: Path) -> str:
    """Gives a line that says what the file holds."""
    made = _on_server(settings, lambda url: back_up(url, path, now=datetime.now(UTC)))
    return (
        f"{path}: {made.rows} rows of {len(made.sums)} tables, schema {made.schema}, installation {made.installation}"
    )


def run_restore(settings: Settings, path: Path, *, replace: bool) -> str:
    """Gives a line that says what was put back."""
    put = _on_server(settings, lambda url: restore(url, path, replace=replace, epoch=_new_epoch()))
    when = f"{put.made_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return f"{put.rows} rows of {len(put.sums)} tables as of {when}, read back and compared; restart the daemon"


def run_move(settings: Settings, to: str) -> str:
    """Gives a line that says what was moved. Raises `ConfigError` for a URL of something else."""
    if not to.startswith(SCHEMES):
        raise ConfigError("db move", [FieldError("--to", "bad_url", f"must begin with {' or '.join(SCHEMES)}")])
    rows = _on_server(settings, lambda url: move(url, to, epoch=_new_epoch(), now=datetime.now(UTC)))
    return f"{rows} rows moved, read back and compared; set database.url and restart the daemon"


def _on_server(settings: Settings, work: Callable[[str], T]) -> T:
    async def run() -> T:
        async with open_server(settings) as url:
            return await asyncio.to_thread(work, url)

    return asyncio.run(run())


def _new_epoch() -> str:
    return make_new_id(SystemClock(), secrets.randbits)("epo")
