"""`make demo`: two wallets run low on real local chains, a link is paid, the funds land. Only Stripe is not real."""

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
from solders.keypair import Keypair

from tests.fakes.receiver import Receiver
from tests.nodes.anvil import COIN, Anvil, free_port
from tests.nodes.processes import Backend, DaemonProcess, SandboxProcess, new_secret, until
from tests.nodes.solana import SolanaNode
from tests.nodes.solana_process import Kind, find_validator

LAMPORTS: Final = 10**9
EVENT_SECONDS: Final = 60
EVM_WALLET: Final = "0xB00F0759DbeeF5E543Cc3E3B07A6442F5f3928a2"

CONFIG: Final = """\
data_dir = "data"
console = false
allow_private_receivers = true
[stripe]
api_base = "{sandbox}"
poll_seconds = 5
[networks.local-evm]
http = ["{evm_http}"]
ws = ["{evm_ws}"]
[networks.local-solana]
http = ["{solana_http}"]
ws = ["{solana_ws}"]
[policies.default]
networks = ["local-evm", "local-solana"]
funding = [
    {{ when = "low", network = "local-evm", asset = "ETH", trigger = "0.05", target = "0.2" }},
    {{ when = "low", network = "local-solana", asset = "SOL", trigger = "0.1", target = "1" }},
]
[tenants.default]
stripe_secret_key = "sk_test_demo"
stripe_webhook_secrets = ["{stripe_secret}"]
[[tenants.default.endpoints]]
id = "demo"
url = "{receiver}"
secret = "{receiver_secret}"
include_links = true
"""

_started = time.monotonic()


def say(text: str, who: str = "") -> None:
    """One line of the story."""
    print(f"{time.monotonic() - _started:6.1f} s  {who:<8} {text}", flush=True)


@dataclass(frozen=True, slots=True)
class World:
    """Everything that runs."""

    anvil: Anvil
    solana: SolanaNode
    sandbox: SandboxProcess
    daemon: DaemonProcess
    receiver: Receiver
    backend: Backend
    http: aiohttp.ClientSession


async def build_world(stack: AsyncExitStack, folder: Path) -> World:
    """Start the chains, the sandbox and the daemon, each a process of its own."""
    http = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)))
    kind = Kind.VALIDATOR if find_validator() else Kind.SURFPOOL
    if kind is Kind.SURFPOOL:
        say("no solana-test-validator on PATH or in SOLANA_TEST_VALIDATOR: using Surfpool, a local Solana from npm")
        say("(the real one: https://docs.anza.xyz/cli/install)")
    anvil = await stack.enter_async_context(Anvil())
    say(f"anvil, an Ethereum node, at {anvil.http}")
    solana = await stack.enter_async_context(SolanaNode(kind=kind))
    say(f"{kind.value}, a Solana node, at {solana.rpc_url}")

    stripe_secret, port = new_secret(), free_port()
    sandbox = SandboxProcess(
        folder,
        *("--webhook-url", f"http://127.0.0.1:{port}/webhooks/stripe", "--webhook-secret", stripe_secret),
        *("--evm-rpc", anvil.http, "--solana-rpc", solana.rpc_url),
    )
    sandbox.start()
    stack.push_async_callback(sandbox.stop)
    await sandbox.ready(http)
    say(f"the Stripe sandbox at {sandbox.url}")

    receiver = await stack.enter_async_context(Receiver())
    config = CONFIG.format(
        sandbox=sandbox.url,
        evm_http=anvil.http,
        evm_ws=anvil.ws,
        solana_http=solana.rpc_url,
        solana_ws=solana.ws_url,
        stripe_secret=stripe_secret,
        receiver=receiver.url,
        receiver_secret=receiver.secret,
    )
    daemon = DaemonProcess(folder, config, port=port)
    key = daemon.create_key()
    daemon.start()
    stack.push_async_callback(daemon.stop)
    await daemon.ready(http, "local-evm", "local-solana")
    say(f"the daemon at {daemon.url}, on its embedded PostgreSQL")
    return World(anvil, solana, sandbox, daemon, receiver, Backend(http, daemon.url, key), http)


async def run_demo(world: World) -> None:
    """Both wallets, side by side."""
    keypair = Keypair()
    told: set[str] = set()
    teller = asyncio.create_task(_tell_events(world, told))
    try:
        async with asyncio.TaskGroup() as wallets:
            wallets.create_task(_evm_story(world))
            wallets.create_task(_solana_story(world, keypair))
    finally:
        teller.cancel()
        _tell_new(world, told)


async def _evm_story(world: World) -> None:
    node, name = world.anvil, "evm"
    rich = (await node.rpc("eth_accounts"))[0]
    await node.rpc("eth_sendTransaction", {"from": rich, "to": EVM_WALLET, "value": hex(COIN // 10)})
    await world.backend.put(f"/v1/wallets/{name}", {"addresses": {"local-evm": EVM_WALLET}, "label": "Demo EVM wallet"})
    await _until_status(world, name, "ok")
    spent = await node.rpc("eth_sendTransaction", {"from": EVM_WALLET, "to": rich, "value": hex(COIN * 7 // 100)})
    say(f"spends 0.07 ETH in a real transaction {spent}", name)
    await _follow(world, name)
    say(f"now has {int(await node.rpc('eth_getBalance', EVM_WALLET, 'latest'), 16) / COIN} ETH on chain", name)


async def _solana_story(world: World, keypair: Keypair) -> None:
    node, name = world.solana, "solana"
    address = keypair.pubkey()
    await node.airdrop(address, LAMPORTS // 2)
    await world.backend.put(
        f"/v1/wallets/{name}", {"addresses": {"local-solana": str(address)}, "label": "Demo wallet"}
    )
    await _until_status(world, name, "ok")
    spent = await node.transfer(keypair, Keypair().pubkey(), LAMPORTS * 45 // 100)
    say(f"spends 0.45 SOL in a real transaction {spent}", name)
    await _follow(world, name)
    say(f"now has {await node.lamports(address) / LAMPORTS} SOL on chain", name)


async def _until_status(world: World, name: str, status: str) -> None:
    async def stands() -> bool:
        return bool((await world.backend.get(f"/v1/wallets/{name}"))["status"] == status)

    await until(stands, seconds=EVENT_SECONDS, what=f"wallet {name} {status}")
    say(f"registered and watched: {status}", name)


async def _follow(world: World, name: str) -> None:
    """From the link to the landing: the person is played by one call to the sandbox."""
    ready = await _event(world, name, "top_up.link_ready")
    session = ready["onramp"]["session"]
    say("opens the link and pays (the sandbox's button)", name)
    await world.sandbox.pay(world.http, session)
    landed = await _event(world, name, "top_up.landed")
    for arrival in landed["received"] or ():
        say(f"received {arrival['amount']} {arrival['asset']} in {arrival['transaction']}", name)


async def _event(world: World, name: str, kind: str) -> dict[str, Any]:
    async def arrived() -> dict[str, Any] | None:
        for event in _received(world):
            top_up = event["data"].get("top_up")
            if event["type"] == kind and top_up and top_up["wallet"] == name:
                return dict(top_up)
        return None

    return dict(await until(arrived, seconds=EVENT_SECONDS, what=f"{kind} for {name}"))


def _received(world: World) -> list[dict[str, Any]]:
    return [delivery.event for delivery in world.receiver.ledger if delivery.verified]


async def _tell_events(world: World, told: set[str]) -> None:
    while True:
        _tell_new(world, told)
        await asyncio.sleep(0.05)


def _tell_new(world: World, told: set[str]) -> None:
    """What has arrived at the receiving webhook since."""
    for event in _received(world):
        if event["id"] not in told:
            told.add(event["id"])
            say(*describe(event))


def describe(event: dict[str, Any]) -> tuple[str, str]:
    """An event that arrived at the receiving webhook, as a line, and whose it is."""
    data, kind = event["data"], event["type"]
    if "holding" in data:
        holding = data["holding"]
        at = holding["as_of"]["height"]
        seen = f"balance seen: {holding['balance']} {holding['asset']} at height {at}, trigger {holding['trigger']}"
        return f"{kind}: {seen}", data["wallet"]["id"]
    top_up = data["top_up"]
    text = kind
    if kind == "top_up.opened":
        bill = top_up["bill"]["assets"][0]
        lines = " + ".join(f"{line['what']} {line['amount']}" for line in bill["lines"])
        text += f": bill {lines} - balance {bill['balance']} = missing {bill['missing']}, asked {top_up['asked']}"
    elif kind == "top_up.link_ready":
        text += f": session {top_up['onramp']['session']}, link {top_up['link']}"
    elif kind == "top_up.landed":
        text += f": {top_up['outcome']}"
    return text, top_up["wallet"]


async def main() -> int:
    """The exit status: 0 when both have landed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="topup-demo-"))
    this = asyncio.current_task()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, this.cancel if this else sys.exit)
    try:
        async with AsyncExitStack() as stack:
            world = await build_world(stack, folder)
            await run_demo(world)
            say("both wallets are whole again")
            if options.keep:
                say(f"still running; daemon {world.daemon.url}, sandbox {world.sandbox.url}, files in {folder}")
                say(f"anvil {world.anvil.http}, Solana {world.solana.rpc_url}; Ctrl-C ends it all")
                await asyncio.Event().wait()
    except asyncio.CancelledError:
        say("stopped")
        shutil.rmtree(folder, ignore_errors=True)
        return 130
    except (RuntimeError, TimeoutError, OSError, ExceptionGroup) as error:
        say(f"FAILED: {error}")
        for part in getattr(error, "exceptions", ()):
            say(f"FAILED: {part}")
        say(f"logs are in {folder}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
