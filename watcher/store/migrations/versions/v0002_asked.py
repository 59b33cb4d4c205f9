"""What was decided, asked for and said."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Tables after those that they refer to."""
    _create_decision()
    _create_event()
    _create_event_position()
    _create_endpoint()
    _create_onramp_pause()
    _create_delivery()
    _create_need()
    _create_top_up()
    _create_session()
    _create_top_up_need()
    op.execute('insert into event_position ("only", last) values (true, 0)')


def _create_decision() -> None:
    op.create_table(
        "decision",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("wallet", sa.Text(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("height", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=True),
        sa.Column("inputs", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("policy_version", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("top_up", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decision")),
    )
    op.create_index("ix_decision_tenant_wallet", "decision", ["tenant", "wallet", "created_at"], unique=False)


def _create_event() -> None:
    op.create_table(
        "event",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("subject_object", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("data", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_event")),
        sa.UniqueConstraint("id", name=op.f("uq_event_id")),
        sa.UniqueConstraint(
            "tenant",
            "subject_object",
            "subject_id",
            "version",
            name=op.f("uq_event_tenant_subject_object_subject_id_version"),
        ),
    )
    op.create_index("ix_event_tenant_position", "event", ["tenant", "position"], unique=False)


def _create_event_position() -> None:
    op.create_table(
        "event_position",
        sa.Column("only", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.CheckConstraint('"only"', name=op.f("ck_event_position_one_row")),
        sa.PrimaryKeyConstraint("only", name=op.f("pk_event_position")),
    )


def _create_endpoint() -> None:
    op.create_table(
        "endpoint",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("events", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("include_links", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("secrets", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenant.id"], name=op.f("fk_endpoint_tenant_tenant")),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_endpoint")),
    )


def _create_onramp_pause() -> None:
    op.create_table(
        "onramp_pause",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenant.id"], name=op.f("fk_onramp_pause_tenant_tenant")),
        sa.PrimaryKeyConstraint("tenant", name=op.f("pk_onramp_pause")),
    )


def _create_delivery() -> None:
    op.create_table(
        "delivery",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_status_code", sa.Integer(), nullable=True),
        sa.Column("last_detail", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("status in ('pending', 'delivered', 'dead', 'superseded')", name=op.f("ck_delivery_status")),
        sa.ForeignKeyConstraint(["event_id"], ["event.id"], name=op.f("fk_delivery_event_id_event")),
        sa.ForeignKeyConstraint(
            ["tenant", "endpoint"],
            ["endpoint.tenant", "endpoint.id"],
            name=op.f("fk_delivery_tenant_endpoint_endpoint"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery")),
        sa.UniqueConstraint("event_id", "endpoint", name=op.f("uq_delivery_event_id_endpoint")),
    )
    op.create_index("ix_delivery_tenant_created_at", "delivery", ["tenant", "created_at", "id"], unique=False)


def _create_need() -> None:
    op.create_table(
        "need",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("wallet", sa.Text(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=78, scale=0), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "kind in ('funding', 'new_wallet', 'transaction', 'checkout', 'swap', 'add_funds')",
            name=op.f("ck_need_kind"),
        ),
        sa.CheckConstraint(
            "state in ('unknown', 'covered', 'short', 'not_funds', 'done', 'cancelled', 'expired')",
            name=op.f("ck_need_state"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant", "wallet"], ["wallet.tenant", "wallet.id"], name=op.f("fk_need_tenant_wallet_wallet")
        ),
        sa.PrimaryKeyConstraint("tenant", "kind", "id", "network", "asset", "address", name=op.f("pk_need")),
    )
    op.create_index("ix_need_holding", "need", ["network", "asset", "address"], unique=False)


def _create_top_up() -> None:
    op.create_table(
        "top_up",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("wallet", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("group", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("destinations", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("asked", sa.Numeric(precision=78, scale=0), nullable=True),
        sa.Column("needed", sa.Numeric(precision=78, scale=0), nullable=True),
        sa.Column("bill", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("reason", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("link_mode", sa.Text(), nullable=False),
        sa.Column("notify", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("decided_height", sa.BigInteger(), nullable=False),
        sa.Column("decided_hash", sa.Text(), nullable=True),
        sa.Column("session_due_height", sa.BigInteger(), nullable=False),
        sa.Column("session_deferred", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("risen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("overdue_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("overdue", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("late", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("superseded_by", sa.Text(), nullable=True),
        sa.Column("received", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("timeline", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "status in ('open', 'settling', 'landed', 'retracted', 'cancelled', 'expired', 'superseded', "
            "'rejected', 'failed')",
            name=op.f("ck_top_up_status"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant", "wallet"], ["wallet.tenant", "wallet.id"], name=op.f("fk_top_up_tenant_wallet_wallet")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_top_up")),
    )
    op.create_index(
        "ix_top_up_active",
        "top_up",
        ["tenant", "wallet"],
        unique=False,
        postgresql_where=sa.text("status in ('open', 'settling')"),
    )
    op.create_index("ix_top_up_tenant_updated_at", "top_up", ["tenant", "updated_at", "id"], unique=False)
    op.create_index(
        "uq_top_up_open",
        "top_up",
        ["tenant", "wallet", "scope"],
        unique=True,
        postgresql_where=sa.text("status = 'open'"),
    )


def _create_session() -> None:
    op.create_table(
        "session",
        sa.Column("top_up", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("body", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("stripe_id", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("link", sa.Text(), nullable=True),
        sa.Column("transaction", sa.Text(), nullable=True),
        sa.Column("refusal", sa.Text(), nullable=True),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("faults", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("called_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_look_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("looks", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state in ('creating', 'created', 'none')", name=op.f("ck_session_state")),
        sa.ForeignKeyConstraint(["top_up"], ["top_up.id"], name=op.f("fk_session_top_up_top_up")),
        sa.PrimaryKeyConstraint("top_up", "attempt", name=op.f("pk_session")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_session_idempotency_key")),
    )
    op.create_index(
        "ix_session_next_look_at",
        "session",
        ["next_look_at"],
        unique=False,
        postgresql_where=sa.text("next_look_at is not null"),
    )
    op.create_index(
        "uq_session_stripe_id", "session", ["stripe_id"], unique=True, postgresql_where=sa.text("stripe_id is not null")
    )


def _create_top_up_need() -> None:
    op.create_table(
        "top_up_need",
        sa.Column("top_up", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "kind", "id", "network", "asset", "address"],
            ["need.tenant", "need.kind", "need.id", "need.network", "need.asset", "need.address"],
            name=op.f("fk_top_up_need_tenant_kind_id_network_asset_address_need"),
        ),
        sa.ForeignKeyConstraint(["top_up"], ["top_up.id"], name=op.f("fk_top_up_need_top_up_top_up")),
        sa.PrimaryKeyConstraint(
            "top_up", "tenant", "kind", "id", "network", "asset", "address", name=op.f("pk_top_up_need")
        ),
    )
