"""`topup-watcher sandbox`: the server put together, and run until it is told to stop."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiohttp import web

from notifier.sandbox.api import add_api_routes
from notifier.sandbox.control import add_control_routes
from notifier.sandbox.evm_delivery import EvmDelivery
from notifier.sandbox.pages import Pages
from notifier.sandbox.payments import Payments
from notifier.sandbox.solana_delivery import SolanaDelivery
from notifier.sandbox.state import Sandbox
from notifier.sandbox.webhooks import Webhooks

CALL_SECONDS = 20


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """The command's options."""

    host: str
    port: int
    """0: the system chooses."""
    webhook_url: str | None = None
    webhook_secret: str | None = field(default=None, repr=False)
    evm_rpc: str | None = None
    solana_rpc: str | None = None
    evm_tokens: Mapping[str, str] = field(default_factory=dict)
    """Contract by Stripe's currency."""
    solana_tokens: Mapping[str, tuple[str, Path]] = field(default_factory=dict)
    """Mint and keypair file of its authority, by Stripe's currency."""
    ledger: Path | None = None
    public_url: str | None = None
    """Where people reach it, when that is not where it listens: links begin with it."""
    create_seconds: float = 0.0
    """How long a create call takes."""


@asynccontextmanager
async def open_sandbox(options: SandboxOptions) -> AsyncIterator[str]:
    """Serve while entered; gives the base URL. Raises OSError when the port is taken."""
    async with AsyncExitStack() as stack:
        timeout = aiohttp.ClientTimeout(total=CALL_SECONDS)
        http = await stack.enter_async_context(aiohttp.ClientSession(timeout=timeout, trust_env=False))
        where = {"url": ""}
        sandbox = Sandbox(lambda: where["url"], options.ledger, create_seconds=options.create_seconds)
        webhooks = Webhooks(options.webhook_url, options.webhook_secret, http, now=sandbox.now)
        payments = Payments(
            sandbox.sessions,
            webhooks,
            evm=EvmDelivery(options.evm_rpc, http, options.evm_tokens) if options.evm_rpc else None,
            solana=SolanaDelivery(options.solana_rpc, http, options.solana_tokens) if options.solana_rpc else None,
            base_url=sandbox.base_url,
        )
        app = web.Application()
        add_api_routes(app, sandbox)
        add_control_routes(app, sandbox, payments)
        Pages(sandbox, payments).add_routes(app)
        runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=1, access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, options.host, options.port).start()
        where["url"] = options.public_url or f"http://{options.host}:{runner.addresses[0][1]}"
        sender = asyncio.create_task(webhooks.run(), name="sandbox-webhooks")
        stack.push_async_callback(_end, sender)
        yield where["url"]


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def serve(options: SandboxOptions) -> None:
    """Run until SIGTERM or Ctrl-C. Exits with 2 and a sentence when the options can't be served."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        try:
            url = await stack.enter_async_context(open_sandbox(options))
        except (OSError, ValueError) as error:
            sys.stderr.write(f"the sandbox can't start: {error}\n")
            raise SystemExit(2) from None
        print(f"SANDBOX, not Stripe: no real money moves. {url}", flush=True)  # noqa: T201  a command's answer
        await stop.wait()
