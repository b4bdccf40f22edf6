"""How often each alert fired; what was resolved keeps its alerts, to be opened again by them

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("alerts") as table:
        table.add_column(sa.Column("fires", sa.Integer(), nullable=False, server_default="1"))
        table.add_column(sa.Column("flaps", sa.JSON(), nullable=True))
    op.execute(
        "UPDATE alerts SET is_open = true WHERE NOT is_open"
        " AND incident IN (SELECT number FROM incidents WHERE status = 'resolved')"
        " AND id IN (SELECT max(id) FROM alerts GROUP BY fingerprint)"
        " AND fingerprint NOT IN (SELECT fingerprint FROM alerts WHERE is_open)"
    )


def downgrade() -> None:
    # An older version cannot read these, and would try for ever; and it opens nothing again.
    op.execute("DELETE FROM timers WHERE key LIKE 'ALERT/%'")
    op.execute("UPDATE alerts SET is_open = false WHERE incident IN (SELECT number FROM incidents WHERE status = 'resolved')")
    with op.batch_alter_table("alerts") as table:
        table.drop_column("flaps")
        table.drop_column("fires")
