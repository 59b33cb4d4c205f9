"""What the operator declared, parsed once: frozen, checked, in base units. The pydantic edge is `config.schema`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Final, Literal

from chains.model import Asset, Family, NetworkId
from chains.rpc_budget import Budget
from notifier.model import Endpoint
from notifier.rates import Pair

CONSOLE_ENDPOINT: Final = "console"
"""The id of the endpoint where events are printed."""
DEFAULT_REQUESTS_PER_SECOND: Final = 50
DEFAULT_POOL_SIZE: Final = 20
LIVE_SESSIONS_PER_SECOND: Final = 20
"""Stripe takes 25 requests a second at one of its endpoints."""
TEST_SESSIONS_PER_SECOND: Final = 10
"""In test mode it takes 25 of an account at all of them together."""
OPERATOR_ENDPOINT: Final = "operator"


@dataclass(frozen=True, slots=True)
class OnrampAsset:
    """How Stripe names an asset on a network, and where it sells it."""

    currency: str
    network: str
    wallet_key: str
    decimals: int
    """Decimals that Stripe takes in an amount."""
    sold_us: bool
    sold_eu: bool


@dataclass(frozen=True, slots=True)
class Brake:
    """When so many wallets turn short at once that it is more likely a fault or a spike than their doing."""

    share_percent: int = 30
    """More than this share of a network's wallets, within the window, holds its asks; 100: never."""
    minimum: int = 200
    """Fewer wallets than this hold nothing, whatever their share."""
    window_seconds: int = 600


@dataclass(frozen=True, slots=True)
class NetworkAsset:
    """An asset of the catalogue, with what is configured for it."""

    asset: Asset
    onramp: OnrampAsset | None
    """None: can be watched, not asked for."""
    minimum: int
    """Smallest purchase worth a link, base units."""
    maximum: int | None
    """Largest amount ever asked for at once, base units."""


@dataclass(frozen=True, slots=True)
class Network:
    """One network of the catalogue, with the operator's endpoints."""

    id: NetworkId
    name: str
    """Catalogue name: `ethereum`, `base`, `local-evm`."""
    family: Family
    test: bool
    """A test or local network: only with a test key."""
    chain_id: int | None
    genesis_hash: str | None
    http_urls: tuple[str, ...] = field(repr=False)
    """RPC endpoints in order of preference. They may carry keys, so they are in no repr."""
    ws_urls: tuple[str, ...] = field(repr=False)
    assets: tuple[NetworkAsset, ...]
    """The native coin first."""
    typical_gas: int
    """Gas of a typical transaction (EVM), or compute units (Solana)."""
    open_confirmations: int
    """1: the block itself is enough."""
    close_confirmations: int | Literal["safe", "finalized"]
    poll_seconds: int
    """Floor of the head poll, whatever the push says."""
    stale_seconds: int
    """How long the head may be unreadable before the network is called stale."""
    max_head_age_seconds: int | None
    """Oldest believable head by its own time; None on local networks, which mine on demand."""
    shards: int = 8
    """Parts that its wallets are divided into, for replicas to share."""
    brake: Brake = field(default_factory=Brake)
    sweep_calls_per_minute: int = 60
    """What may be spent on reading, in turn, holdings that no block has touched."""
    budgets: Mapping[str, Budget] = field(default_factory=dict)
    """How much endpoints may be asked, by host; `*` for those that are not named."""

    @property
    def native(self) -> NetworkAsset:
        """The network's own coin."""
        return self.assets[0]

    def find_asset(self, reference: str) -> NetworkAsset | None:
        """By reference (`native`, contract, mint) or by symbol, case-sensitive."""
        return next((a for a in self.assets if reference in (a.asset.reference, a.asset.symbol)), None)


@dataclass(frozen=True, slots=True)
class Level:
    """A trigger, target or buffer: a fixed amount, or what N typical transactions cost at the current fee."""

    amount: int | None = None
    """Base units."""
    transactions: int | None = None
    """Exactly one of the two is set."""


@dataclass(frozen=True, slots=True)
class LowFunding:
    """Keep a holding above `trigger`, and when it falls below, fill it to `target`."""

    network: NetworkId
    asset: str
    """The asset's reference."""
    trigger: Level
    target: Level
    critical: Level | None = None
    buffer: Level | None = None
    """Gas buffer of this entry, in place of the policy's; only where the asset pays gas."""
    ask: bool = True


@dataclass(frozen=True, slots=True)
class CreatedFunding:
    """One ask for a whole new wallet, over several networks, when it is registered."""

    networks: tuple[NetworkId, ...]
    assets: tuple[str, ...] = ()
    """Symbols that it is limited to; none: the person chooses what to buy."""
    amount: int | None = None
    """Base units, where there is one network and one asset; None: the person chooses how much."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A named set of rules that wallets refer to."""

    name: str
    version: str
    """Hash of its content: stands beside each decision."""
    networks: tuple[NetworkId, ...]
    """Those that an `eip155` address stands for."""
    low: tuple[LowFunding, ...] = ()
    created: CreatedFunding | None = None
    gas_buffer: Level = field(default_factory=lambda: Level(transactions=2))
    """Added to the target of a native coin."""
    hysteresis_percent: int = 10
    """A low holding counts as recovered this far on its way from trigger to target."""
    cooldown_seconds: int = 86_400
    """After an ask ended without funds, no other for this long."""
    expires_seconds: int = 86_400
    """An unpaid ask ends after this long."""
    settle_seconds: int = 86_400
    """A paid ask that has not landed after this long is overdue."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a tenant's inbound webhooks come from. Its name, which no other tenant may use, stands in their path."""

    name: str
    secrets: tuple[str, ...] = field(repr=False)
    """`whsec_…`; any of them is accepted, so that one can be replaced while both are in use."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """One wallet backend."""

    id: str
    stripe_secret_key: str | None = field(repr=False)
    """None: everything is watched, nothing is asked for."""
    stripe_webhook_secrets: tuple[str, ...] = field(repr=False)
    endpoints: tuple[Endpoint, ...]
    policies: Mapping[str, Policy]
    cool_off_seconds: int = 86_400
    """How long a replaced address waits before it counts: time to notice what nobody wanted."""
    requests_per_second: int = DEFAULT_REQUESTS_PER_SECOND
    """Of the API, for all keys together; twice as many at once after a rest."""
    sources: tuple[Source, ...] = ()

    @property
    def livemode(self) -> bool:
        """Whether this tenant's Stripe key is a live one."""
        return self.stripe_secret_key is not None and self.stripe_secret_key.startswith(("sk_live_", "rk_live_"))


@dataclass(frozen=True, slots=True)
class HttpRateUrl:
    """A URL that tells rates, and where in its answer."""

    url: str = field(repr=False)
    """With `{asset}`, and `{fiat}` or `{FIAT}`. It may carry a key, so it is in no repr."""
    value: str
    """JSON pointer to the rate."""
    time: str | None
    """JSON pointer to the rate's own time; None: the time of the answer."""
    fresh_seconds: int
    stale_seconds: int


@dataclass(frozen=True, slots=True)
class Rates:
    """What assets cost in fiat. Without any, prices in fiat are answered with `no_rate`."""

    peg: Mapping[str, str] = field(default_factory=dict)
    """Fiat by the symbol of an asset that is one unit of it."""
    table: Mapping[Pair, Decimal] = field(default_factory=dict)
    """Fixed rates: fiat per one unit."""
    http: tuple[HttpRateUrl, ...] = ()
    """In the order to be asked, after the others."""


@dataclass(frozen=True, slots=True)
class Operator:
    """Who is told when asks are held back, beside the log. Neither: nobody else."""

    command: tuple[str, ...] = field(default=(), repr=False)
    """A program and its arguments; the notice is its standard input, as JSON."""
    endpoint: Endpoint | None = None
    """The same as a signed webhook."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration."""

    networks: Mapping[NetworkId, Network]
    tenants: Mapping[str, Tenant]
    data_dir: Path
    database_url: str | None = field(repr=False)
    """None: embedded PostgreSQL in `data_dir`."""
    listen_host: str
    listen_port: int
    stripe_api_base: str
    """`https://api.stripe.com`, or a sandbox's address."""
    stripe_version: str | None
    allow_private_receivers: bool
    """Whether webhooks may go to loopback and private addresses: for local use only."""
    console: bool
    """Whether each event is also printed."""
    log_level: str
    poll_seconds: int
    """First interval between looks at an open session; it grows."""
    rates: Rates = field(default_factory=Rates)
    pool_size: int = DEFAULT_POOL_SIZE
    """Most connections for transactions; the worker of jobs has a few of its own."""
    sessions_per_second: int = TEST_SESSIONS_PER_SECOND
    """Most onramp sessions that are asked for in a second, for all tenants and replicas together."""
    operator: Operator = field(default_factory=Operator)

    def find_network(self, name: str) -> Network | None:
        """By catalogue name or CAIP-2 id."""
        return next((n for n in self.networks.values() if name in (n.name, n.id)), None)

    def find_source(self, name: str | None) -> tuple[Tenant, Source] | None:
        """A source and whose it is; without a name the sole source of a sole tenant."""
        known = [(tenant, source) for tenant in self.tenants.values() for source in tenant.sources]
        if name is None:
            return known[0] if len(self.tenants) == 1 and len(known) == 1 else None
        return next((found for found in known if found[1].name == name), None)
