"""A wallet's address replaced: asked for, told at once, and in force only after a cool-off."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from sqlalchemy import RowMapping, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from chains.addresses import parse_address
from chains.errors import BadAddress
from chains.model import NATIVE, Family, NetworkId
from config.errors import FieldError
from config.model import Network, Settings, Tenant
from watcher.clock import Clock, Stamp
from watcher.model import NewEvent
from watcher.refresh import rebuild
from watcher.render import render_time
from watcher.store.blocks import grow_wallet_version
from watcher.store.database import Database
from watcher.store.events import record_events
from watcher.store.tables import wallet, wallet_address
from watcher.store.wallets import claim_wallet, tell_nudge, tell_watching
from watcher.wallet_plan import EIP155, Refused

log = structlog.get_logger()

BATCH: Final = 500


class NotExpected(Exception):
    """The wallet has another address there than the caller believes."""


async def request_replacement(
    conn: AsyncConnection, row: RowMapping, network: Network, new: str, expected: str, *, tenant: Tenant, stamp: Stamp
) -> tuple[datetime, NewEvent]:
    """Have an address take the place of the one that the wallet has, after the cool-off; a later request replaces it.

    `row` is the wallet's, locked. Raises `Refused`, `NotExpected`. The event is to be recorded last.
    """
    tokens = {a.asset.reference for a in network.assets if a.asset.reference != NATIVE}
    try:
        address = parse_address(network.family, new, allow_off_curve=row["allow_off_curve"], refused=tokens)
    except BadAddress as error:
        raise Refused([FieldError("/address", error.code, str(error))]) from None
    this = _at(tenant.id, row["id"], network.id)
    now = (await conn.execute(select(wallet_address.c.address).where(*this, wallet_address.c.watched))).scalar()
    if now is None:
        raise Refused([FieldError("{network}", "no_address", "the wallet has no address on this network")])
    if expected not in (now, now.lower() if network.family is Family.EVM else now):
        raise NotExpected
    if address == now:
        raise Refused([FieldError("/address", "unchanged", "is the address that it has")])
    at = stamp.now + timedelta(seconds=tenant.cool_off_seconds)
    await conn.execute(update(wallet_address).where(*this).values(next_address=address, next_at=at))
    change = {"network": network.name, "from": now, "to": address, "effective_at": render_time(at)}
    return at, await _tell(conn, tenant, row["id"], {**change, "status": "pending"}, stamp)


class Replacer:
    """Its method is a job that a tick of the clock defers; running it twice does nothing twice."""

    def __init__(self, database: Database, settings: Settings, *, clock: Clock, new_id: Callable[[str], str]) -> None:
        """Everything else that it needs is in the store."""
        self._database = database
        self._settings = settings
        self._clock = clock
        self._new_id = new_id

    async def replace_addresses(self) -> None:
        """Bring into force what has waited long enough."""
        now = self._clock.now()
        names = ("tenant", "wallet", "network")
        due = select(*(wallet_address.c[n] for n in names)).where(wallet_address.c.next_at <= now).limit(BATCH)
        async with self._database.begin() as conn:
            found = [tuple(row) for row in await conn.execute(due.order_by(wallet_address.c.next_at))]
        for tenant, wallet_id, network in found:
            stamp = Stamp(now, self._new_id)
            async with self._database.begin() as conn:
                events = await self._replace(conn, tenant, wallet_id, NetworkId(network), stamp)
                await record_events(conn, events, now=now, new_id=self._new_id)

    async def _replace(
        self, conn: AsyncConnection, tenant_id: str, wallet_id: str, network: NetworkId, stamp: Stamp
    ) -> list[NewEvent]:
        row = await claim_wallet(conn, tenant_id, wallet_id)
        this = _at(tenant_id, wallet_id, network)
        query = select(wallet_address).where(*this, wallet_address.c.next_at <= stamp.now)
        pending = (await conn.execute(query)).mappings().one_or_none()
        tenant, known = self._settings.tenants.get(tenant_id), self._settings.networks.get(network)
        await conn.execute(update(wallet_address).where(*this).values(next_address=None, next_at=None))
        if row is None or row["deleted_at"] is not None or pending is None or tenant is None or known is None:
            return []
        try:
            async with conn.begin_nested():
                events = await self._move(conn, row, known, pending["next_address"], tenant=tenant, stamp=stamp)
        except Refused as error:  # the configuration has changed since: the wallet stays as it is
            log.warning("address.does_not_fit", tenant=tenant_id, wallet=wallet_id, reason=str(error))
            return []
        change = {"network": known.name, "from": pending["address"], "to": pending["next_address"]}
        change |= {"effective_at": render_time(pending["next_at"]), "status": "effective"}
        await tell_watching(conn, [network], tenant.id, wallet_id)
        await tell_nudge(conn, [network], tenant.id, wallet_id)
        return [*events, await _tell(conn, tenant, wallet_id, change, stamp)]

    async def _move(
        self, conn: AsyncConnection, row: RowMapping, network: Network, new: str, *, tenant: Tenant, stamp: Stamp
    ) -> list[NewEvent]:
        """What the wallet means from now on; what was asked for at the old address is withdrawn."""
        changed = {"address": new, "watched_since": None}
        await conn.execute(update(wallet_address).where(*_at(tenant.id, row["id"], network.id)).values(**changed))
        body = {**row["body"], "addresses": _rename(row, network, new, self._settings, tenant)}
        mine = (wallet.c.tenant == tenant.id, wallet.c.id == row["id"])
        written = update(wallet).where(*mine).values(body=body, updated_at=stamp.now).returning(wallet)
        after = (await conn.execute(written)).mappings().one()
        return await rebuild(conn, after, tenant, self._settings, stamp, moved=[network.id])


def _rename(row: RowMapping, network: Network, new: str, settings: Settings, tenant: Tenant) -> dict[str, str]:
    """The registration's addresses with the new one; one for all EVM networks is written out first. Pure."""
    addresses: Mapping[str, str] = row["body"]["addresses"]
    named = {key: text for key, text in addresses.items() if key not in (EIP155, network.name, network.id)}
    if EIP155 in addresses:
        policy = tenant.policies.get(row["policy"])
        networks = [settings.networks[n] for n in (policy.networks if policy else ()) if n in settings.networks]
        others = [n for n in networks if n.family is Family.EVM and n.id != network.id]
        named = {**{n.name: addresses[EIP155] for n in others}, **named}
    return {**named, network.name: new}


def _at(tenant: str, wallet_id: str, network: NetworkId) -> tuple[Any, ...]:
    return (
        wallet_address.c.tenant == tenant,
        wallet_address.c.wallet == wallet_id,
        wallet_address.c.network == network,
    )


async def _tell(
    conn: AsyncConnection, tenant: Tenant, wallet_id: str, change: Mapping[str, Any], stamp: Stamp
) -> NewEvent:
    version = await grow_wallet_version(conn, tenant.id, wallet_id, now=stamp.now)
    return NewEvent(
        id=stamp.new_id("evt"),
        tenant=tenant.id,
        type="wallet.address_changed",
        subject_object="wallet",
        subject_id=wallet_id,
        version=version,
        livemode=tenant.livemode,
        data={"wallet": {"object": "wallet", "id": wallet_id, "version": version}, "change": dict(change)},
    )
