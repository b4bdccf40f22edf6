"""Silences, and what they and maintenance windows keep quiet

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "silences",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("match", sa.JSON(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lasts_seconds", sa.Integer(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("is_in_force", sa.Boolean(), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_by", sa.String(), nullable=True),
        sa.Column("ended_because", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index(
        "silences_in_force", "silences", ["number"],
        sqlite_where=sa.text("is_in_force"), postgresql_where=sa.text("is_in_force"),
    )  # fmt: skip
    op.create_table(
        "quieted",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("severity", sa.String(), nullable=True),
        sa.Column("reports", sa.Integer(), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", "fingerprint"),
    )
    op.add_column("alerts", sa.Column("quiet_under", sa.String(), nullable=True))


def downgrade() -> None:
    # An older version cannot read these, and would try for ever.
    op.execute("DELETE FROM timers WHERE key LIKE 'silence/%'")
    op.drop_column("alerts", "quiet_under")
    op.drop_table("quieted")
    op.drop_index("silences_in_force", table_name="silences")
    op.drop_table("silences")
