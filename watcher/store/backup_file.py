"""A backup as a file: a zip with a member for each table's rows, and a manifest that says what must be in it."""

import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile

from watcher.store.content import CHUNK_BYTES, Sum, Summing
from watcher.store.errors import BackupUnusable

FORMAT: Final = "topup-watcher backup 1"
MANIFEST: Final = "manifest.json"
MOST_MANIFEST_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds, and of what."""

    made_at: datetime
    installation: str
    epoch: str
    schema: str
    """The version of the schema that its rows are of."""
    columns: Mapping[str, tuple[str, ...]]
    sums: Mapping[str, Sum]
    sequences: Mapping[str, int]

    @property
    def rows(self) -> int:
        """Of all tables."""
        return sum(each.rows for each in self.sums.values())


def write_backup(path: Path, write: Callable[["BackupWriter"], Manifest]) -> Manifest:
    """Have `write` fill a new file, which is at `path` once it is whole and on disk. Raises `BackupUnusable`."""
    part = path.with_name(path.name + ".part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            with ZipFile(file, "w", ZIP_DEFLATED, compresslevel=1) as archive:
                manifest = write(BackupWriter(archive))
                archive.writestr(MANIFEST, _render(manifest))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise BackupUnusable(f"{path} can't be written: {error.strerror}.") from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return manifest


class BackupWriter:
    """Adds tables to a backup."""

    def __init__(self, archive: ZipFile) -> None:
        self._archive = archive

    def add(self, table: str, chunks: Iterator[bytes]) -> Sum:
        """All rows of one table. Gives their sum."""
        summing = Summing()
        with self._archive.open(_member(table), "w", force_zip64=True) as member:
            for chunk in chunks:
                summing.add(chunk)
                member.write(chunk)
        return summing.find()


class Backup:
    """`with Backup(path) as backup:` a file that was found whole: every table has its rows and its checksum."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Self:
        """Read it from end to end, before anything is done with it. Raises `BackupUnusable`."""
        try:
            self._archive = ZipFile(self._path)
        except OSError as error:
            raise BackupUnusable(f"{self._path} can't be read: {error.strerror}.") from None
        except BadZipFile:
            raise BackupUnusable(f"{self._path} is no backup of topup-watcher, or its end is missing.") from None
        try:
            self.manifest = self._read_manifest()
            self._check()
        except BaseException:
            self._archive.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._archive.close()

    def read(self, table: str) -> Iterator[bytes]:
        """The table's rows."""
        with self._archive.open(_member(table)) as member:
            while chunk := member.read(CHUNK_BYTES):
                yield chunk

    def _read_manifest(self) -> Manifest:
        try:
            with self._archive.open(MANIFEST) as member:
                return _parse(json.loads(member.read(MOST_MANIFEST_BYTES)))
        except (KeyError, ValueError, TypeError, AttributeError, OSError, EOFError, BadZipFile, zlib.error):
            message = f"{self._path} is no backup of topup-watcher that this release knows."
            raise BackupUnusable(message) from None

    def _check(self) -> None:
        for table, expected in self.manifest.sums.items():
            summing = Summing()
            try:
                for chunk in self.read(table):
                    summing.add(chunk)
            except (KeyError, OSError, EOFError, BadZipFile, zlib.error):
                raise BackupUnusable(f"{self._path} is damaged: the rows of {table} can't be read.") from None
            if summing.find() != expected:
                raise BackupUnusable(f"{self._path} is damaged: the rows of {table} are not those that were written.")


def _member(table: str) -> str:
    return f"tables/{table}.copy"


def _render(manifest: Manifest) -> str:
    body = {**asdict(manifest), "made_at": manifest.made_at.isoformat(), "format": FORMAT}
    return json.dumps(body, indent=1, sort_keys=True)


def _parse(data: Any) -> Manifest:
    if data["format"] != FORMAT:
        raise ValueError
    return Manifest(
        made_at=datetime.fromisoformat(data["made_at"]),
        installation=str(data["installation"]),
        epoch=str(data["epoch"]),
        schema=str(data["schema"]),
        columns={name: tuple(columns) for name, columns in data["columns"].items()},
        sums={name: Sum(int(s["rows"]), str(s["sha256"])) for name, s in data["sums"].items()},
        sequences={name: int(value) for name, value in data["sequences"].items()},
    )
