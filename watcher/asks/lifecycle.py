"""An ask opened, completed, cancelled, expired: every row that it means, in one transaction."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from chains.model import NetworkId
from config.errors import FieldError
from config.model import Network, Settings
from watcher.api.fields import read_time
from watcher.asks.beforehand import Findings
from watcher.asks.bodies import AskBody
from watcher.asks.follow import make_ask_event, move_ask
from watcher.asks.ground import Ground, NotUnderstood, Understood
from watcher.asks.model import Ask, Need, NeedKey, State
from watcher.asks.spec import find_end, understand
from watcher.asks.standing import Standing, find_standing
from watcher.clock import Stamp
from watcher.model import NewEvent, TopUpStatus
from watcher.store.asks import (
    AskKey,
    claim_ask,
    count_open,
    end_needs,
    find_top_ups_of,
    insert_ask,
    is_pointless,
    list_living,
)
from watcher.store.top_ups import find_top_up, lock_wallet
from watcher.store.wallets import find_addresses, find_user, keep_customer_ip, tell_nudge, tell_watching
from watcher.top_ups import move_top_up

MOST_OPEN = 100
"""Asks of one wallet that are not over."""


class IdReused(Exception):
    """The id came with another body before."""


class TooMany(Exception):
    """The wallet has as many open asks as it may."""


class Over(Exception):
    """The ask has come to another end."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What came of it."""

    ask: Ask
    created: bool
    events: tuple[NewEvent, ...] = ()
    """To be recorded last in the transaction."""


async def find_ground(
    conn: AsyncConnection, tenant: str, wallet_id: str, network_name: str, settings: Settings
) -> Ground:
    """What an ask stands on, its wallet locked. Raises `NotUnderstood`."""
    network = settings.find_network(network_name)
    row = await lock_wallet(conn, tenant, wallet_id)
    errors = []
    if network is None:
        known = ", ".join(n.name for n in settings.networks.values())
        errors.append(
            FieldError("/network", "unknown_network", f"is not a configured network; configured are: {known}")
        )
    if row is None or row["deleted_at"] is not None:
        errors.append(FieldError("/wallet", "unknown_wallet", "no such wallet; PUT /v1/wallets/{id} first"))
    if row is None or network is None or errors:
        raise NotUnderstood(errors)
    address = (await find_addresses(conn, tenant, wallet_id, watched=True)).get(network.id)
    if address is None:
        raise NotUnderstood([FieldError("/network", "no_address", "the wallet has no address on this network")])
    user = await find_user(conn, tenant, row["user_id"]) if row["user_id"] is not None else None
    return Ground(network, address, user["country"] if user is not None else None, settings.networks)


async def propose(
    conn: AsyncConnection,
    key: AskKey,
    body: AskBody,
    settings: Settings,
    findings: Findings,
    *,
    stamp: Stamp,
) -> Opened:
    """Open an ask, or give the one that the same body has opened before. Events are to be recorded last.

    Raises `NotUnderstood`, `IdReused`, `TooMany`.
    """
    found = await claim_ask(conn, key)
    if found is not None:
        if dict(found.body) != write_body(body):
            raise IdReused
        return Opened(found, created=False)
    ground = await find_ground(conn, key[0], body.wallet, body.network, settings)
    ground = replace(ground, analysis=findings.analysis)
    expires_at = find_end(read_time(body.expires_at) if body.expires_at else None, stamp.now)
    understood = understand(body, ground, findings.rates)
    ask = make_ask(key, body, ground, understood, expires_at=expires_at, stamp=stamp)
    return await _open(conn, ask, body, ground, understood, stamp=stamp)


async def _open(
    conn: AsyncConnection, ask: Ask, body: AskBody, ground: Ground, understood: Understood, *, stamp: Stamp
) -> Opened:
    """Store an ask with its needs, to be judged by the next step of its network."""
    tenant = ask.tenant
    if await count_open(conn, tenant, body.wallet) >= MOST_OPEN:
        raise TooMany
    await insert_ask(conn, ask, make_needs(ask, understood))
    if body.customer_ip_address is not None:
        await keep_customer_ip(conn, tenant, body.wallet, body.customer_ip_address, now=stamp.now)
    await tell_watching(conn, [ground.network.id], tenant, body.wallet)
    await tell_nudge(conn, [ground.network.id], tenant, body.wallet)
    told = [] if ask.status is State.UNKNOWN else [await make_ask_event(conn, ask, ground.network, stamp)]
    return Opened(ask, created=True, events=tuple(told))


def make_ask(
    key: AskKey, body: AskBody, ground: Ground, understood: Understood, *, expires_at: datetime, stamp: Stamp
) -> Ask:
    """The ask, not yet judged. Pure."""
    tenant, kind, id_ = key
    status, reason = _begin(understood, ground)
    return Ask(
        tenant=tenant,
        kind=kind,
        id=id_,
        wallet=body.wallet,
        network=ground.network.id,
        status=status,
        reason=reason,
        body=write_body(body),
        analysis=ground.analysis,
        notify=body.notify,
        expires_at=expires_at,
        created_at=stamp.now,
        updated_at=stamp.now,
    )


def _begin(understood: Understood, ground: Ground) -> Standing:
    """What is known before anything was read: why money would not help, or that nothing is needed."""
    if understood.reason is not None:
        return State.NOT_FUNDS, understood.reason
    if ground.analysis is not None and not understood.wants:
        return find_standing(ground.analysis, (), ground.network, ground.networks)
    return State.UNKNOWN, None


def make_needs(ask: Ask, understood: Understood) -> list[Need]:
    """The needs of an ask, not yet judged. Pure."""
    return [
        Need(
            key=NeedKey(ask.tenant, ask.kind, ask.id, want.holding),
            wallet=ask.wallet,
            place=place,
            mode=want.mode,
            lines=want.lines,
            gas_limit=want.gas_limit,
            expires_at=ask.expires_at,
            created_at=ask.created_at,
        )
        for place, want in enumerate(understood.wants)
    ]


def write_body(body: AskBody) -> dict[str, Any]:
    """What is kept of a body: what tells a repeated write from another one, without the IP address."""
    return body.model_dump(mode="json", exclude={"customer_ip_address"}, exclude_none=True)


async def end_ask(
    conn: AsyncConnection,
    ask: Ask,
    status: State,
    networks: Mapping[NetworkId, Network],
    stamp: Stamp,
    *,
    transaction_hash: str | None = None,
) -> tuple[NewEvent, ...]:
    """`done`, `cancelled` or `expired`; unpaid top-ups that were for nothing else are withdrawn.

    The wallet is locked. Raises `Over` when it has come to another end; the same end twice is once.
    """
    if ask.status is status:
        return ()
    if not ask.status.living:
        raise Over(ask.status.value)
    key = (ask.tenant, ask.kind, ask.id)
    await end_needs(conn, key, status, stamp.now)
    events = await withdraw_pointless(conn, key, stamp)
    values = {"transaction_hash": transaction_hash} if transaction_hash is not None else {}
    events.append(await move_ask(conn, ask, status, networks.get(ask.network), stamp, values=values))
    await tell_nudge(conn, [ask.network], ask.tenant, ask.wallet)
    return tuple(events)


async def withdraw_pointless(conn: AsyncConnection, key: AskKey, stamp: Stamp) -> list[NewEvent]:
    """Open top-ups that were for an ask, and that nobody wants anything of any more, are over."""
    events: list[NewEvent] = []
    for top_up_id in await find_top_ups_of(conn, key):
        top_up = await find_top_up(conn, top_up_id)
        if top_up is not None and top_up.status is TopUpStatus.OPEN and await is_pointless(conn, top_up_id):
            events.append((await move_top_up(conn, top_up, TopUpStatus.RETRACTED, stamp))[1])
    return events


async def cancel_asks_elsewhere(
    conn: AsyncConnection,
    mine: tuple[str, str],
    kept: Collection[NetworkId],
    networks: Mapping[NetworkId, Network],
    stamp: Stamp,
) -> list[NewEvent]:
    """A wallet has only these networks from now on: its asks on others are over. The wallet is locked."""
    events: list[NewEvent] = []
    for ask in await list_living(conn, *mine):
        if ask.network not in kept:
            events += await end_ask(conn, ask, State.CANCELLED, networks, stamp)
    return events
