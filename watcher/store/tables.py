"""The tables, and the rules that PostgreSQL itself keeps: keys, uniqueness, states.

Times are aware UTC. Amounts are NUMERIC(78,0) base units, int in Python: neither a float nor an int64 holds them.
"""

from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class BaseUnits(TypeDecorator[int]):
    """An int of up to 78 digits in NUMERIC(78,0)."""

    impl = Numeric(78, 0)
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> Decimal | None:
        """Psycopg sends a Decimal as numeric, whatever its size."""
        del dialect
        return None if value is None else Decimal(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> int | None:
        """Numeric(78,0) has no fraction, so int() is exact."""
        del dialect
        return None if value is None else int(value)


def _time(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


def _text(name: str, *, key: bool = False, nullable: bool = False, default: str | None = None) -> Column[Any]:
    written = text(f"'{default}'") if default else None
    return Column(name, Text, primary_key=key, nullable=nullable, server_default=written)


def _json(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, JSONB(none_as_null=True), nullable=nullable)


def _int(name: str, *, nullable: bool = False, default: str | None = None) -> Column[Any]:
    return Column(name, BigInteger, nullable=nullable, server_default=text(default) if default else None)


def _flag(name: str, *, default: bool) -> Column[Any]:
    return Column(name, Boolean, nullable=False, server_default=text("true" if default else "false"))


def _units(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, BaseUnits, nullable=nullable)


# Whose things they are

installation = Table(
    "installation",
    metadata,
    Column("only", Boolean, primary_key=True, server_default=text("true")),
    _text("id"),  # stands in the metadata of each session: listing never adopts another installation's
    _time("created_at"),
    _text("epoch"),  # another one after each restore: a daemon that knew the one before is refused
    _time("restored_from", nullable=True),  # when the backup was made: what came after it is lost
    _time("restored_at", nullable=True),
    _time("moved_at", nullable=True),  # its content went to another server: nothing is written here any more
    CheckConstraint('"only"', name="one_row"),
)

tenant = Table("tenant", metadata, _text("id", key=True), _time("created_at"))

api_key = Table(
    "api_key",
    metadata,
    _text("id", key=True),
    _text("tenant"),
    Column("digest", LargeBinary, nullable=False, unique=True),  # SHA-256 of the key, which is shown once
    Column("scopes", ARRAY(Text), nullable=False),
    _time("created_at"),
    _time("revoked_at", nullable=True),
    ForeignKeyConstraint(["tenant"], ["tenant.id"]),
)

# "user" is a word of SQL's own
app_user = Table(
    "app_user",
    metadata,
    _text("tenant", key=True),
    _text("id", key=True),
    _text("locale", nullable=True),
    _text("time_zone", nullable=True),
    _text("country", nullable=True),
    _text("subdivision", nullable=True),
    _json("contacts"),
    _json("metadata"),
    _int("version"),
    _time("created_at"),
    _time("updated_at"),
    ForeignKeyConstraint(["tenant"], ["tenant.id"]),
)

wallet = Table(
    "wallet",
    metadata,
    _text("tenant", key=True),
    _text("id", key=True),
    _text("user_id", nullable=True),
    _text("label", nullable=True),
    _text("policy"),
    _json("funding", nullable=True),  # as the backend wrote it; None: the policy's
    _text("link_mode"),
    _flag("notify", default=True),
    _text("initial"),
    _flag("allow_off_curve", default=False),
    _time("asks_paused_until", nullable=True),
    _text("customer_ip_address", nullable=True),
    _time("customer_ip_until", nullable=True),
    _json("metadata"),
    _json("body"),  # the registration as last written, without the IP address: same body = same thing
    _int("version"),
    _time("created_at"),
    _time("updated_at"),
    _time("deleted_at", nullable=True),  # a tombstone keeps addresses write-once and versions growing
    ForeignKeyConstraint(["tenant"], ["tenant.id"]),
    ForeignKeyConstraint(["tenant", "user_id"], ["app_user.tenant", "app_user.id"]),
)
Index("ix_wallet_tenant_user_id", wallet.c.tenant, wallet.c.user_id)

wallet_address = Table(
    "wallet_address",
    metadata,
    _text("tenant", key=True),
    _text("wallet", key=True),
    _text("network", key=True),
    _text("address"),
    _flag("watched", default=True),
    _json("watched_since", nullable=True),  # {"height": 790} once the first block was read
    _text("next_address", nullable=True),  # takes its place once the cool-off is over
    _time("next_at", nullable=True),
    _time("created_at"),
    ForeignKeyConstraint(["tenant", "wallet"], ["wallet.tenant", "wallet.id"]),
)

Index("ix_wallet_address_next_at", wallet_address.c.next_at, postgresql_where=text("next_at is not null"))

# What is on chain

holding = Table(
    "holding",
    metadata,
    _text("network", key=True),
    _text("asset", key=True),
    _text("address", key=True),
    _units("balance", nullable=True),  # None: never read. An unknown balance is no zero
    _int("height", nullable=True),
    _text("hash", nullable=True),
    _time("block_time", nullable=True),
    _time("read_at", nullable=True),
)

requirement = Table(
    "requirement",
    metadata,
    _text("tenant", key=True),
    _text("wallet", key=True),
    _text("network", key=True),
    _text("asset", key=True),
    _text("address"),
    _json("level"),  # {"trigger": {"amount": "20"} | {"transactions": 3}, "target": …, "critical": …, "buffer": …}
    _flag("by_fee", default=False),  # some level is in transactions: it moves with the fee
    _flag("ask", default=True),
    _flag("watch_only", default=False),  # no level: part of a new wallet's first funding
    _text("status"),
    _flag("waiting", default=False),
    _time("ended_at", nullable=True),
    _text("policy"),
    _text("policy_version"),
    _time("changed_at", nullable=True),  # when its levels were written: a head from before says nothing about them
    ForeignKeyConstraint(["tenant", "wallet"], ["wallet.tenant", "wallet.id"]),
    ForeignKeyConstraint(["network", "asset", "address"], ["holding.network", "holding.asset", "holding.address"]),
    CheckConstraint("status in ('ok', 'unknown', 'low', 'critical')", name="status"),
)
Index("ix_requirement_holding", requirement.c.network, requirement.c.asset, requirement.c.address)

network_status = Table(
    "network_status",
    metadata,
    _text("network", key=True),
    _flag("fresh", default=False),
    _text("reason", nullable=True),
    _int("version"),
    _time("changed_at"),
)

# What was decided

ask = Table(
    "ask",
    metadata,
    _text("tenant", key=True),
    _text("kind", key=True),
    _text("id", key=True),
    _text("wallet"),
    _text("network"),
    _text("status"),
    _json("reason", nullable=True),
    _json("body"),  # as the backend wrote it, without the IP address: same body = same thing
    _json("analysis", nullable=True),  # what was found out about its transaction, and when to look again
    _flag("notify", default=True),
    _json("received", nullable=True),
    _text("transaction_hash", nullable=True),
    _time("expires_at"),
    _int("version"),
    _time("created_at"),
    _time("updated_at"),
    ForeignKeyConstraint(["tenant", "wallet"], ["wallet.tenant", "wallet.id"]),
    CheckConstraint("kind in ('transaction', 'checkout', 'swap')", name="kind"),
    CheckConstraint(
        "status in ('unknown', 'covered', 'short', 'not_funds', 'done', 'cancelled', 'expired')", name="status"
    ),
)
Index("ix_ask_tenant_wallet", ask.c.tenant, ask.c.wallet)
Index(
    "ix_ask_expires_at",
    ask.c.expires_at,
    postgresql_where=text("status in ('unknown', 'covered', 'short', 'not_funds')"),
)

need = Table(
    "need",
    metadata,
    _text("tenant", key=True),
    _text("kind", key=True),
    _text("id", key=True),
    _text("network", key=True),
    _text("asset", key=True),
    _text("address", key=True),
    _text("wallet"),
    Column("place", Integer, nullable=False, server_default=text("0")),  # among the needs of its ask
    _text("mode", default="balance"),  # what ends it: `balance` at least, `received` on top of it, or any `rise`
    _units("amount", nullable=True),  # None: whatever the person chooses
    _int("gas_limit", nullable=True),  # its gas follows the fee
    _json("lines", nullable=True),  # why that amount, in base units
    _text("state"),
    _text("refusal", nullable=True),  # why Stripe would not sell this asset to this person
    _int("since", nullable=True),  # height from which balances say something about it
    _time("closed_at", nullable=True),  # nothing is asked for it any more: met at the closing depth, or given up
    _json("bill", nullable=True),
    _time("expires_at", nullable=True),
    _time("created_at"),
    _time("updated_at"),
    ForeignKeyConstraint(["tenant", "wallet"], ["wallet.tenant", "wallet.id"]),
    CheckConstraint("mode in ('balance', 'received', 'rise')", name="mode"),
    CheckConstraint("kind in ('funding', 'new_wallet', 'transaction', 'checkout', 'swap', 'add_funds')", name="kind"),
    CheckConstraint(
        "state in ('unknown', 'covered', 'short', 'not_funds', 'done', 'cancelled', 'expired')", name="state"
    ),
)
Index("ix_need_holding", need.c.network, need.c.asset, need.c.address)
Index(
    "ix_need_unclosed",
    need.c.network,
    postgresql_where=text("closed_at is null and kind in ('transaction', 'checkout', 'swap', 'add_funds')"),
)

top_up = Table(
    "top_up",
    metadata,
    _text("id", key=True),
    _text("tenant"),
    _text("wallet"),
    _text("scope"),  # "<network>/<asset>", or "wallet" for a new wallet's first funding
    _text("status"),
    _int("version"),
    _text("group"),
    Column("livemode", Boolean, nullable=False),
    _json("destinations"),  # [{network, asset, address, baseline}]: baseline in base units, when it was decided
    _units("asked", nullable=True),
    _units("needed", nullable=True),  # balance_at_least
    _units("to_receive", nullable=True),  # received_at_least, on top of the baseline
    _json("bill", nullable=True),
    _json("reason"),
    _text("link_mode"),
    _flag("notify", default=True),
    _int("decided_height"),
    _text("decided_hash", nullable=True),
    _int("session_due_height"),  # minted from this height on, if the need still stands
    _flag("session_deferred", default=False),
    _flag("withheld", default=False),  # its link waits for the end of a pause
    _time("risen_at", nullable=True),  # since when the closing depth has shown the need as met
    _time("expires_at"),
    _time("overdue_at", nullable=True),
    _flag("overdue", default=False),
    _flag("late", default=False),
    _text("superseded_by", nullable=True),
    _json("received", nullable=True),
    _text("outcome", nullable=True),
    _text("failure", nullable=True),  # code of the reason of `rejected` and `failed`
    _json("timeline"),
    _time("created_at"),
    _time("updated_at"),
    ForeignKeyConstraint(["tenant", "wallet"], ["wallet.tenant", "wallet.id"]),
    CheckConstraint(
        "status in ('open', 'settling', 'landed', 'retracted', 'cancelled', 'expired', 'superseded',"
        " 'rejected', 'failed')",
        name="status",
    ),
)
Index(
    "uq_top_up_open",
    top_up.c.tenant,
    top_up.c.wallet,
    top_up.c.scope,
    unique=True,
    postgresql_where=text("status = 'open'"),
)
Index(
    "ix_top_up_active",
    top_up.c.tenant,
    top_up.c.wallet,
    postgresql_where=text("status in ('open', 'settling')"),
)
Index("ix_top_up_tenant_updated_at", top_up.c.tenant, top_up.c.updated_at, top_up.c.id)

top_up_need = Table(
    "top_up_need",
    metadata,
    _text("top_up", key=True),
    _text("tenant", key=True),
    _text("kind", key=True),
    _text("id", key=True),
    _text("network", key=True),
    _text("asset", key=True),
    _text("address", key=True),
    ForeignKeyConstraint(["top_up"], ["top_up.id"]),
    ForeignKeyConstraint(
        ["tenant", "kind", "id", "network", "asset", "address"],
        ["need.tenant", "need.kind", "need.id", "need.network", "need.asset", "need.address"],
    ),
)

session = Table(
    "session",
    metadata,
    _text("top_up", key=True),
    Column("attempt", Integer, primary_key=True),
    _text("tenant"),
    _text("idempotency_key"),
    _json("body"),  # exact, stored before the call
    _text("state"),
    _text("stripe_id", nullable=True),
    _text("status", nullable=True),
    Column("livemode", Boolean, nullable=False),
    _text("link", nullable=True),
    _text("transaction", nullable=True),
    _text("refusal", nullable=True),  # Stripe's code, when there is no session
    Column("tries", Integer, nullable=False, server_default=text("0")),
    Column("faults", Integer, nullable=False, server_default=text("0")),  # answers that may be stored under the key
    _time("called_at", nullable=True),  # the first call under this key: keys may be forgotten a day later
    _time("next_look_at", nullable=True),
    Column("looks", Integer, nullable=False, server_default=text("0")),
    _time("created_at"),
    _time("updated_at"),
    ForeignKeyConstraint(["top_up"], ["top_up.id"]),
    UniqueConstraint("idempotency_key"),
    CheckConstraint("state in ('creating', 'created', 'none')", name="state"),
)
Index("uq_session_stripe_id", session.c.stripe_id, unique=True, postgresql_where=text("stripe_id is not null"))
Index("ix_session_next_look_at", session.c.next_look_at, postgresql_where=text("next_look_at is not null"))

onramp_pause = Table(
    "onramp_pause",
    metadata,
    _text("tenant", key=True),
    _time("until"),
    _text("reason"),
    ForeignKeyConstraint(["tenant"], ["tenant.id"]),
)

# What waits, and what is held back

session_turn = Table(
    "session_turn",
    metadata,
    _text("top_up", key=True),
    _text("tenant"),
    Column("networks", ARRAY(Text), nullable=False),
    Column("rank", Integer, nullable=False),  # 0: somebody waits for it at a screen; 1: everything else
    _time("due_at"),
    _time("created_at"),
    ForeignKeyConstraint(["top_up"], ["top_up.id"]),
)
Index(
    "ix_session_turn_tenant_rank_due_at",
    session_turn.c.tenant,
    session_turn.c.rank,
    session_turn.c.due_at,
    session_turn.c.top_up,
)

session_pace = Table(
    "session_pace",
    metadata,
    Column("only", Boolean, primary_key=True, server_default=text("true")),
    _time("free_at"),  # when the next session may be asked for; locked by whoever gives out turns
    Column("served", ARRAY(Text), nullable=False),  # tenants, the one that was served longest ago first
    CheckConstraint('"only"', name="one_row"),
)

hold = Table(
    "hold",
    metadata,
    _text("kind", key=True),
    _text("name", key=True),  # a tenant's or a network's id; empty for all
    _text("cause", key=True),  # `operator`, or `storm`
    _json("facts", nullable=True),  # what the brake saw
    _time("since"),
    CheckConstraint("kind in ('tenant', 'network', 'all')", name="kind"),
    CheckConstraint("cause in ('operator', 'storm')", name="cause"),
)

turned_short = Table(
    "turned_short",
    metadata,
    _text("network", key=True),
    _text("tenant", key=True),
    _text("wallet", key=True),
    _time("at"),
)
Index("ix_turned_short_network_at", turned_short.c.network, turned_short.c.at)

decision = Table(
    "decision",
    metadata,
    _text("id", key=True),
    _text("tenant"),
    _text("wallet"),
    _text("network"),
    _int("height"),
    _text("hash", nullable=True),
    _json("inputs"),
    _text("policy_version"),
    _text("outcome"),
    _text("top_up", nullable=True),
    _time("created_at"),
)
Index("ix_decision_tenant_wallet", decision.c.tenant, decision.c.wallet, decision.c.created_at)

cursor = Table(
    "cursor",
    metadata,
    _text("network", key=True),
    Column("shard", Integer, primary_key=True),
    _int("token", default="0"),  # fencing: each owner takes the next, and every write checks it
    _text("owner", nullable=True),
    _int("height", nullable=True),
    _text("hash", nullable=True),
    _time("block_time", nullable=True),
    _time("updated_at"),
)

# Who watches: replicas of the daemon, and the shards that they share

sharding = Table(
    "sharding",
    metadata,
    _text("network", key=True),
    Column("shards", Integer, nullable=False),  # cursors from here on are remains of a larger number
    _time("changed_at"),
)

replica = Table(
    "replica",
    metadata,
    _text("name", key=True),
    _text("network", key=True),
    _flag("reads", default=True),  # false: it can't reach the network, so others had better have its shards
    _time("seen_at"),  # by PostgreSQL's clock
)

# What was said

event_position = Table(
    "event_position",
    metadata,
    Column("only", Boolean, primary_key=True, server_default=text("true")),
    _int("last"),  # locked by each writer until it commits: positions are in commit order and gapless
    CheckConstraint('"only"', name="one_row"),
)

event = Table(
    "event",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    _text("id"),
    _text("tenant"),
    _text("type"),
    _text("subject_object"),
    _text("subject_id"),
    _int("version"),
    Column("livemode", Boolean, nullable=False),
    _json("data"),  # never holds a link: those that may see one get it from the session row
    _time("created_at"),
    UniqueConstraint("id"),
    UniqueConstraint("tenant", "subject_object", "subject_id", "version"),
)
Index("ix_event_tenant_position", event.c.tenant, event.c.position)

endpoint = Table(
    "endpoint",
    metadata,
    _text("tenant", key=True),
    _text("id", key=True),
    _text("source"),  # `config`, `api`, or `removed`: kept for the deliveries that name it
    _text("url"),
    Column("events", ARRAY(Text), nullable=False),
    _flag("include_links", default=False),
    _flag("enabled", default=True),
    _json("secrets"),  # of endpoints made over the API; the config's stay in the config
    _time("gone_at", nullable=True),  # it answered 410: off until somebody writes it anew
    _time("created_at"),
    _time("updated_at"),
    ForeignKeyConstraint(["tenant"], ["tenant.id"]),
)

delivery = Table(
    "delivery",
    metadata,
    _text("id", key=True),
    _text("tenant"),
    _text("event_id"),
    _text("endpoint"),
    _text("status"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    _time("next_attempt_at", nullable=True),
    Column("last_status_code", Integer, nullable=True),
    _text("last_detail", nullable=True),
    _time("created_at"),
    _time("updated_at"),
    ForeignKeyConstraint(["event_id"], ["event.id"]),
    ForeignKeyConstraint(["tenant", "endpoint"], ["endpoint.tenant", "endpoint.id"]),
    UniqueConstraint("event_id", "endpoint"),
    CheckConstraint("status in ('pending', 'delivered', 'dead', 'superseded')", name="status"),
)
Index("ix_delivery_tenant_created_at", delivery.c.tenant, delivery.c.created_at, delivery.c.id)

# What came in

inbox = Table(
    "inbox",
    metadata,
    _text("tenant", key=True),
    _text("source", key=True),  # `stripe`, or a backend's
    _text("id", key=True),
    Column("digest", LargeBinary, nullable=False),  # SHA-256 of the body: same id with other bytes is refused
    _json("payload"),  # scrubbed: no client_secret, no link
    _time("received_at"),
    _time("handled_at", nullable=True),
    _text("outcome", nullable=True),  # `applied`, `ignored`, `outdated`, or `refused`
    ForeignKeyConstraint(["tenant"], ["tenant.id"]),
)

revision = Table(
    "revision",
    metadata,
    _text("tenant", key=True),
    _text("object", key=True),
    _text("id", key=True),
    _int("last"),  # highest revision that a backend has sent of this thing: lower ones come too late
    _time("updated_at"),
    ForeignKeyConstraint(["tenant"], ["tenant.id"]),
)

idempotency = Table(
    "idempotency",
    metadata,
    _text("tenant", key=True),
    _text("key", key=True),
    Column("digest", LargeBinary, nullable=False),  # of method, path and body
    Column("status_code", Integer, nullable=False),
    _json("answer"),
    _time("created_at"),
    ForeignKeyConstraint(["tenant"], ["tenant.id"]),
)

sweep_run = Table(
    "sweep_run",
    metadata,
    _text("name", key=True),
    Column("slot", DateTime(timezone=True), primary_key=True),
    _time("created_at"),
)
