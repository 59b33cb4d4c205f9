"""What backends ask for: transactions, checkouts, swaps and their needs; what they sent, and in which order."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

LIVING = "status in ('unknown', 'covered', 'short', 'not_funds')"
ASKED = "closed_at is null and kind in ('transaction', 'checkout', 'swap', 'add_funds')"


def upgrade() -> None:
    """New tables, then new columns of old ones."""
    _create_ask()
    _create_revision()
    op.add_column("need", sa.Column("place", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("need", sa.Column("mode", sa.Text(), server_default=sa.text("'balance'"), nullable=False))
    op.add_column("need", sa.Column("gas_limit", sa.BigInteger(), nullable=True))
    op.add_column("need", sa.Column("lines", postgresql.JSONB(), nullable=True))
    op.add_column("need", sa.Column("refusal", sa.Text(), nullable=True))
    op.add_column("need", sa.Column("since", sa.BigInteger(), nullable=True))
    op.add_column("need", sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("need", sa.Column("bill", postgresql.JSONB(), nullable=True))
    op.create_check_constraint(op.f("ck_need_mode"), "need", "mode in ('balance', 'received', 'rise')")
    op.create_index("ix_need_unclosed", "need", ["network"], postgresql_where=sa.text(ASKED))
    op.add_column("top_up", sa.Column("to_receive", sa.Numeric(precision=78, scale=0), nullable=True))
    op.add_column("top_up", sa.Column("withheld", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("endpoint", sa.Column("gone_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("inbox", sa.Column("outcome", sa.Text(), nullable=True))


def _create_ask() -> None:
    op.create_table(
        "ask",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("wallet", sa.Text(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", postgresql.JSONB(), nullable=True),
        sa.Column("body", postgresql.JSONB(), nullable=False),
        sa.Column("notify", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("received", postgresql.JSONB(), nullable=True),
        sa.Column("transaction_hash", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind in ('transaction', 'checkout', 'swap')", name=op.f("ck_ask_kind")),
        sa.CheckConstraint(
            "status in ('unknown', 'covered', 'short', 'not_funds', 'done', 'cancelled', 'expired')",
            name=op.f("ck_ask_status"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant", "wallet"], ["wallet.tenant", "wallet.id"], name=op.f("fk_ask_tenant_wallet_wallet")
        ),
        sa.PrimaryKeyConstraint("tenant", "kind", "id", name=op.f("pk_ask")),
    )
    op.create_index("ix_ask_tenant_wallet", "ask", ["tenant", "wallet"])
    op.create_index("ix_ask_expires_at", "ask", ["expires_at"], postgresql_where=sa.text(LIVING))


def _create_revision() -> None:
    op.create_table(
        "revision",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenant.id"], name=op.f("fk_revision_tenant_tenant")),
        sa.PrimaryKeyConstraint("tenant", "object", "id", name=op.f("pk_revision")),
    )
