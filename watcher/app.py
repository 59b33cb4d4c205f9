"""The daemon, put together: the only place that names concrete adapters. Opened in order, closed in reverse."""

import asyncio
import os
import random
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import Final, cast

import aiohttp
import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry

from chains.chain import Chain
from chains.ethereum.adapter import EthereumChain
from chains.model import Family, NetworkId
from chains.rpc_endpoint import OnCall
from chains.solana.adapter import SolanaChain
from config.model import Network, Settings
from notifier.channel import Channel
from notifier.command import CommandChannel
from notifier.console import ConsoleChannel
from notifier.model import Endpoint
from notifier.onramp import Onramp
from notifier.rates import FirstRates, PegRates, RateSource, TableRates
from notifier.rates_http import HttpRates
from notifier.signatures import make_secret
from notifier.stripe_onramp import StripeOnramp
from notifier.webhook import WebhookChannel
from watcher.adopting import LostSessions
from watcher.alarm import Way
from watcher.api.application import create_app
from watcher.api.limits import Limits
from watcher.api.routing import Deps
from watcher.asks.beforehand import Sources
from watcher.clock import Stamp, SystemClock, make_new_id
from watcher.handlers import make_handlers
from watcher.inbound.intake import Intake
from watcher.jobs.engine import JobEngine
from watcher.judge import Rules
from watcher.log import Logging
from watcher.metrics import Metrics
from watcher.notices import Listener, listen
from watcher.observe import Observer
from watcher.owning import Shards
from watcher.pacer import Pacer
from watcher.refresh import refresh_policies
from watcher.rpc_use import RpcUse
from watcher.schedule import Schedule, make_ticks
from watcher.session_request import Onramps
from watcher.store.database import Database, conninfo
from watcher.store.errors import StoreError
from watcher.store.start import open_for_daemon
from watcher.supervise import Supervisor

log = structlog.get_logger()

DRAIN_SECONDS: Final = 4
"""How long HTTP requests under way may finish once the daemon is told to stop; the whole stop takes less than 10 s."""


async def run_daemon(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; a second one ends the process at once. Gives the exit status."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    with Logging(settings.log_level):
        try:
            async with AsyncExitStack() as stack:
                await start(settings, stack)
                await stop.wait()
                log.info("daemon.stopping")
        except (StoreError, OSError) as error:
            sys.stderr.write(f"topup-watcher: {error}\n")
            return 1
        log.info("daemon.stopped")
    return 0


async def start(settings: Settings, stack: AsyncExitStack) -> None:
    """Bring up every part; whatever was opened is closed by `stack`, in reverse."""
    clock = SystemClock()
    new_id = make_new_id(clock, secrets.randbits)
    metrics = Metrics(CollectorRegistry())
    tasks = Supervisor(metrics, random.random)
    name = f"{socket.gethostname()}:{os.getpid()}:{new_id('run')}"
    store = await open_for_daemon(settings, stack, now=clock.now(), new_id=new_id, replica=name)
    database, connection = store.database, conninfo(store.url, replica=name)
    await refresh_policies(database, settings, Stamp(clock.now(), new_id))

    accounts = await open_onramps(settings, store.installation, stack)
    shards = Shards(database, connection, settings.networks, name=name, clock=clock, metrics=metrics)
    observers = await open_observers(settings, stack, database, metrics=metrics, shards=shards)
    lost = LostSessions(database, store.restored, clock=clock) if store.restored is not None else None
    onramps = Onramps(accounts, store.installation, settings)
    rates = await open_rates(settings, stack)
    chains = {network: observer.chain for network, observer in observers.items()}
    channels = await open_channels(settings, stack)
    ways = make_ways(settings, channels)
    intake = Intake(database)
    sources = Sources(database, settings, chains, rates)
    handlers = make_handlers(sources, onramps, channels, store.endpoints, lost=lost, ways=ways, step_aside=intake.quiet)
    jobs = JobEngine(connection, handlers, name=name, metrics=metrics, check=store.identity.check)

    await shards.join()
    stack.push_async_callback(shards.leave)
    await stack.enter_async_context(tasks)
    if store.server is not None:
        tasks.start("postgres", store.server.watch)
    tasks.start("jobs", jobs.run)
    pacer = Pacer(database, connection, accounts, per_second=settings.sessions_per_second, clock=clock)
    tasks.start("sessions", pacer.run)
    tasks.start("clock", Schedule(database, make_ticks(settings.poll_seconds), clock=clock).run)
    listeners = cast("Mapping[NetworkId, Listener]", observers)
    tasks.start("notices", lambda: listen(connection, listeners))
    tasks.start("replica", shards.run)
    tasks.start("share", lambda: shards.tell(listeners))
    for network, observer in observers.items():
        tasks.start(f"observe {settings.networks[network].name}", observer.run)
    deps = make_deps(sources, new_id=new_id, metrics=metrics, tasks=tasks)
    await serve(create_app(deps, intake), settings, stack)
    log.info("daemon.started", listen=f"{settings.listen_host}:{settings.listen_port}", networks=len(observers))


def make_deps(sources: Sources, *, new_id: Callable[[str], str], metrics: Metrics, tasks: Supervisor) -> Deps:
    """What the API works with."""
    return Deps(
        sources.database,
        sources.settings,
        SystemClock(),
        new_id,
        metrics,
        degraded=lambda: tasks.degraded,
        limits=Limits(sources.settings.tenants, monotonic_ns=time.monotonic_ns),
        new_secret=lambda: make_secret(secrets.token_bytes),
        sources=sources,
    )


async def serve(app: web.Application, settings: Settings, stack: AsyncExitStack) -> None:
    """Answer HTTP. Raises OSError when the port is taken."""
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=DRAIN_SECONDS, access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, settings.listen_host, settings.listen_port).start()


async def open_onramps(settings: Settings, installation: str, stack: AsyncExitStack) -> dict[str, Onramp]:
    """An account for each tenant that has a key."""
    accounts: dict[str, Onramp] = {}
    for tenant in settings.tenants.values():
        if tenant.stripe_secret_key is not None:
            accounts[tenant.id] = await stack.enter_async_context(
                StripeOnramp(
                    tenant.stripe_secret_key,
                    api_base=settings.stripe_api_base,
                    stripe_version=settings.stripe_version,
                    installation=installation,
                )
            )
    return accounts


async def open_observers(
    settings: Settings, stack: AsyncExitStack, database: Database, *, metrics: Metrics, shards: Shards
) -> dict[NetworkId, Observer]:
    """A chain and its loop for each network."""
    clock = SystemClock()
    observers: dict[NetworkId, Observer] = {}

    def count_wallets(network: NetworkId) -> int:
        return observers[network].wallets if network in observers else 0

    for network in settings.networks.values():
        count = partial(count_wallets, network.id)
        use = RpcUse(metrics, network.name, count_wallets=count, monotonic=time.monotonic)
        chain = await stack.enter_async_context(make_chain(network, on_call=use.on_call))
        observers[network.id] = Observer(
            chain,
            Rules(network, settings.tenants, settings.networks),
            database,
            clock=clock,
            new_id=make_new_id(clock, secrets.randbits),
            shards=shards,
            metrics=metrics,
        )
    return observers


def make_chain(network: Network, *, on_call: OnCall | None = None) -> Chain:
    """The adapter of a network's family. `on_call` is told of each call to a node."""
    assets = [a.asset for a in network.assets]
    if network.family is Family.SOLANA:
        return SolanaChain(
            network.id,
            network.genesis_hash,
            http_urls=network.http_urls,
            ws_urls=network.ws_urls,
            assets=assets,
            close_confirmations=1 if network.close_confirmations == 1 else "finalized",
            poll_seconds=network.poll_seconds,
            stale_seconds=network.stale_seconds,
            sweep_calls_a_minute=network.sweep_calls_per_minute,
            budgets=network.budgets,
            on_call=on_call,
        )
    if network.chain_id is None:
        raise ValueError(f"the catalogue has no chain id for {network.name}")
    return EthereumChain(
        network.id,
        network.chain_id,
        http_urls=network.http_urls,
        ws_urls=network.ws_urls,
        assets=assets,
        close_confirmations=network.close_confirmations,
        poll_seconds=network.poll_seconds,
        stale_seconds=network.stale_seconds,
        max_head_age_seconds=network.max_head_age_seconds,
        sweep_calls_a_minute=network.sweep_calls_per_minute,
        budgets=network.budgets,
        on_call=on_call,
    )


async def open_channels(settings: Settings, stack: AsyncExitStack) -> dict[str, Channel]:
    """The ways an event can leave, by URL scheme."""
    clock = SystemClock()
    webhook = await stack.enter_async_context(
        WebhookChannel(clock=clock.now, allow_private=settings.allow_private_receivers)
    )
    console = ConsoleChannel(lambda line: print(line, flush=True))  # noqa: T201  the console is this channel's receiver
    return {"https": webhook, "http": webhook, "console": console}


def make_ways(settings: Settings, channels: Mapping[str, Channel]) -> list[Way]:
    """How the operator is told, beside the log."""
    operator = settings.operator
    ways = []
    if operator.command:
        ways.append(Way("command", CommandChannel(operator.command), Endpoint("operator", "", ())))
    if operator.endpoint is not None:
        channel = channels[operator.endpoint.url.partition(":")[0]]
        ways.append(Way("endpoint", channel, operator.endpoint))
    return ways


async def open_rates(settings: Settings, stack: AsyncExitStack) -> RateSource:
    """What assets cost in fiat, as far as the configuration says: pegs, then the table, then URLs in their order."""
    now = SystemClock().now
    http = await stack.enter_async_context(aiohttp.ClientSession(trust_env=False, cookie_jar=aiohttp.DummyCookieJar()))
    urls = [
        HttpRates(
            each.url,
            each.value,
            http=http,
            now=now,
            time=each.time,
            fresh_seconds=each.fresh_seconds,
            stale_seconds=each.stale_seconds,
        )
        for each in settings.rates.http
    ]
    return FirstRates([PegRates(settings.rates.peg, now=now), TableRates(settings.rates.table, now=now), *urls])
