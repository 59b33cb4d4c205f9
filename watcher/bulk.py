"""Many wallets at once: bodies in, a result for each; and out again as bodies that can be taken in."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from config.errors import FieldError
from config.model import Settings, Tenant
from watcher.api.fields import Id
from watcher.api.problems import Problem, list_faults
from watcher.api.routing import validate
from watcher.api.strict_json import parse_json
from watcher.clock import Stamp
from watcher.model import NewEvent
from watcher.ndjson import MOST_LINE_BYTES, Line
from watcher.registration import Registered
from watcher.render import JSON, render_faults
from watcher.store.database import Database
from watcher.store.errors import StoreUnavailable
from watcher.store.events import record_events
from watcher.store.tables import wallet
from watcher.store.wallets import lock_wallets
from watcher.wallet_body import WalletBody, write_wallet

PAGE: Final = 500
AGAIN_AFTER_SECONDS: Final = (0.2, 1.0, 3.0)
"""Pauses before a batch that the store didn't take is given to it again: writing it twice is writing it once."""
MOST_ID_SHOWN: Final = 64
TOO_LONG: Final = FieldError("", "too_large", f"a line may have {MOST_LINE_BYTES} bytes")


class WalletLine(WalletBody):
    """The body of the PUT, with the wallet's id. Who brings many wallets asks nobody unless told to."""

    id: Id


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one line."""

    line: int
    id: str | None
    """None where none could be read."""
    status: str
    """`created`, `updated`, `unchanged` or `refused`."""
    errors: tuple[FieldError, ...] = ()

    def render(self) -> JSON:
        """As it is answered."""
        return {"line": self.line, "id": self.id, "status": self.status, "errors": render_faults(self.errors)}


@dataclass(frozen=True, slots=True)
class _Wanted:
    line: int
    raw: dict[str, Any]
    body: WalletLine


class Importer:
    """Writes one tenant's wallets, a batch in one transaction."""

    def __init__(self, database: Database, tenant: Tenant, settings: Settings, *, stamp: Callable[[], Stamp]) -> None:
        """`stamp` is asked once a transaction."""
        self._database = database
        self._tenant = tenant
        self._settings = settings
        self._stamp = stamp

    async def write(self, lines: Sequence[Line]) -> list[Result]:
        """Register what they say; the results, in their order, once all is committed. Raises `StoreUnavailable`."""
        read = [_read(line) for line in lines]
        wanted = [one for one in read if isinstance(one, _Wanted)]
        written = {result.line: result for result in await self._write_patiently(wanted)} if wanted else {}
        return [written[one.line] if isinstance(one, _Wanted) else one for one in read]

    async def _write_patiently(self, wanted: Sequence[_Wanted]) -> list[Result]:
        for pause in AGAIN_AFTER_SECONDS:
            try:
                return await self._write(wanted)
            except StoreUnavailable:
                await asyncio.sleep(pause)
        return await self._write(wanted)

    async def _write(self, wanted: Sequence[_Wanted]) -> list[Result]:
        stamp = self._stamp()
        results: list[Result] = []
        events: list[NewEvent] = []
        async with self._database.begin() as conn:
            await lock_wallets(conn, self._tenant.id, [one.body.id for one in wanted])
            for one in wanted:
                done = await self._register(conn, one, stamp)
                if isinstance(done, Registered):
                    results.append(Result(one.line, one.body.id, _name(done)))
                    events += done.events
                else:
                    results.append(Result(one.line, one.body.id, "refused", done))
            await record_events(conn, events, now=stamp.now, new_id=stamp.new_id)
        return results

    async def _register(self, conn: AsyncConnection, one: _Wanted, stamp: Stamp) -> Registered | tuple[FieldError, ...]:
        """What came of it, or why it is refused: then nothing of it is written."""
        try:
            async with conn.begin_nested():
                return await write_wallet(
                    conn, one.body.id, one.raw, one.body, tenant=self._tenant, settings=self._settings, stamp=stamp
                )
        except Exception as error:
            errors = list_faults(error)
            if errors is None:
                raise
            return errors


def _name(done: Registered) -> str:
    if done.created:
        return "created"
    return "updated" if done.changed else "unchanged"


def _read(line: Line) -> _Wanted | Result:
    """A line understood, or refused with every fault."""
    if line.content is None:
        return Result(line.number, None, "refused", (TOO_LONG,))
    raw: Any = None
    try:
        raw = parse_json(line.content)
        if isinstance(raw, dict):
            raw = {"initial": "wait_for_drop", **raw}
        return _Wanted(line.number, raw, validate(WalletLine, raw))
    except Problem as problem:
        named = raw.get("id") if isinstance(raw, dict) else None
        shown = named if isinstance(named, str) and len(named) <= MOST_ID_SHOWN else None
        return Result(line.number, shown, "refused", list_faults(problem) or ())


async def read_wallets(database: Database, tenant: str) -> AsyncIterator[list[JSON]]:
    """Every living wallet as the body that writes it, in pages, in the order of ids."""
    after = ""
    while True:
        query = (
            select(wallet.c.id, wallet.c.body, wallet.c.initial)
            .where(wallet.c.tenant == tenant, wallet.c.deleted_at.is_(None), wallet.c.id > after)
            .order_by(wallet.c.id)
            .limit(PAGE)
        )
        async with database.begin() as conn:
            rows = (await conn.execute(query)).all()
        if not rows:
            return
        yield [{"id": row.id, **row.body, "initial": row.initial} for row in rows]
        after = rows[-1].id
