"""Indexes for a block's questions: what they cost follows what is low or new, not how many wallets there are."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Partial ones, so that a wallet that is fine is in none of them."""
    place = ["network", "asset", "address"]
    op.create_index("ix_requirement_attended", "requirement", place, postgresql_where=sa.text("status <> 'ok'"))
    op.create_index("ix_requirement_by_fee", "requirement", place, postgresql_where=sa.text("by_fee"))
    op.create_index(
        "ix_wallet_address_unread",
        "wallet_address",
        ["network", "address"],
        postgresql_where=sa.text("watched_since is null"),
    )
    op.create_index(
        "ix_top_up_followed", "top_up", ["id"], postgresql_where=sa.text("status in ('open', 'settling', 'failed')")
    )
