"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make all tables."""
    op.create_table(
        "journal",
        sa.Column("serial", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.String(27), nullable=False),
        sa.Column("changes", sa.JSON, nullable=False),
    )
    op.create_table(
        "users", sa.Column("name", sa.String, primary_key=True), sa.Column("record", sa.JSON, nullable=False)
    )
    op.create_table(
        "indexes", sa.Column("name", sa.String, primary_key=True), sa.Column("options", sa.JSON, nullable=False)
    )
    op.create_table(
        "releases",
        sa.Column("index", sa.String, primary_key=True),
        sa.Column("project", sa.String, primary_key=True),
        sa.Column("version", sa.String, primary_key=True),
        sa.Column("metadata", sa.JSON, nullable=False),
    )
    op.create_table(
        "files",
        sa.Column("index", sa.String, primary_key=True),
        sa.Column("path", sa.String, primary_key=True),
        sa.Column("project", sa.String, nullable=False),
        sa.Column("version", sa.String, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("serial", sa.BigInteger, nullable=False),
        sa.Column("record", sa.JSON, nullable=False),
    )
    op.create_index("files_project", "files", ["index", "project"])
    op.create_index("files_sha256", "files", ["sha256"])
    op.create_table(
        "gone", sa.Column("index", sa.String, primary_key=True), sa.Column("path", sa.String, primary_key=True)
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("user", sa.String, nullable=False),
        sa.Column("record", sa.JSON, nullable=False),
    )
    op.create_index("tokens_user", "tokens", ["user"])
    op.create_table(
        "facts", sa.Column("name", sa.String(64), primary_key=True), sa.Column("value", sa.Text, nullable=False)
    )
    op.create_table(
        "touched",
        sa.Column("index", sa.String, primary_key=True),
        sa.Column("project", sa.String, primary_key=True),
        sa.Column("serial", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """There is nothing before this."""
