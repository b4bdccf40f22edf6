"""Whom an alert pages by itself, and what its sender said of one that is only related: it may be on its own later

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("alerts", sa.Column("pager", sa.String(), nullable=True))
    op.add_column("alerts", sa.Column("report", sa.JSON(), nullable=True))


def downgrade() -> None:
    # An older version cannot read these, and would try for ever.
    op.execute("DELETE FROM timers WHERE key LIKE 'quiet/%'")
    op.drop_column("alerts", "report")
    op.drop_column("alerts", "pager")
