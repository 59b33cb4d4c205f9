"""Top-ups and their sessions: rows in and out. Whoever changes one has locked its wallet first."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import RowMapping, and_, insert, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from chains.model import BlockRef, Holding, NetworkId
from watcher.model import Destination, NeedKind, Session, SessionState, TopUp, TopUpStatus
from watcher.store.tables import need, session, top_up, top_up_need, wallet

CHUNK = 5_000
"""Keys in one statement: PostgreSQL takes 65,535 parameters."""
ACTIVE = (TopUpStatus.OPEN.value, TopUpStatus.SETTLING.value)


async def lock_wallet(conn: AsyncConnection, tenant: str, wallet_id: str) -> RowMapping | None:
    """The wallet's row, locked until the transaction ends: one writer a wallet, in one order, so nothing deadlocks."""
    query = select(wallet).where(wallet.c.tenant == tenant, wallet.c.id == wallet_id).with_for_update()
    return (await conn.execute(query)).mappings().one_or_none()


async def find_top_up(conn: AsyncConnection, top_up_id: str) -> TopUp | None:
    """By id, whoever's it is; callers that answer a tenant compare it."""
    row = (await conn.execute(select(top_up).where(top_up.c.id == top_up_id))).mappings().one_or_none()
    return None if row is None else read_top_up(row)


async def lock_top_up(conn: AsyncConnection, top_up_id: str) -> TopUp | None:
    """The top-up as it is once its wallet is locked."""
    found = await find_top_up(conn, top_up_id)
    if found is None:
        return None
    await lock_wallet(conn, found.tenant, found.wallet)
    return await find_top_up(conn, top_up_id)


async def find_active(conn: AsyncConnection, wallets: Sequence[tuple[str, str]]) -> list[TopUp]:
    """Open and settling top-ups of these (tenant, wallet) pairs, oldest first."""
    found: list[TopUp] = []
    for i in range(0, len(wallets), CHUNK):
        these = tuple_(top_up.c.tenant, top_up.c.wallet).in_(wallets[i : i + CHUNK])
        rows = await conn.execute(select(top_up).where(these, top_up.c.status.in_(ACTIVE)))
        found += [read_top_up(row) for row in rows.mappings()]
    return sorted(found, key=lambda t: (t.created_at, t.id))


async def insert_top_up(conn: AsyncConnection, new: TopUp) -> None:
    """Store a new top-up. A second open one of its scope violates `uq_top_up_open`."""
    await conn.execute(insert(top_up).values(_row(new)))


async def link_funding(conn: AsyncConnection, found: TopUp, kind: NeedKind) -> None:
    """A top-up is for its wallet's own sake: the need, by the wallet's id, begins anew with each."""
    for destination in found.destinations:
        await _link(conn, found, kind, destination.holding)


async def _link(conn: AsyncConnection, new: TopUp, kind: NeedKind, holding: Holding) -> None:
    key = {
        "tenant": new.tenant,
        "kind": kind.value,
        "id": new.wallet,
        "network": holding.network,
        "asset": holding.asset,
        "address": holding.address,
    }
    state = {
        "wallet": new.wallet,
        "amount": new.needed,
        "state": "short",
        "expires_at": new.expires_at,
        "updated_at": new.created_at,
    }
    values = upsert(need).values(**key, **state, created_at=new.created_at)
    await conn.execute(values.on_conflict_do_update(index_elements=list(key), set_=state))
    await conn.execute(upsert(top_up_need).values(top_up=new.id, **key).on_conflict_do_nothing())


async def settle_needs(conn: AsyncConnection, top_up_id: str, state: str, *, now: Any) -> None:
    """A wallet's own needs behind an ended top-up become `covered`, `cancelled` or `expired`."""
    own = need.c.kind.in_([NeedKind.FUNDING.value, NeedKind.NEW_WALLET.value])
    linked = and_(*(need.c[k] == top_up_need.c[k] for k in ("tenant", "kind", "id", "network", "asset", "address")))
    query = update(need).where(linked, own, top_up_need.c.top_up == top_up_id).values(state=state, updated_at=now)
    await conn.execute(query)


async def find_subjects(conn: AsyncConnection, top_up_id: str) -> list[dict[str, str]]:
    """What a top-up is for, as the API says it: a wallet's funding is for the wallet, and so is what is added to it."""
    linked = and_(*(need.c[k] == top_up_need.c[k] for k in ("tenant", "kind", "id", "network", "asset", "address")))
    query = select(need.c.kind, need.c.id, need.c.wallet).join(top_up_need, linked)
    query = query.where(top_up_need.c.top_up == top_up_id)
    wallet_kinds = (NeedKind.FUNDING, NeedKind.NEW_WALLET, NeedKind.ADD_FUNDS)
    found = {
        ("wallet", mine) if NeedKind(kind) in wallet_kinds else (kind, id_)
        for kind, id_, mine in await conn.execute(query)
    }
    return [{"object": kind, "id": id_} for kind, id_ in sorted(found)]


async def update_top_up(conn: AsyncConnection, top_up_id: str, values: Mapping[str, Any]) -> TopUp:
    """Write columns and read the whole row back."""
    query = update(top_up).where(top_up.c.id == top_up_id).values(**values).returning(top_up)
    return read_top_up((await conn.execute(query)).mappings().one())


async def find_sessions(conn: AsyncConnection, top_up_id: str) -> list[Session]:
    """All attempts, first to last."""
    query = select(session).where(session.c.top_up == top_up_id).order_by(session.c.attempt)
    return [read_session(row) for row in (await conn.execute(query)).mappings()]


async def find_session_by_stripe_id(conn: AsyncConnection, tenant: str, stripe_id: str) -> Session | None:
    """The attempt that made Stripe's session, within one tenant."""
    query = select(session).where(session.c.tenant == tenant, session.c.stripe_id == stripe_id)
    row = (await conn.execute(query)).mappings().one_or_none()
    return None if row is None else read_session(row)


async def insert_session(conn: AsyncConnection, values: Mapping[str, Any]) -> None:
    """A new attempt, before its call."""
    await conn.execute(insert(session).values(**values))


async def update_session(conn: AsyncConnection, top_up_id: str, attempt: int, values: Mapping[str, Any]) -> None:
    """Write columns of one attempt."""
    query = update(session).where(session.c.top_up == top_up_id, session.c.attempt == attempt)
    await conn.execute(query.values(**values))


def read_session(row: RowMapping) -> Session:
    """A row as its dataclass."""
    names = Session.__dataclass_fields__
    return Session(**{name: row[name] for name in names if name != "state"}, state=SessionState(row["state"]))


def read_top_up(row: RowMapping) -> TopUp:
    """A row as its dataclass."""
    special = {"status", "destinations", "decided", "received", "timeline"}
    plain = {name: row[name] for name in TopUp.__dataclass_fields__ if name not in special}
    return TopUp(
        **plain,
        status=TopUpStatus(row["status"]),
        destinations=tuple(_read_destination(d) for d in row["destinations"]),
        decided=BlockRef(row["decided_height"], row["decided_hash"]),
        received=None if row["received"] is None else tuple(row["received"]),
        timeline=tuple(row["timeline"]),
    )


def _row(new: TopUp) -> dict[str, Any]:
    special = {"decided", "destinations", "received", "timeline"}
    row = {name: getattr(new, name) for name in TopUp.__dataclass_fields__ if name not in special}
    row["status"] = new.status.value
    row["destinations"] = write_destinations(new.destinations)
    row["decided_height"], row["decided_hash"] = new.decided.number, new.decided.hash
    row["received"] = None if new.received is None else list(new.received)
    row["timeline"] = list(new.timeline)
    return row


def write_destinations(destinations: Sequence[Destination]) -> list[dict[str, Any]]:
    """As JSON. Base units are text: JSON readers are at liberty to make floats of numbers."""
    return [
        {
            "network_name": d.network_name,
            "symbol": d.symbol,
            "decimals": d.decimals,
            "network": d.holding.network,
            "asset": d.holding.asset,
            "address": d.holding.address,
            "baseline": None if d.baseline is None else str(d.baseline),
            "since": d.since,
        }
        for d in destinations
    ]


def _read_destination(d: Mapping[str, Any]) -> Destination:
    return Destination(
        network_name=d["network_name"],
        symbol=d["symbol"],
        decimals=d["decimals"],
        holding=Holding(NetworkId(d["network"]), d["asset"], d["address"]),
        baseline=None if d["baseline"] is None else int(d["baseline"]),
        since=d["since"],
    )
