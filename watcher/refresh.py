"""At start, policies that have changed since are carried to the wallets that follow them."""

from collections.abc import Collection

import structlog
from sqlalchemy import RowMapping, and_, exists, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from chains.model import NetworkId
from config.model import Settings, Tenant
from watcher.asks.lifecycle import cancel_asks_elsewhere
from watcher.clock import Stamp
from watcher.model import NewEvent, TopUpStatus
from watcher.registration import withdraw
from watcher.store.database import Database
from watcher.store.events import record_events
from watcher.store.tables import requirement, wallet
from watcher.store.wallets import claim_wallet, save_addresses, save_requirements
from watcher.wallet_plan import Refused, WalletSpec, list_requirements, plan_registration

log = structlog.get_logger()


async def refresh_policies(database: Database, settings: Settings, stamp: Stamp) -> int:
    """Rebuild the requirements of wallets whose policy has another version now. Gives how many wallets changed."""
    changed = 0
    for tenant in settings.tenants.values():
        for wallet_id in await _list_outdated(database, tenant):
            async with database.begin() as conn:
                events = await _refresh(conn, wallet_id, tenant, settings, stamp)
                await record_events(conn, events, now=stamp.now, new_id=stamp.new_id)
            changed += 1
    if changed:
        log.info("policies.refreshed", wallets=changed)
    return changed


async def _list_outdated(database: Database, tenant: Tenant) -> list[str]:
    current = [(name, policy.version) for name, policy in tenant.policies.items()]
    mine = and_(requirement.c.tenant == wallet.c.tenant, requirement.c.wallet == wallet.c.id)
    outdated = tuple_(requirement.c.policy, requirement.c.policy_version).not_in(current)
    query = (
        select(wallet.c.id)
        .where(
            wallet.c.tenant == tenant.id,
            wallet.c.deleted_at.is_(None),
            wallet.c.policy.in_(list(tenant.policies)),
            or_(exists().where(mine, outdated), ~exists().where(mine)),
        )
        .order_by(wallet.c.id)
    )
    async with database.begin() as conn:
        return list((await conn.execute(query)).scalars())


async def _refresh(
    conn: AsyncConnection, wallet_id: str, tenant: Tenant, settings: Settings, stamp: Stamp
) -> list[NewEvent]:
    """A wallet that the new rules don't fit keeps its old ones, and that is said."""
    row = await claim_wallet(conn, tenant.id, wallet_id)
    if row is None or row["deleted_at"] is not None:
        return []
    try:
        return await rebuild(conn, row, tenant, settings, stamp)
    except Refused as error:
        policy = row["policy"]
        log.warning("policy.does_not_fit", tenant=tenant.id, wallet=wallet_id, policy=policy, reason=str(error))
        return []


async def rebuild(
    conn: AsyncConnection,
    row: RowMapping,
    tenant: Tenant,
    settings: Settings,
    stamp: Stamp,
    *,
    moved: Collection[NetworkId] = (),
) -> list[NewEvent]:
    """Bring what a wallet means up to its row and the configuration; on networks that have `moved`, asks are over.

    The wallet is locked. Raises `Refused`, and then nothing was written.
    """
    spec = WalletSpec(
        id=row["id"],
        addresses=row["body"]["addresses"],
        policy=row["policy"],
        funding=row["funding"],
        initial=row["initial"],
        allow_off_curve=row["allow_off_curve"],
    )
    plan = plan_registration(spec, tenant, settings)
    await save_addresses(conn, tenant.id, spec.id, plan.addresses, now=stamp.now)
    rows = list_requirements(spec, tenant, plan, settings)
    kept = await save_requirements(conn, tenant.id, spec.id, rows, now=stamp.now)
    mine = (tenant.id, spec.id)
    stayed = [network for network in plan.addresses if network not in moved]
    events = await cancel_asks_elsewhere(conn, mine, stayed, settings.networks, stamp)
    return events + await withdraw(conn, mine, kept, TopUpStatus.RETRACTED, stamp, networks=stayed)
