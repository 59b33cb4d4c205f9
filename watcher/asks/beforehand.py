"""What an ask has to know of the world, found before anything is locked: rates, and what its transaction needs."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import structlog

from chains.chain import Chain
from chains.errors import ChainError, Unavailable
from chains.model import NetworkId
from chains.needs import BadTransaction, Limits, Verdict
from config.errors import FieldError
from config.model import Network, Settings
from notifier.rates import RateSource
from watcher.asks.analysis import Analysis, make_analysis
from watcher.asks.bodies import AskBody, CheckoutBody, TransactionBody
from watcher.asks.ground import NotUnderstood, Rate
from watcher.asks.proposed import refuse_absurd
from watcher.asks.rates import find_rates
from watcher.model import NeedKind
from watcher.store.asks import find_ask
from watcher.store.database import Database
from watcher.store.wallets import find_addresses

log = structlog.get_logger()

MOST_SECONDS: Final = 5
"""A transaction that takes longer to look at is looked at again later, while nobody waits."""
MOST_AT_ONCE: Final = 16
"""Transactions looked at side by side; others wait their turn."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where it is found."""

    database: Database
    settings: Settings
    chains: Mapping[NetworkId, Chain] = field(default_factory=dict)
    rates: RateSource | None = None
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_AT_ONCE))


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found."""

    rates: Mapping[str, Rate | None] = field(default_factory=dict)
    """By symbol."""
    analysis: Analysis | None = None
    """None where no transaction is proposed."""


async def look_up(
    body: AskBody, tenant: str, sources: Sources, *, now: datetime, kind: NeedKind | None = None
) -> Findings:
    """What this body has to know. Raises `NotUnderstood` for a price or a transaction that is none.

    `kind` is None for what opens nothing. An ask that is there already has to know nothing: it stays as it is.
    """
    if kind is not None:
        async with sources.database.begin() as conn:
            if await find_ask(conn, (tenant, kind, body.id)) is not None:
                return Findings()
    rates = await find_rates(body, sources.settings, sources.rates)
    if not proposes(body):
        return Findings(rates)
    network = sources.settings.find_network(body.network)
    address = None
    if network is not None:
        async with sources.database.begin() as conn:
            address = (await find_addresses(conn, tenant, body.wallet, watched=True)).get(network.id)
    if network is None or address is None:
        return Findings(rates, Analysis(Verdict.UNKNOWN))  # said later, with all other faults
    return Findings(rates, await analyse(body, network, address, sources, now=now))


def proposes(body: AskBody) -> bool:
    """Whether it holds a transaction to be looked at."""
    return isinstance(body, TransactionBody | CheckoutBody) and body.transaction is not None


async def analyse(body: AskBody, network: Network, address: str, sources: Sources, *, now: datetime) -> Analysis:
    """What the transaction needs at the head; unknown while the network can't say. Raises `NotUnderstood`."""
    chain = sources.chains.get(network.id)
    transaction: Any = getattr(body, "transaction", None)
    if chain is None or transaction is None:
        return Analysis(Verdict.UNKNOWN, looked_at=now)
    pays_gas = body.gas is None or body.gas.payer == "wallet"
    limits = Limits({asset.asset.reference for asset in network.assets}, seconds=MOST_SECONDS)
    try:
        async with _turn(sources.turns):
            needs = await chain.find_needs(address, transaction, limits, pays_gas=pays_gas)
    except BadTransaction as error:
        pointer = "" if error.field in ("", "transaction") else f"/{error.field}"
        raise NotUnderstood([FieldError(f"/transaction{pointer}", error.code, error.message)]) from None
    except ChainError as error:
        log.info("transaction.unread", network=network.name, reason=str(error))
        return Analysis(Verdict.UNKNOWN, looked_at=now)
    return refuse_absurd(make_analysis(needs, now=now), network)


@asynccontextmanager
async def _turn(turns: asyncio.Semaphore) -> AsyncIterator[None]:
    """One of those at once. Raises `Unavailable` when others are in front for too long."""
    try:
        async with asyncio.timeout(MOST_SECONDS):
            await turns.acquire()
    except TimeoutError:
        raise Unavailable("too many transactions are looked at") from None
    try:
        yield
    finally:
        turns.release()
