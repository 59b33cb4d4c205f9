"""A whole world on this machine: two local chains, the Stripe sandbox, the daemon, a backend. Only Stripe is not real.

Each is a process of its own. The demo tells what happens in it; acceptance tests judge it.
"""

import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from tests.fakes.receiver import Receiver
from tests.nodes.anvil import Anvil, free_port, selector_data
from tests.nodes.processes import Backend, DaemonProcess, SandboxProcess, new_secret, until
from tests.nodes.solana import Mint, SolanaNode
from tests.nodes.solana_process import Kind, find_validator

CALL_SECONDS: Final = 20
EVENT_SECONDS: Final = 60.0
COINS: Final = ("ETH", "SOL")
_LOG_TAIL: Final = 4_000

Owner = str | Keypair
"""Of a wallet: an address on anvil, which signs for any, or the keypair of one on Solana."""

_HEAD: Final = """\
data_dir = "data"
console = false
allow_private_receivers = true
[stripe]
api_base = "{sandbox}"
poll_seconds = {poll_seconds}
"""
_NETWORK: Final = """\
[networks.{name}]
http = ["{http}"]
ws = ["{ws}"]
[[networks.{name}.assets]]
symbol = "USDC"
reference = "{token}"
decimals = 6
minimum = "5"
stripe = {{ currency = "usdc", network = "{stripe_network}", decimals = 6, sold = ["us", "eu"] }}
"""
_TENANT: Final = """\
[tenants.default]
stripe_secret_key = "sk_test_local"
stripe_webhook_secrets = ["{stripe_secret}"]
{tenant}
[[tenants.default.endpoints]]
id = "main"
url = "{receiver}"
secret = "{receiver_secret}"
include_links = true
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is configured, in TOML, beside what every world has."""

    policies: str
    """`[policies.NAME]` tables."""
    tenant: str = ""
    """More keys of `[tenants.default]`."""
    more: str = ""
    """More tables."""
    solana: bool = True
    """Whether there is a Solana validator; anvil is always there."""
    poll_seconds: int = 2
    """First interval between looks at an open session."""


@dataclass(frozen=True, slots=True)
class LocalWorld:
    """Everything that runs."""

    http: aiohttp.ClientSession
    anvil: Anvil
    token: str
    """The contract of USDC on anvil."""
    validator: SolanaNode | None
    minted: Mint | None
    sandbox: SandboxProcess
    receiver: Receiver
    daemon: DaemonProcess
    backend: Backend

    @property
    def solana(self) -> SolanaNode:
        """The validator. Raises RuntimeError where the plan has none."""
        if self.validator is None:
            raise RuntimeError("this world has no Solana")
        return self.validator

    @property
    def mint(self) -> Mint:
        """The mint of USDC on Solana. Raises RuntimeError where the plan has none."""
        if self.minted is None:
            raise RuntimeError("this world has no Solana")
        return self.minted

    def events(self) -> list[dict[str, Any]]:
        """What the backend's receiver was told, in the order it came, repeats included."""
        return [delivery.event for delivery in self.receiver.ledger if delivery.verified]

    async def wait(self, holds: Callable[[], Awaitable[Any]], what: str, *, seconds: float = EVENT_SECONDS) -> Any:
        """Until something truthy comes. Raises TimeoutError with the end of the daemon's log."""
        try:
            return await until(holds, seconds=seconds, what=what)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.daemon.output[-_LOG_TAIL:]}") from None

    async def wait_top_up(self, event: str, wallet: str, *, seconds: float = EVENT_SECONDS) -> dict[str, Any]:
        """The top-up in the first event of that type for a wallet."""

        async def told() -> dict[str, Any] | None:
            top_ups = [heard["data"]["top_up"] for heard in self.events() if heard["type"] == event]
            return next((dict(top_up) for top_up in top_ups if top_up["wallet"] == wallet), None)

        return dict(await self.wait(told, f"{event} for {wallet}", seconds=seconds))

    async def pay(self, session: str, **how: str) -> dict[str, Any]:
        """Press the sandbox's button. Raises RuntimeError with its words when it is refused."""
        return await self.sandbox.pay(self.http, session, **how)

    async def give(self, owner: Owner, asset: str, units: int) -> str:
        """Coins from a rich account, or new tokens; the transaction, once it is there."""
        if isinstance(owner, Keypair):
            if asset in COINS:
                return await self.solana.airdrop(owner.pubkey(), units)
            return await self.solana.mint_to(self.mint, owner.pubkey(), units)
        rich = (await self.anvil.accounts())[0]
        if asset in COINS:
            sent = await self.anvil.send(rich, owner, value=units)
        else:
            sent = await self.anvil.send(rich, self.token, selector_data("mint(address,uint256)", owner, units))
        return str(sent["transactionHash"])

    async def spend(self, owner: Owner, asset: str, units: int) -> str:
        """Send away; the transaction, once it is there. The owner pays the fee, but for tokens on Solana."""
        if isinstance(owner, Keypair):
            if asset in COINS:
                return await self.solana.transfer(owner, Keypair().pubkey(), units)
            return await self.solana.transfer_token(self.mint, owner, Keypair().pubkey(), units)
        rich = (await self.anvil.accounts())[0]
        if asset in COINS:
            sent = await self.anvil.send(owner, rich, value=units)
        else:
            sent = await self.anvil.send(owner, self.token, selector_data("transfer(address,uint256)", rich, units))
        return str(sent["transactionHash"])

    async def balance(self, owner: Owner, asset: str) -> int:
        """The truth in base units, by the node's plainest call."""
        if not isinstance(owner, Keypair):
            return await self.anvil.balance(owner, None if asset in COINS else self.token)
        address: Pubkey = owner.pubkey()
        return await (self.solana.lamports(address) if asset in COINS else self.solana.tokens(self.mint, address))


async def build_world(
    stack: AsyncExitStack, folder: Path, plan: Plan, *, tell: Callable[[str], None] = lambda _: None
) -> LocalWorld:
    """Start everything, files in `folder`; closing the stack ends it. `tell` is given a sentence at each step."""
    http = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=CALL_SECONDS)))
    kind = Kind.VALIDATOR if find_validator() else Kind.SURFPOOL
    if plan.solana and kind is Kind.SURFPOOL:
        tell("no solana-test-validator on PATH or in SOLANA_TEST_VALIDATOR: using Surfpool, a local Solana from npm")
        tell("(the real one: https://docs.anza.xyz/cli/install)")
    anvil = await stack.enter_async_context(Anvil())
    token = await anvil.deploy((await anvil.accounts())[-1], "Token")
    tell(f"anvil, an Ethereum node, at {anvil.http}")
    validator = await stack.enter_async_context(SolanaNode(kind=kind)) if plan.solana else None
    mint = await validator.create_mint() if validator else None
    if validator:
        tell(f"{kind.value}, a Solana node, at {validator.rpc_url}")

    secret, port = new_secret(), free_port()
    coins = ["--evm-rpc", anvil.http, "--evm-token", f"usdc={token}"]
    if validator and mint:
        authority = f"usdc={mint.address}:{_keep(folder, validator)}"
        coins += ["--solana-rpc", validator.rpc_url, "--solana-token", authority]
    hook = f"http://127.0.0.1:{port}/webhooks/stripe"
    sandbox = SandboxProcess(folder, "--webhook-url", hook, "--webhook-secret", secret, *coins)
    sandbox.start()
    stack.push_async_callback(sandbox.stop)
    await sandbox.ready(http)
    tell(f"the Stripe sandbox at {sandbox.url}")

    receiver = await stack.enter_async_context(Receiver())
    networks = {"local-evm": (anvil.http, anvil.ws, token, "ethereum")}
    if validator and mint:
        networks["local-solana"] = (validator.rpc_url, validator.ws_url, str(mint.address), "solana")
    daemon = DaemonProcess(folder, _configure(plan, networks, sandbox, receiver, secret), port=port)
    key = daemon.create_key()
    daemon.start()
    stack.push_async_callback(daemon.stop)
    await daemon.ready(http, *networks)
    tell(f"the daemon at {daemon.url}, on its embedded PostgreSQL")
    backend = Backend(http, daemon.url, key)
    return LocalWorld(http, anvil, token, validator, mint, sandbox, receiver, daemon, backend)


def _configure(
    plan: Plan,
    networks: dict[str, tuple[str, str, str, str]],
    sandbox: SandboxProcess,
    receiver: Receiver,
    stripe_secret: str,
) -> str:
    parts = [_HEAD.format(sandbox=sandbox.url, poll_seconds=plan.poll_seconds)]
    for name, (http, ws, token, stripe_network) in networks.items():
        parts.append(_NETWORK.format(name=name, http=http, ws=ws, token=token, stripe_network=stripe_network))
    tenant = _TENANT.format(
        stripe_secret=stripe_secret, tenant=plan.tenant, receiver=receiver.url, receiver_secret=receiver.secret
    )
    return "\n".join([*parts, plan.policies, tenant, plan.more])


def _keep(folder: Path, validator: SolanaNode) -> Path:
    """The file of the mint's authority, for the sandbox."""
    file = folder / "mint-authority.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(list(bytes(validator.bank))))
    return file
