"""`make demo`: two wallets run low on real local chains, a link is paid, the funds land. Only Stripe is not real."""

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

from solders.keypair import Keypair

from scripts.local_world import LocalWorld, Plan, build_world
from tests.nodes.anvil import COIN

LAMPORTS: Final = 10**9
EVM_WALLET: Final = "0xB00F0759DbeeF5E543Cc3E3B07A6442F5f3928a2"

PLAN: Final = Plan(
    policies="""\
[policies.default]
networks = ["local-evm", "local-solana"]
funding = [
    { when = "low", network = "local-evm", asset = "ETH", trigger = "0.05", target = "0.2" },
    { when = "low", network = "local-solana", asset = "SOL", trigger = "0.1", target = "1" },
]
""",
    poll_seconds=5,
)

_started = time.monotonic()


def say(text: str, who: str = "") -> None:
    """One line of the story."""
    print(f"{time.monotonic() - _started:6.1f} s  {who:<8} {text}", flush=True)


async def run_demo(world: LocalWorld) -> None:
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


async def _evm_story(world: LocalWorld) -> None:
    name = "evm"
    await world.give(EVM_WALLET, "ETH", COIN // 10)
    await world.backend.put(f"/v1/wallets/{name}", {"addresses": {"local-evm": EVM_WALLET}, "label": "Demo EVM wallet"})
    await _until_status(world, name, "ok")
    spent = await world.spend(EVM_WALLET, "ETH", COIN * 7 // 100)
    say(f"spends 0.07 ETH in a real transaction {spent}", name)
    await _follow(world, name)
    say(f"now has {await world.balance(EVM_WALLET, 'ETH') / COIN} ETH on chain", name)


async def _solana_story(world: LocalWorld, keypair: Keypair) -> None:
    name, address = "solana", str(keypair.pubkey())
    await world.give(keypair, "SOL", LAMPORTS // 2)
    await world.backend.put(f"/v1/wallets/{name}", {"addresses": {"local-solana": address}, "label": "Demo wallet"})
    await _until_status(world, name, "ok")
    spent = await world.spend(keypair, "SOL", LAMPORTS * 45 // 100)
    say(f"spends 0.45 SOL in a real transaction {spent}", name)
    await _follow(world, name)
    say(f"now has {await world.balance(keypair, 'SOL') / LAMPORTS} SOL on chain", name)


async def _until_status(world: LocalWorld, name: str, status: str) -> None:
    async def stands() -> bool:
        return bool((await world.backend.get(f"/v1/wallets/{name}"))["status"] == status)

    await world.wait(stands, f"wallet {name} {status}")
    say(f"registered and watched: {status}", name)


async def _follow(world: LocalWorld, name: str) -> None:
    """From the link to the landing: the person is played by one call to the sandbox."""
    ready = await world.wait_top_up("top_up.link_ready", name)
    say("opens the link and pays (the sandbox's button)", name)
    await world.pay(ready["onramp"]["session"])
    landed = await world.wait_top_up("top_up.landed", name)
    for arrival in landed["received"] or ():
        say(f"received {arrival['amount']} {arrival['asset']} in {arrival['transaction']}", name)


async def _tell_events(world: LocalWorld, told: set[str]) -> None:
    while True:
        _tell_new(world, told)
        await asyncio.sleep(0.05)


def _tell_new(world: LocalWorld, told: set[str]) -> None:
    """What has arrived at the receiving webhook since."""
    for event in world.events():
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
            world = await build_world(stack, folder, PLAN, tell=say)
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
