"""What a backend may tell by webhook: the shape of each kind, and what comes of it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import Field, model_validator
from sqlalchemy.ext.asyncio import AsyncConnection

from config.errors import FieldError
from config.model import Settings, Tenant
from watcher.api.fields import Id
from watcher.api.routing import validate
from watcher.clock import Stamp
from watcher.model import NewEvent
from watcher.registration import remove_wallet
from watcher.shapes import Strict
from watcher.store.wallets import claim_wallet
from watcher.wallet_body import Addresses, WalletBody, merge, write_wallet
from watcher.wallet_plan import Refused


class Subject(Strict):
    """Which thing it is about. Of two revisions of one thing the higher counts, in whatever order they come."""

    id: Id
    revision: Annotated[int, Field(ge=0, lt=2**63)] | None = None


class WalletCreated(WalletBody, Subject):
    """The body of the PUT, with the wallet's id."""


class WalletUpdated(WalletBody, Subject):
    """The JSON merge patch, with the wallet's id: null removes, what is not named stays."""

    addresses: Addresses = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _leave_out_what_is_removed(cls, patch: Any) -> Any:
        return merge({}, patch)


class WalletRemoved(Subject):
    """The wallet's id alone."""


@dataclass(frozen=True, slots=True)
class Told:
    """One webhook of a backend, about to be applied."""

    tenant: Tenant
    settings: Settings
    stamp: Stamp
    received_at: datetime
    data: Mapping[str, Any] = field(repr=False)
    """As it came."""
    body: Any = field(repr=False)
    """The model named by its kind."""


Apply = Callable[[AsyncConnection, Told], Awaitable[Sequence[NewEvent]]]
"""Does it, and gives the events to be recorded last. What it raises that `list_faults` knows refuses the webhook."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One type of webhook."""

    about: str
    """The object that its revision and its place in the order belong to."""
    body: type[Subject]
    apply: Apply


async def _register(conn: AsyncConnection, told: Told) -> Sequence[NewEvent]:
    return await _write(conn, told, told.data, told.body)


async def _change(conn: AsyncConnection, told: Told) -> Sequence[NewEvent]:
    """A change that comes before the creation is one, if it says enough for that and has a revision to be sure by."""
    row = await claim_wallet(conn, told.tenant.id, told.body.id)
    living = row is not None and row["deleted_at"] is None
    if not living and not (told.body.revision is not None and told.body.addresses):
        raise Refused([FieldError("/id", "not_found", "is no wallet that is watched")])
    merged = merge(row["body"] if row is not None and living else {}, dict(told.data))
    return await _write(conn, told, merged, validate(WalletCreated, merged))


async def _write(conn: AsyncConnection, told: Told, raw: Mapping[str, Any], body: WalletCreated) -> Sequence[NewEvent]:
    tenant, settings, stamp = told.tenant, told.settings, told.stamp
    done = await write_wallet(
        conn, body.id, raw, body, tenant=tenant, settings=settings, stamp=stamp, told_at=told.received_at
    )
    return done.events


async def _remove(conn: AsyncConnection, told: Told) -> Sequence[NewEvent]:
    """One that isn't there is as good as removed."""
    return await remove_wallet(conn, told.body.id, told.tenant, told.stamp) or ()


KINDS: Final[Mapping[str, Kind]] = {
    "wallet.created": Kind("wallet", WalletCreated, _register),
    "wallet.updated": Kind("wallet", WalletUpdated, _change),
    "wallet.removed": Kind("wallet", WalletRemoved, _remove),
}
LATER: Final = frozenset(
    {"transaction.proposed", "transaction.completed", "checkout.requested", "checkout.cancelled", "swap.requested"}
)
"""Named by the contract, and not done yet: refused by name, so that nothing that was sent is lost."""
