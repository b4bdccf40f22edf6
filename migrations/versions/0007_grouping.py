"""What groups and relates alerts, and what people took apart, in columns

Revision ID: 0007
Revises: 0006
"""

import json

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("incidents") as table:
        table.add_column(sa.Column("is_firing", sa.Boolean(), nullable=False, server_default=sa.false()))
        table.add_column(sa.Column("split_from", sa.Integer(), nullable=True))
        table.add_column(sa.Column("split_off", sa.JSON(), nullable=True))
    with op.batch_alter_table("alerts") as table:
        table.add_column(sa.Column("group_key", sa.String(), nullable=True))
        table.add_column(sa.Column("is_related", sa.Boolean(), nullable=False, server_default=sa.false()))
    where = {name: sa.text("is_open AND group_key IS NOT NULL") for name in ("sqlite_where", "postgresql_where")}
    op.create_index("alerts_open_group", "alerts", ["group_key"], unique=False, **where)
    _fill()


def _fill() -> None:
    """For incidents that are open: what is over explains no alert any more."""
    connection = op.get_bind()
    incidents = sa.table("incidents", sa.column("number", sa.Integer), sa.column("body", sa.Text), sa.column("is_firing", sa.Boolean))
    body = sa.cast(incidents.c.body, sa.Text)
    for number, text in connection.execute(sa.select(incidents.c.number, body).where(sa.text("is_open"))).all():
        stored = json.loads(text)
        if stored.get("more_firing") or any(one["is_firing"] for one in stored.get("alerts", [])):
            connection.execute(sa.update(incidents).where(incidents.c.number == number).values(is_firing=True))


def downgrade() -> None:
    # An older version cannot read these, and would try for ever.
    op.execute("DELETE FROM timers WHERE key LIKE 'INC-%/related'")
    op.drop_index("alerts_open_group", table_name="alerts")
    with op.batch_alter_table("alerts") as table:
        table.drop_column("is_related")
        table.drop_column("group_key")
    with op.batch_alter_table("incidents") as table:
        table.drop_column("split_off")
        table.drop_column("split_from")
        table.drop_column("is_firing")
