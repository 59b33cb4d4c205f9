"""An address that is to take another's place, and when."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Two columns, and what is due is found at once."""
    op.add_column("wallet_address", sa.Column("next_address", sa.Text(), nullable=True))
    op.add_column("wallet_address", sa.Column("next_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_wallet_address_next_at", "wallet_address", ["next_at"], postgresql_where=sa.text("next_at is not null")
    )
