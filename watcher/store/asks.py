"""Asks and their needs: rows in and out. Whoever changes one has locked its wallet first."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, and_, func, insert, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from chains.model import Holding, NetworkId
from watcher.asks.analysis import read_analysis, write_analysis
from watcher.asks.model import ASK_KINDS, LIVING, Ask, Link, Mode, Need, NeedKey, State
from watcher.model import BillLine, NeedKind
from watcher.store.tables import ask, holding, need, top_up, top_up_need
from watcher.store.top_ups import ACTIVE, lock_wallet

CHUNK = 5_000
COUNTED = (*ASK_KINDS, NeedKind.ADD_FUNDS)
"""Kinds whose needs are weighed one by one; funding is a requirement of its wallet."""
_KEY = ("tenant", "kind", "id", "network", "asset", "address")

AskKey = tuple[str, NeedKind, str]
"""Tenant, kind, id."""


async def find_ask(conn: AsyncConnection, key: AskKey) -> Ask | None:
    """One ask."""
    tenant, kind, id_ = key
    query = select(ask).where(ask.c.tenant == tenant, ask.c.kind == kind.value, ask.c.id == id_)
    row = (await conn.execute(query)).mappings().one_or_none()
    return None if row is None else read_ask(row)


async def claim_ask(conn: AsyncConnection, key: AskKey) -> Ask | None:
    """The ask, or None while there is none: two proposals of one id wait for each other here, whatever their wallets.

    Claimed before a wallet is locked.
    """
    tenant, kind, id_ = key
    name = func.hashtextextended(f"{tenant}/{kind.value}/{id_}", 0)
    await conn.execute(select(func.pg_advisory_xact_lock(name)))
    return await find_ask(conn, key)


async def lock_ask(conn: AsyncConnection, key: AskKey) -> Ask | None:
    """The ask as it is once its wallet is locked."""
    found = await find_ask(conn, key)
    if found is None:
        return None
    await lock_wallet(conn, found.tenant, found.wallet)
    return await find_ask(conn, key)


async def insert_ask(conn: AsyncConnection, new: Ask, needs: Sequence[Need]) -> None:
    """A new ask with its needs; their holdings come into being with it."""
    row = {name: getattr(new, name) for name in Ask.__dataclass_fields__}
    row |= {"kind": new.kind.value, "status": new.status.value, "body": dict(new.body)}
    row["analysis"] = None if new.analysis is None else write_analysis(new.analysis)
    await conn.execute(insert(ask).values(**row))
    for each in needs:
        await save_need(conn, each)


async def save_need(conn: AsyncConnection, new: Need) -> None:
    """Insert, or begin anew what was over."""
    h = new.key.holding
    row = upsert(holding).values(network=h.network, asset=h.asset, address=h.address)
    await conn.execute(row.on_conflict_do_nothing())
    values = {
        "wallet": new.wallet,
        "place": new.place,
        "mode": new.mode.value,
        "amount": new.amount,
        "gas_limit": new.gas_limit,
        "lines": write_lines(new.lines),
        "state": new.state.value,
        "refusal": new.refusal,
        "since": new.since,
        "closed_at": new.closed_at,
        "bill": new.bill,
        "expires_at": new.expires_at,
        "created_at": new.created_at,
        "updated_at": new.created_at,
    }
    statement = upsert(need).values(**_row_key(new.key), **values)
    await conn.execute(statement.on_conflict_do_update(index_elements=list(_KEY), set_=values))


async def update_ask(conn: AsyncConnection, changed: Ask, values: Mapping[str, Any]) -> Ask:
    """Write columns and read the whole row back."""
    mine = (ask.c.tenant == changed.tenant, ask.c.kind == changed.kind.value, ask.c.id == changed.id)
    row = (await conn.execute(update(ask).where(*mine).values(**values).returning(ask))).mappings().one()
    return read_ask(row)


async def update_need(conn: AsyncConnection, key: NeedKey, values: Mapping[str, Any]) -> None:
    """Write columns of one need."""
    mine = and_(*(need.c[name] == value for name, value in _row_key(key).items()))
    await conn.execute(update(need).where(mine).values(**values))


async def find_needs(conn: AsyncConnection, key: AskKey) -> list[Need]:
    """All needs of an ask, in their places."""
    tenant, kind, id_ = key
    query = select(need).where(need.c.tenant == tenant, need.c.kind == kind.value, need.c.id == id_)
    return [read_need(row) for row in (await conn.execute(query.order_by(need.c.place))).mappings()]


async def find_needs_by_key(conn: AsyncConnection, keys: Collection[NeedKey]) -> list[Need]:
    """These needs, as they are now."""
    wanted = [tuple(_row_key(key).values()) for key in sorted(keys)]
    query = select(need).where(tuple_(*(need.c[name] for name in _KEY)).in_(wanted))
    return [read_need(row) for row in (await conn.execute(query)).mappings()]


async def find_living_needs(conn: AsyncConnection, holdings: Collection[Holding]) -> list[Need]:
    """The counted needs of these holdings that are not over."""
    keys = sorted((h.network, h.asset, h.address) for h in holdings)
    found: list[Need] = []
    for i in range(0, len(keys), CHUNK):
        here = tuple_(need.c.network, need.c.asset, need.c.address).in_(keys[i : i + CHUNK])
        rows = await conn.execute(select(need).where(here, *_counted()))
        found += [read_need(row) for row in rows.mappings()]
    return found


def _counted() -> tuple[Any, Any]:
    return need.c.kind.in_([k.value for k in COUNTED]), need.c.state.in_([s.value for s in LIVING])


def unclosed() -> Any:
    """What `ix_need_unclosed` lists: needs that something may still be asked for."""
    return and_(need.c.closed_at.is_(None), *_counted())


def awaited(network: NetworkId) -> Any:
    """Selects asset and address of what some open or settling top-up is for: followed to its end, met or not."""
    same = and_(*(need.c[name] == top_up_need.c[name] for name in _KEY))
    active = top_up.c.status.in_(ACTIVE)
    joined = need.join(top_up_need, same).join(top_up, top_up.c.id == top_up_need.c.top_up)
    return select(need.c.asset, need.c.address).select_from(joined).where(need.c.network == network, active)


async def link_needs(conn: AsyncConnection, top_up: str, keys: Collection[NeedKey]) -> None:
    """A top-up is for these needs, too."""
    for key in sorted(keys):
        await conn.execute(upsert(top_up_need).values(top_up=top_up, **_row_key(key)).on_conflict_do_nothing())


async def find_links(conn: AsyncConnection, top_ups: Collection[str]) -> list[Link]:
    """What these top-ups are for."""
    same = and_(*(need.c[name] == top_up_need.c[name] for name in _KEY))
    found: list[Link] = []
    ids = sorted(top_ups)
    for i in range(0, len(ids), CHUNK):
        query = (
            select(top_up_need, need.c.state, need.c.closed_at)
            .join(need, same)
            .where(top_up_need.c.top_up.in_(ids[i : i + CHUNK]))
        )
        rows = (await conn.execute(query)).mappings()
        found += [Link(r["top_up"], read_key(r), State(r["state"]), r["closed_at"] is not None) for r in rows]
    return found


async def find_top_ups_of(conn: AsyncConnection, key: AskKey) -> list[str]:
    """Ids of the top-ups that were ever opened for an ask."""
    tenant, kind, id_ = key
    query = select(top_up_need.c.top_up).where(
        top_up_need.c.tenant == tenant, top_up_need.c.kind == kind.value, top_up_need.c.id == id_
    )
    return list((await conn.execute(query.distinct())).scalars())


async def list_asks(
    conn: AsyncConnection,
    tenant: str,
    kind: NeedKind,
    *,
    limit: int,
    behind: Ask | None = None,
    wallet: str | None = None,
    status: str | None = None,
    updated_after: datetime | None = None,
) -> list[Ask]:
    """A tenant's asks of one kind, oldest first."""
    query = select(ask).where(ask.c.tenant == tenant, ask.c.kind == kind.value)
    if wallet is not None:
        query = query.where(ask.c.wallet == wallet)
    if status is not None:
        query = query.where(ask.c.status == status)
    if updated_after is not None:
        query = query.where(ask.c.updated_at > updated_after)
    if behind is not None:
        query = query.where(tuple_(ask.c.created_at, ask.c.id) > (behind.created_at, behind.id))
    rows = (await conn.execute(query.order_by(ask.c.created_at, ask.c.id).limit(limit))).mappings()
    return [read_ask(row) for row in rows]


async def list_living(conn: AsyncConnection, tenant: str, wallet: str) -> list[Ask]:
    """A wallet's asks that are not over, oldest first."""
    mine = (ask.c.tenant == tenant, ask.c.wallet == wallet, ask.c.status.in_([s.value for s in LIVING]))
    rows = await conn.execute(select(ask).where(*mine).order_by(ask.c.created_at, ask.c.kind, ask.c.id))
    return [read_ask(row) for row in rows.mappings()]


async def list_expired(conn: AsyncConnection, now: datetime, limit: int) -> list[AskKey]:
    """Asks whose time is over."""
    query = (
        select(ask.c.tenant, ask.c.kind, ask.c.id)
        .where(ask.c.expires_at <= now, ask.c.status.in_([s.value for s in LIVING]))
        .order_by(ask.c.expires_at)
        .limit(limit)
    )
    return [(tenant, NeedKind(kind), id_) for tenant, kind, id_ in await conn.execute(query)]


async def end_needs(conn: AsyncConnection, key: AskKey, state: State, now: datetime) -> None:
    """The ask is over, and with it all that it needs."""
    tenant, kind, id_ = key
    mine = (need.c.tenant == tenant, need.c.kind == kind.value, need.c.id == id_)
    await conn.execute(update(need).where(*mine).values(state=state.value, closed_at=now, updated_at=now))


async def is_pointless(conn: AsyncConnection, top_up: str) -> bool:
    """Whether everything that a top-up is for is over."""
    links = await find_links(conn, [top_up])
    return not any(x.state.living for x in links)


def read_ask(row: RowMapping) -> Ask:
    """A row as its dataclass."""
    special = {"kind", "status", "received", "analysis"}
    plain = {name: row[name] for name in Ask.__dataclass_fields__ if name not in special}
    received = None if row["received"] is None else tuple(row["received"])
    analysis = None if row["analysis"] is None else read_analysis(row["analysis"])
    return Ask(**plain, kind=NeedKind(row["kind"]), status=State(row["status"]), received=received, analysis=analysis)


def read_need(row: RowMapping) -> Need:
    """A row as its dataclass."""
    plain = ("wallet", "place", "gas_limit", "refusal", "since", "closed_at", "bill", "expires_at", "created_at")
    return Need(
        **{name: row[name] for name in plain},
        key=read_key(row),
        mode=Mode(row["mode"]),
        lines=tuple(BillLine(line["what"], int(line["amount"]), line["extra"]) for line in row["lines"] or ()),
        state=State(row["state"]),
    )


def read_key(row: RowMapping) -> NeedKey:
    """The key columns of a need, wherever they stand."""
    at = Holding(NetworkId(row["network"]), row["asset"], row["address"])
    return NeedKey(row["tenant"], NeedKind(row["kind"]), row["id"], at)


def write_lines(lines: Sequence[BillLine]) -> list[dict[str, Any]]:
    """As JSON; base units are text."""
    return [{"what": line.what, "amount": str(line.amount), "extra": dict(line.extra)} for line in lines]


def _row_key(key: NeedKey) -> dict[str, Any]:
    h = key.holding
    values = (key.tenant, key.kind.value, key.id, h.network, h.asset, h.address)
    return dict(zip(_KEY, values, strict=True))


async def count_open(conn: AsyncConnection, tenant: str, wallet: str) -> int:
    """How many asks of a wallet are not over."""
    mine = (ask.c.tenant == tenant, ask.c.wallet == wallet, ask.c.status.in_([s.value for s in LIVING]))
    return int((await conn.execute(select(func.count()).select_from(ask).where(*mine))).scalar_one())
