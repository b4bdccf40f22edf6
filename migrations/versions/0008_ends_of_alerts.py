"""When an alert ended, as its sender says: what fired before that and comes later is no news

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

HAS_ENDED = sa.text("ended_at IS NOT NULL")


def upgrade() -> None:
    op.add_column("alerts", sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "alerts_ended_fingerprint", "alerts", ["fingerprint", "id"], unique=False, sqlite_where=HAS_ENDED, postgresql_where=HAS_ENDED
    )


def downgrade() -> None:
    op.drop_index("alerts_ended_fingerprint", table_name="alerts")
    op.drop_column("alerts", "ended_at")
