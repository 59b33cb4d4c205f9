"""What each webhook of a backend is about, and its place among those."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Two columns and an index. What still waits is about the first word of its type, and its id."""
    op.add_column("inbox", sa.Column("about", sa.Text(), nullable=True))
    op.add_column("inbox", sa.Column("position", sa.BigInteger(), sa.Identity(), nullable=False))
    op.execute(
        "update inbox set about = split_part(payload->>'type', '.', 1) || ':' || (payload->'data'->>'id')"
        " where handled_at is null and source <> 'stripe'"
    )
    op.create_index(
        "ix_inbox_waiting",
        "inbox",
        ["tenant", "about", "position"],
        postgresql_where=sa.text("handled_at is null and about is not null"),
    )
