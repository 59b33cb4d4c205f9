"""What is held back: asks of a tenant, of a network, or all; by the operator's word, or by the storm brake."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from chains.model import NetworkId
from watcher.model import TopUp
from watcher.store.tables import hold

OPERATOR: Final = "operator"
STORM: Final = "storm"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a pause is about."""

    kind: str
    """`tenant`, `network` or `all`."""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Holds:
    """All that is held back now."""

    everything: bool = False
    tenants: frozenset[str] = frozenset()
    paused: frozenset[NetworkId] = frozenset()
    """Networks that the operator has paused."""
    storms: Mapping[NetworkId, datetime] = field(default_factory=dict)
    """Networks that the brake holds, with since when."""

    @property
    def networks(self) -> frozenset[NetworkId]:
        """Networks whose asks wait, whoever said so."""
        return self.paused | self.storms.keys()

    def cover(self, top_up: TopUp) -> bool:
        """Whether this ask waits: one for several networks waits with any of them."""
        reached = {d.holding.network for d in top_up.destinations}
        return self.everything or top_up.tenant in self.tenants or not self.networks.isdisjoint(reached)


async def find_holds(conn: AsyncConnection) -> Holds:
    """As they are now."""
    rows = (await conn.execute(select(hold))).mappings().all()
    return Holds(
        everything=any(row["kind"] == "all" for row in rows),
        tenants=frozenset(row["name"] for row in rows if row["kind"] == "tenant"),
        paused=frozenset(
            NetworkId(row["name"]) for row in rows if row["kind"] == "network" and row["cause"] == OPERATOR
        ),
        storms={NetworkId(row["name"]): row["since"] for row in rows if row["cause"] == STORM},
    )


async def put_hold(
    conn: AsyncConnection, scope: Scope, cause: str, *, now: datetime, facts: Mapping[str, Any] | None = None
) -> bool:
    """Whether it is new."""
    values = upsert(hold).values(kind=scope.kind, name=scope.name, cause=cause, facts=facts, since=now)
    return (await conn.execute(values.on_conflict_do_nothing().returning(hold.c.kind))).first() is not None


async def lift_hold(conn: AsyncConnection, scope: Scope, cause: str) -> bool:
    """Whether there was one."""
    mine = (hold.c.kind == scope.kind, hold.c.name == scope.name, hold.c.cause == cause)
    return (await conn.execute(delete(hold).where(*mine).returning(hold.c.kind))).first() is not None
