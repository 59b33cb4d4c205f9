"""What a database of ours holds, table by table: read in one order, so that two copies have one checksum."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any, Final

from psycopg import Connection
from psycopg.sql import SQL, Composed, Identifier

from watcher.store.tables import metadata

CHUNK_BYTES: Final = 64 * 1024
_COLUMNS: Final = """
    select c.relname, a.attname, a.attcollation <> 0,
        array_position(i.indkey::int2[], a.attnum)
    from pg_class c
        join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
        left join pg_index i on i.indrelid = c.oid and i.indisprimary
    where c.relnamespace = current_schema()::regnamespace and c.relkind = 'r'
        and (c.relname = any(%s) or c.relname like 'procrastinate\\_%%') order by c.relname, a.attnum
"""
_REFERENCES: Final = """
    select c.relname, r.relname from pg_constraint f
        join pg_class c on c.oid = f.conrelid join pg_class r on r.oid = f.confrelid
    where f.contype = 'f' and f.connamespace = current_schema()::regnamespace and c.oid <> r.oid
"""
_SEQUENCES: Final = """
    select sequencename, last_value from pg_sequences
    where schemaname = current_schema()
        and (sequencename like 'procrastinate\\_%' or sequencename = 'inbox_position_seq')
"""
_SPELLING: Final = """
    set local datestyle = 'ISO'; set local intervalstyle = 'postgres'; set local bytea_output = 'hex';
    set local extra_float_digits = 1; set local timezone = 'UTC'; set local client_encoding = 'UTF8'
"""


@dataclass(frozen=True, slots=True)
class Column:
    """One column, and how rows are put into order by it."""

    name: str
    is_text: bool
    place: int | None
    """Within the primary key."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table that is read and written as lines of COPY's text format."""

    name: str
    columns: tuple[Column, ...]

    def copy_out(self) -> Composed:
        """All rows by primary key, text by its bytes: servers sort it by rules of their own otherwise."""
        key = sorted((c for c in self.columns if c.place is not None), key=lambda c: c.place or 0) or self.columns
        order = SQL(", ").join(Identifier(c.name) + SQL(' collate "C"' if c.is_text else "") for c in key)
        return SQL("copy (select {} from {} order by {}) to stdout").format(self._names(), Identifier(self.name), order)

    def copy_in(self) -> Composed:
        """The same rows into a table that has the same columns, in whatever order it has them."""
        return SQL("copy {} ({}) from stdin").format(Identifier(self.name), self._names())

    def _names(self) -> Composed:
        return SQL(", ").join(Identifier(c.name) for c in self.columns)


@dataclass(frozen=True, slots=True)
class Sum:
    """What two copies of a table agree in."""

    rows: int
    sha256: str


class Summing:
    """Counts lines and hashes them as they pass."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._rows = 0

    def add(self, chunk: bytes) -> None:
        """The next bytes. A row is a line: COPY writes a line break within a value as two characters."""
        self._digest.update(chunk)
        self._rows += chunk.count(b"\n")

    def find(self) -> Sum:
        """Of all so far."""
        return Sum(self._rows, self._digest.hexdigest())


def spell_alike(conn: Connection[Any]) -> None:
    """Have this transaction's values written as every other one of ours writes them, whatever the server's settings."""
    conn.execute(_SPELLING)


def list_tables(conn: Connection[Any]) -> list[Table]:
    """All tables of ours, each after those that it refers to."""
    columns: dict[str, list[Column]] = {}
    for table, name, is_text, place in conn.execute(_COLUMNS, [list(metadata.tables)]):
        columns.setdefault(table, []).append(Column(name, is_text, place))
    order: TopologicalSorter[str] = TopologicalSorter(dict.fromkeys(sorted(columns), ()))
    for table, referred in conn.execute(_REFERENCES):
        if table in columns:
            order.add(table, referred)
    return [Table(name, tuple(columns[name])) for name in order.static_order()]


def list_sequences(conn: Connection[Any]) -> dict[str, int]:
    """The last number of each sequence that was ever used."""
    return {name: last for name, last in conn.execute(_SEQUENCES) if last is not None}


def read_rows(conn: Connection[Any], table: Table) -> Iterator[bytes]:
    """The table's rows as COPY writes them, in chunks of whole lines."""
    gathered = bytearray()
    with conn.cursor() as cursor, cursor.copy(table.copy_out()) as copy:
        for line in copy:
            gathered += line
            if len(gathered) >= CHUNK_BYTES:
                yield bytes(gathered)
                gathered.clear()
    if gathered:
        yield bytes(gathered)


def sum_rows(conn: Connection[Any], table: Table) -> Sum:
    """The table's sum, as it is in this transaction."""
    summing = Summing()
    for chunk in read_rows(conn, table):
        summing.add(chunk)
    return summing.find()


def set_sequences(conn: Connection[Any], last: Mapping[str, int]) -> None:
    """Go on counting where another copy stopped."""
    for name, value in last.items():
        conn.execute("select setval(format('%%I', %s::text)::regclass, %s)", [name, value])
