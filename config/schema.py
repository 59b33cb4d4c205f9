"""The shape of the configuration, as pydantic reads it from TOML and environment. Unknown keys are refused.

What depends on more than one field is judged in `config.build`.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from config.model import DEFAULT_POOL_SIZE, DEFAULT_REQUESTS_PER_SECOND

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Seconds = Annotated[int, Field(ge=1, le=366 * 86_400)]
Port = Annotated[str, Field(pattern=r"^[^\s:]+:\d{1,5}$|^\[[0-9a-fA-F:]+\]:\d{1,5}$")]
EventPattern = Annotated[str, Field(pattern=r"^(\*|[a-z_]+\.(\*|[a-z_]+))$")]
"""`*`, `top_up.*`, or one type."""
HttpUrl = Annotated[str, Field(pattern=r"^https?://[^\s/?#]+")]


class Strict(BaseModel):
    """No key that isn't known, no value that must be guessed at."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class StripeNames(Strict):
    """How Stripe calls an asset, and where it sells it."""

    currency: str
    network: str
    wallet_key: str | None = None
    decimals: Annotated[int, Field(ge=0, le=36)]
    sold: list[Literal["us", "eu"]]


class AssetEntry(Strict):
    """An asset of the catalogue, or one that the operator adds."""

    symbol: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,16}$")]
    reference: str | None = None
    decimals: Annotated[int, Field(ge=0, le=36)]
    minimum: Any = "0"
    maximum: Any = None
    stripe: StripeNames | None = None


class CatalogueEntry(Strict):
    """A network that is known by name."""

    id: str
    family: Literal["eip155", "solana"]
    test: bool = False
    chain_id: int | None = None
    genesis_hash: str | None = None
    close: int | Literal["safe", "finalized"]
    typical_gas: int
    poll_seconds: Seconds = 4
    stale_seconds: Seconds = 60
    max_head_age_seconds: Seconds | None = None
    assets: list[AssetEntry]


class AssetLimits(Strict):
    """What the operator changes of an asset that the catalogue has."""

    minimum: Any = None
    maximum: Any = None


class BrakeEntry(Strict):
    """When a wave of shortfalls is held for the operator to look at."""

    share_percent: Annotated[int, Field(ge=1, le=100)] = 30
    minimum: Annotated[int, Field(ge=2, le=1_000_000_000)] = 200
    window_seconds: Annotated[int, Field(ge=1, le=86_400)] = 600


PerSecond = Annotated[int, Field(ge=1, le=1_000_000)]


class BudgetEntry(Strict):
    """One `[networks.NAME.budgets."HOST"]`: how much an endpoint may be asked. What is left out has no limit."""

    calls_per_second: PerSecond | None = None
    credits_per_second: PerSecond | None = None
    credits: dict[str, Annotated[int, Field(ge=0, le=1_000_000)]] = {}
    most_in_batch: Annotated[int, Field(ge=1, le=100_000)] | None = None


class NetworkEntry(Strict):
    """One `[networks.NAME]`: endpoints, and what differs from the catalogue."""

    http: Annotated[list[SecretStr], Field(min_length=1, max_length=16)]
    ws: Annotated[list[SecretStr], Field(max_length=16)] = []
    open_confirmations: Annotated[int, Field(ge=1, le=1000)] = 1
    close_confirmations: Annotated[int, Field(ge=1, le=10_000)] | Literal["safe", "finalized"] | None = None
    poll_seconds: Seconds | None = None
    stale_seconds: Seconds | None = None
    typical_gas: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    shards: Annotated[int, Field(ge=1, le=1024)] = 8
    sweep_calls_per_minute: Annotated[int, Field(ge=0, le=60_000)] = 60
    assets: list[AssetEntry] = []
    limits: dict[str, AssetLimits] = {}
    brake: BrakeEntry | None = None
    budgets: dict[str, BudgetEntry] = {}


class PolicyEntry(Strict):
    """One `[policies.NAME]`."""

    networks: list[str]
    funding: list[dict[str, Any]] = []
    gas_buffer: dict[str, Any] = {"transactions": 2}
    hysteresis_percent: Annotated[int, Field(ge=0, le=100)] = 10
    cooldown_seconds: Seconds = 86_400
    expires_seconds: Seconds = 86_400
    settle_seconds: Seconds = 86_400


class EndpointEntry(Strict):
    """One receiver of events."""

    id: Name
    url: HttpUrl
    secret: SecretStr | None = None
    secret_file: str | None = None
    old_secrets: list[SecretStr] = []
    events: Annotated[list[EventPattern], Field(min_length=1)] = ["*"]
    include_links: bool = False
    enabled: bool = True


class SourceEntry(Strict):
    """One `[tenants.X.sources.NAME]`: a sender of inbound webhooks."""

    secret: SecretStr | None = None
    secret_file: str | None = None
    old_secrets: list[SecretStr] = []


class TenantEntry(Strict):
    """One wallet backend."""

    stripe_secret_key: SecretStr | None = None
    stripe_secret_key_file: str | None = None
    stripe_webhook_secrets: list[SecretStr] = []
    stripe_webhook_secret_file: str | None = None
    cool_off_seconds: Annotated[int, Field(ge=0, le=30 * 86_400)] = 86_400
    requests_per_second: Annotated[int, Field(ge=1, le=100_000)] = DEFAULT_REQUESTS_PER_SECOND
    endpoints: list[EndpointEntry] = []
    sources: dict[Name, SourceEntry] = {}


class DatabaseEntry(Strict):
    """Where PostgreSQL is; nothing for the embedded one."""

    url: SecretStr | None = None
    url_file: str | None = None
    pool_size: Annotated[int, Field(ge=4, le=1000)] = DEFAULT_POOL_SIZE


class StripeEntry(Strict):
    """Stripe's API, or a sandbox in its place."""

    api_base: HttpUrl = "https://api.stripe.com"
    version: str | None = None
    poll_seconds: Seconds = 15
    sessions_per_second: Annotated[int, Field(ge=1, le=1000)] | None = None


class OperatorEntry(Strict):
    """Where the operator is told of what was held: a program, or an endpoint."""

    command: Annotated[list[str], Field(min_length=1, max_length=64)] | None = None
    url: HttpUrl | None = None
    secret: SecretStr | None = None
    secret_file: str | None = None
    old_secrets: list[SecretStr] = []


class HttpRateEntry(Strict):
    """One `[[rates.http]]`: a URL that tells rates. It may hold a key."""

    url: SecretStr
    value: str
    time: str | None = None
    fresh_seconds: Seconds = 60
    stale_seconds: Seconds = 300


class RatesEntry(Strict):
    """What assets cost in fiat, for prices that are named in it."""

    peg: dict[str, Any] = {}
    table: dict[str, Any] = {}
    http: Annotated[list[HttpRateEntry], Field(max_length=16)] = []


class File(Strict):
    """The whole file."""

    data_dir: str = "data"
    listen: Port = "127.0.0.1:8080"
    console: bool = True
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    allow_private_receivers: bool = False
    database: DatabaseEntry = DatabaseEntry()
    stripe: StripeEntry = StripeEntry()
    rates: RatesEntry = RatesEntry()
    brake: BrakeEntry = BrakeEntry()
    operator: OperatorEntry = OperatorEntry()
    networks: dict[str, NetworkEntry]
    policies: dict[Name, PolicyEntry] = {}
    tenants: dict[Name, TenantEntry]


def find_path(text: str, base: Path) -> Path:
    """A path of the configuration, relative to its file."""
    return (base / text).expanduser()
