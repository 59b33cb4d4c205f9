"""Which life of the store this is: a backup put back, or a copy left behind, is not what it was."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Four columns of the one row; an epoch for the life that it has had so far."""
    op.add_column("installation", sa.Column("epoch", sa.Text(), nullable=True))
    op.add_column("installation", sa.Column("restored_from", sa.DateTime(timezone=True), nullable=True))
    op.add_column("installation", sa.Column("restored_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("installation", sa.Column("moved_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("update installation set epoch = gen_random_uuid()::text")
    op.alter_column("installation", "epoch", nullable=False)
