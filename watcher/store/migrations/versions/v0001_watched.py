"""What is watched and for whom; procrastinate's own schema, as of 3.10."""

import sqlalchemy as sa
from alembic import op
from procrastinate.schema import SchemaManager
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Tables after those that they refer to."""
    # a percent sign is a placeholder to the driver
    op.get_bind().exec_driver_sql(SchemaManager.get_schema().replace("%", "%%"))
    _create_cursor()
    _create_holding()
    _create_installation()
    _create_network_status()
    _create_sweep_run()
    _create_tenant()
    _create_api_key()
    _create_app_user()
    _create_idempotency()
    _create_inbox()
    _create_wallet()
    _create_requirement()
    _create_wallet_address()


def _create_cursor() -> None:
    op.create_table(
        "cursor",
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("token", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("height", sa.BigInteger(), nullable=True),
        sa.Column("hash", sa.Text(), nullable=True),
        sa.Column("block_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("network", "shard", name=op.f("pk_cursor")),
    )


def _create_holding() -> None:
    op.create_table(
        "holding",
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("balance", sa.Numeric(precision=78, scale=0), nullable=True),
        sa.Column("height", sa.BigInteger(), nullable=True),
        sa.Column("hash", sa.Text(), nullable=True),
        sa.Column("block_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("network", "asset", "address", name=op.f("pk_holding")),
    )


def _create_installation() -> None:
    op.create_table(
        "installation",
        sa.Column("only", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint('"only"', name=op.f("ck_installation_one_row")),
        sa.PrimaryKeyConstraint("only", name=op.f("pk_installation")),
    )


def _create_network_status() -> None:
    op.create_table(
        "network_status",
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("fresh", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("network", name=op.f("pk_network_status")),
    )


def _create_sweep_run() -> None:
    op.create_table(
        "sweep_run",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("slot", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", "slot", name=op.f("pk_sweep_run")),
    )


def _create_tenant() -> None:
    op.create_table(
        "tenant",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenant")),
    )


def _create_api_key() -> None:
    op.create_table(
        "api_key",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["tenant"], ["tenant.id"], name=op.f("fk_api_key_tenant_tenant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_key_digest")),
    )


def _create_app_user() -> None:
    op.create_table(
        "app_user",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("locale", sa.Text(), nullable=True),
        sa.Column("time_zone", sa.Text(), nullable=True),
        sa.Column("country", sa.Text(), nullable=True),
        sa.Column("subdivision", sa.Text(), nullable=True),
        sa.Column("contacts", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("metadata", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenant.id"], name=op.f("fk_app_user_tenant_tenant")),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_app_user")),
    )


def _create_idempotency() -> None:
    op.create_table(
        "idempotency",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("status_code", sa.Integer(), nullable=False),
        sa.Column("answer", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenant.id"], name=op.f("fk_idempotency_tenant_tenant")),
        sa.PrimaryKeyConstraint("tenant", "key", name=op.f("pk_idempotency")),
    )


def _create_inbox() -> None:
    op.create_table(
        "inbox",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("payload", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("handled_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["tenant"], ["tenant.id"], name=op.f("fk_inbox_tenant_tenant")),
        sa.PrimaryKeyConstraint("tenant", "source", "id", name=op.f("pk_inbox")),
    )


def _create_wallet() -> None:
    op.create_table(
        "wallet",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=True),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("funding", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("link_mode", sa.Text(), nullable=False),
        sa.Column("notify", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("initial", sa.Text(), nullable=False),
        sa.Column("allow_off_curve", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("asks_paused_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("customer_ip_address", sa.Text(), nullable=True),
        sa.Column("customer_ip_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("metadata", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("body", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant", "user_id"], ["app_user.tenant", "app_user.id"], name=op.f("fk_wallet_tenant_user_id_app_user")
        ),
        sa.ForeignKeyConstraint(["tenant"], ["tenant.id"], name=op.f("fk_wallet_tenant_tenant")),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_wallet")),
    )
    op.create_index("ix_wallet_tenant_user_id", "wallet", ["tenant", "user_id"], unique=False)


def _create_requirement() -> None:
    op.create_table(
        "requirement",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("wallet", sa.Text(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("level", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("by_fee", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("ask", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("watch_only", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("waiting", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("policy_version", sa.Text(), nullable=False),
        sa.CheckConstraint("status in ('ok', 'unknown', 'low', 'critical')", name=op.f("ck_requirement_status")),
        sa.ForeignKeyConstraint(
            ["network", "asset", "address"],
            ["holding.network", "holding.asset", "holding.address"],
            name=op.f("fk_requirement_network_asset_address_holding"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant", "wallet"], ["wallet.tenant", "wallet.id"], name=op.f("fk_requirement_tenant_wallet_wallet")
        ),
        sa.PrimaryKeyConstraint("tenant", "wallet", "network", "asset", name=op.f("pk_requirement")),
    )
    op.create_index("ix_requirement_holding", "requirement", ["network", "asset", "address"], unique=False)


def _create_wallet_address() -> None:
    op.create_table(
        "wallet_address",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("wallet", sa.Text(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("watched", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("watched_since", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "wallet"], ["wallet.tenant", "wallet.id"], name=op.f("fk_wallet_address_tenant_wallet_wallet")
        ),
        sa.PrimaryKeyConstraint("tenant", "wallet", "network", name=op.f("pk_wallet_address")),
    )
