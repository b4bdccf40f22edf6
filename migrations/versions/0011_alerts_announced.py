"""How many alerts of a source were announced lately: what floods the channel is recorded only

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    announced = {"sqlite_where": sa.text("is_announced"), "postgresql_where": sa.text("is_announced")}
    op.create_index("alerts_announced_source", "alerts", ["source", "first_at"], unique=False, **announced)


def downgrade() -> None:
    op.drop_index("alerts_announced_source", table_name="alerts")
