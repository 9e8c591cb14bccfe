"""What others have yet to be told."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table, which begins empty."""
    op.create_table(
        "outbox",
        sa.Column("index", sa.String, primary_key=True),
        sa.Column("hook", sa.String(32), primary_key=True),
        sa.Column("about", sa.String, primary_key=True),
        sa.Column("serial", sa.BigInteger, primary_key=True, autoincrement=False),
    )


def downgrade() -> None:
    """Without it, nobody is told after a restart what they were not told before."""
    op.drop_table("outbox")
