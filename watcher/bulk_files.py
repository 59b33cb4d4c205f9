"""`topup-watcher wallets import` and `export`: a file into the store or out of it, and how far it is."""

import asyncio
import os
import secrets
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from config.errors import ConfigError, FieldError
from config.model import Settings
from watcher.bulk import Importer, Result, read_wallets
from watcher.clock import Stamp, SystemClock, make_new_id
from watcher.ndjson import LineReader, write_line
from watcher.store.beside import find_unknown_tenant, open_store
from watcher.store.declare import declare_installation, declare_tenant

CHUNK_BYTES: Final = 64 * 1024
SAID_EVERY: Final = 10_000
"""Lines between two words on how far it is, where there is no terminal."""
STATUSES: Final = ("created", "updated", "unchanged", "refused")


def import_file(settings: Settings, path: Path, *, tenant: str) -> int:
    """Register a file's wallets; refused lines are printed. Gives how many. Raises `ConfigError`, `StoreError`."""
    _check_tenant(settings, tenant, "wallets import")
    try:
        with path.open("rb") as file, Tally(path.stat().st_size) as tally:
            asyncio.run(_import(settings, file, tenant, tally))
    except OSError as error:
        raise _unusable(path, error) from None
    return tally.counts["refused"]


def export_file(settings: Settings, path: Path, *, tenant: str) -> int:
    """Write a tenant's wallets to a file that is there once it is whole. Gives how many. Raises as `import_file`."""
    _check_tenant(settings, tenant, "wallets export")
    part = path.with_name(path.name + ".part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            count = asyncio.run(_export(settings, file, tenant))
        part.replace(path)
    except OSError as error:
        raise _unusable(path, error) from None
    sys.stderr.write(f"{count} wallets\n")
    return count


async def _import(settings: Settings, file: BinaryIO, tenant: str, tally: "Tally") -> None:
    clock = SystemClock()
    new_id = make_new_id(clock, secrets.randbits)

    async def read() -> bytes:
        return file.read(CHUNK_BYTES)

    async with open_store(settings) as database:
        async with database.begin() as conn:
            await declare_installation(conn, now=clock.now(), new_id=new_id)
            await declare_tenant(conn, tenant, now=clock.now())
        owner = settings.tenants[tenant]
        importer = Importer(database, owner, settings, stamp=lambda: Stamp(clock.now(), new_id))
        reader = LineReader(read)
        while lines := await reader.read_batch():
            tally.add(await importer.write(lines), at=file.tell())


async def _export(settings: Settings, file: BinaryIO, tenant: str) -> int:
    count = 0
    async with open_store(settings) as database:
        async for page in read_wallets(database, tenant):
            file.writelines(write_line(body) for body in page)
            count += len(page)
    return count


class Tally:
    """Counts results and shows them on stderr: a bar on a terminal, plain lines otherwise. Refused ones are printed."""

    def __init__(self, total_bytes: int) -> None:
        """Of a file of that size."""
        console = Console(stderr=True)
        columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
        self._shows_bar = console.is_terminal
        self._bar = Progress(
            *columns, console=console, disable=not self._shows_bar, redirect_stdout=sys.stdout.isatty()
        )
        self._task = self._bar.add_task("", total=total_bytes)
        self.counts: Counter[str] = Counter()

    def add(self, results: Sequence[Result], *, at: int) -> None:
        """One batch, read up to byte `at`."""
        before = self.counts.total()
        self.counts.update(result.status for result in results)
        for result in results:
            for error in result.errors:
                place = f"line {result.line}: {'' if result.id is None else result.id + ': '}"
                sys.stdout.write(_printable(f"{place}{error.field}: {error.message}") + "\n")
        self._bar.update(self._task, completed=at, description=self._say())
        if not self._shows_bar and self.counts.total() // SAID_EVERY > before // SAID_EVERY:
            sys.stderr.write(self._say() + "\n")

    def _say(self) -> str:
        total = self.counts.total()
        return f"{total} lines: " + ", ".join(f"{self.counts[status]} {status}" for status in STATUSES)

    def __enter__(self) -> Self:
        """Show it from now on."""
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Leave the sum, however it ended."""
        self._bar.stop()
        sys.stdout.flush()
        sys.stderr.write(self._say() + "\n")


def _printable(text: str) -> str:
    """A terminal must not obey what stands in a file."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _check_tenant(settings: Settings, tenant: str, command: str) -> None:
    if errors := find_unknown_tenant(settings, tenant):
        raise ConfigError(command, errors)


def _unusable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(str(path), [FieldError("/", "unusable", f"can't be read or written: {error.strerror}")])
