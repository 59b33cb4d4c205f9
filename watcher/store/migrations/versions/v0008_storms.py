"""Sessions that wait for their turn, what is held back and why, and who turned short lately."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """New tables; the one row of the pace; and what counts the jobs that ask for sessions, whatever else is queued."""
    _create_turns()
    _create_holds()
    op.execute("""
        create index ix_procrastinate_jobs_create_session on procrastinate_jobs (task_name)
        where task_name = 'create_session' and status in ('todo', 'doing')
    """)


def _create_turns() -> None:
    op.create_table(
        "session_turn",
        sa.Column("top_up", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("networks", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["top_up"], ["top_up.id"], name=op.f("fk_session_turn_top_up_top_up")),
        sa.PrimaryKeyConstraint("top_up", name=op.f("pk_session_turn")),
    )
    op.create_index(
        "ix_session_turn_tenant_rank_due_at", "session_turn", ["tenant", "rank", "due_at", "top_up"], unique=False
    )
    op.create_table(
        "session_pace",
        sa.Column("only", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("free_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("served", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.CheckConstraint('"only"', name=op.f("ck_session_pace_one_row")),
        sa.PrimaryKeyConstraint("only", name=op.f("pk_session_pace")),
    )
    op.execute("insert into session_pace (free_at, served) values ('epoch', '{}')")


def _create_holds() -> None:
    op.create_table(
        "hold",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("facts", postgresql.JSONB(), nullable=True),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind in ('tenant', 'network', 'all')", name=op.f("ck_hold_kind")),
        sa.CheckConstraint("cause in ('operator', 'storm')", name=op.f("ck_hold_cause")),
        sa.PrimaryKeyConstraint("kind", "name", "cause", name=op.f("pk_hold")),
    )
    op.create_table(
        "turned_short",
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("wallet", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("network", "tenant", "wallet", name=op.f("pk_turned_short")),
    )
    op.create_index("ix_turned_short_network_at", "turned_short", ["network", "at"], unique=False)
