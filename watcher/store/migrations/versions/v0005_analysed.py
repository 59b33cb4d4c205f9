"""When levels were written, and what was found out about a proposed transaction."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Two columns; both are empty in what was there before."""
    op.add_column("requirement", sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("ask", sa.Column("analysis", JSONB(), nullable=True))
