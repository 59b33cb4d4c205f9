"""Wallets told of by webhook: created, updated, removed, as by PUT, PATCH and DELETE."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import Field, model_validator
from sqlalchemy.ext.asyncio import AsyncConnection

from config.errors import FieldError
from watcher.api.routing import validate
from watcher.inbound.model import Kind, Subject, Told
from watcher.model import NewEvent
from watcher.registration import remove_wallet
from watcher.store.wallets import claim_wallet
from watcher.wallet_body import Addresses, WalletBody, merge, write_wallet
from watcher.wallet_plan import Refused


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
    return await remove_wallet(conn, told.body.id, told.tenant, told.settings, told.stamp) or ()


KINDS: Final[Mapping[str, Kind]] = {
    "wallet.created": Kind("wallet", WalletCreated, _register),
    "wallet.updated": Kind("wallet", WalletUpdated, _change),
    "wallet.removed": Kind("wallet", WalletRemoved, _remove),
}
