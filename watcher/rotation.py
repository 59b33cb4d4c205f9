"""What each step looks at beside what the block touched: all of it while it is little, else a part in turn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from chains.model import Fee, Holding, NetworkId
from config.model import Network
from watcher.closing import list_due, list_followed
from watcher.model import Session, TopUp
from watcher.store.attention import FIRST, Place, after, list_attended, list_by_fee, list_unclosed, list_unread
from watcher.store.database import Database
from watcher.store.shards import Share

MOST_UNREAD: Final = 2_000
MOST_ATTENDED: Final = 200
"""Holdings that are low, asked for or needed; when there are more, each comes round every so many steps."""
MOST_JUDGED: Final = 20
"""Of those, the ones that are judged again though nothing has changed."""
MOST_FOLLOWED: Final = 200
"""Top-ups, and needs, whose balance at the closing depth is looked at in one step."""


_FEE_PAGE: Final = 50_000
"""Holdings whose levels are compared with a new fee in one statement."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One step's part."""

    attended: Mapping[Holding, int | None]
    """To be read, each with the balance that is recorded of it."""
    judged: frozenset[Holding]
    """Those of them to be judged though their balance has not changed: time passes, and may change what to do."""
    asks: Sequence[tuple[TopUp, Sequence[Session]]]
    needed: Sequence[tuple[str, str, Holding]]
    """Tenant, wallet, holding."""


class Rotation:
    """Where each rotation of one network stands. It may be lost: it begins anew."""

    def __init__(self) -> None:
        self._unread = FIRST
        self._attended = FIRST
        self._followed = ""
        self._needed = FIRST
        self._judged = 0

    async def next(self, conn: AsyncConnection, share: Share, *, now: datetime, height: int) -> Turn:
        """What was never judged comes before all, and top-ups whose link is due at this height before other ones.

        Of other replicas' shards, nothing.
        """
        network = share.network
        unread = await list_unread(conn, network, behind=self._unread, limit=MOST_UNREAD)
        attended = await list_attended(conn, network, behind=self._attended, limit=MOST_ATTENDED)
        asks = await list_followed(conn, network, now=now, behind=self._followed, limit=MOST_FOLLOWED)
        some = len(asks) >= MOST_FOLLOWED or self._followed
        due = await list_due(conn, network, height=height, limit=MOST_FOLLOWED) if some else []
        judged = frozenset(self._next_judged([at for at, _ in attended]))
        needed = await list_unclosed(conn, network, behind=self._needed, limit=MOST_FOLLOWED)
        self._unread = after(unread, MOST_UNREAD)
        self._attended = after([at for at, _ in attended], MOST_ATTENDED)
        self._followed = asks[-1][0].id if len(asks) >= MOST_FOLLOWED else ""
        self._needed = after([holding for _, _, holding in needed], MOST_FOLLOWED)
        known = {ask.id for ask, _ in asks}
        asks += [each for each in due if each[0].id not in known]
        asks = [each for each in asks if share.has(_address(each[0], network))]
        needed = [each for each in needed if share.has(each[2].address)]
        return Turn(dict.fromkeys(unread) | dict(attended), judged.union(unread), asks, needed)

    def _next_judged(self, attended: Sequence[Holding]) -> Sequence[Holding]:
        if len(attended) <= MOST_JUDGED:
            return attended
        self._judged = (self._judged + MOST_JUDGED) % len(attended)
        return [*attended, *attended][self._judged : self._judged + MOST_JUDGED]


async def list_moved(database: Database, network: Network, fee: Fee) -> set[Holding]:
    """Holdings that stand otherwise since the fee has moved: found by comparing columns, page by page."""
    moved: set[Holding] = set()
    behind: Place | None = FIRST
    while behind is not None:
        async with database.begin() as conn:
            cost = fee.cost(network.typical_gas)
            found, behind = await list_by_fee(conn, network.id, cost, behind=behind, limit=_FEE_PAGE)
        moved.update(found)
    return moved


def _address(ask: TopUp, network: NetworkId) -> str:
    return next(d.holding.address for d in ask.destinations if d.holding.network == network)
