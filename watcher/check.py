"""`topup-watcher check`: every connection tried once, every fault told at once."""

import asyncio
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from chains.errors import ChainError
from config.model import Network, Settings
from notifier.errors import OnrampError
from watcher.app import make_chain, open_onramps
from watcher.clock import Clock
from watcher.store.database import Database
from watcher.store.embedded import EmbeddedPostgres
from watcher.store.errors import StoreError


@dataclass(frozen=True, slots=True)
class Result:
    """One thing that was tried."""

    what: str
    fault: str | None


async def check_connections(settings: Settings, *, clock: Clock) -> list[Result]:
    """The store, each network, each tenant's onramp account; side by side, each within its own time-outs."""
    async with AsyncExitStack() as stack:
        tries = [_try("database", _check_database(settings))]
        tries += [_try(f"network {n.name}", _check_network(n)) for n in settings.networks.values()]
        for tenant, onramp in (await open_onramps(settings, "check", stack)).items():
            listing = onramp.find_session(top_up="check", attempt=0, created_after=clock.now())
            tries.append(_try(f"stripe account of {tenant}", listing))
        return list(await asyncio.gather(*tries))


async def _try(what: str, check: Awaitable[object]) -> Result:
    try:
        await check
    except (ChainError, OnrampError, StoreError, ModuleNotFoundError) as error:
        return Result(what, str(error) or type(error).__name__)
    return Result(what, None)


async def _check_database(settings: Settings) -> None:
    async with AsyncExitStack() as stack:
        url = settings.database_url
        if url is None:
            url = (await stack.enter_async_context(EmbeddedPostgres(settings.data_dir))).url
        database = Database(url)
        stack.push_async_callback(database.close)
        await database.ping()


async def _check_network(network: Network) -> None:
    async with make_chain(network) as chain:
        await chain.check()
