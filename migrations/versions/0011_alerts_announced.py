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
    with op.batch_alter_table("alerts") as table:
        table.add_column(sa.Column("announced_at", sa.DateTime(timezone=True), nullable=True))
    announced = {"sqlite_where": sa.text("announced_at IS NOT NULL"), "postgresql_where": sa.text("announced_at IS NOT NULL")}
    op.create_index("alerts_announced_source", "alerts", ["source", "announced_at"], unique=False, **announced)


def downgrade() -> None:
    op.drop_index("alerts_announced_source", table_name="alerts")
    with op.batch_alter_table("alerts") as table:
        table.drop_column("announced_at")
