"""Whether people alone say that an incident is there: alerts join it from when it was declared on

Revision ID: 0014
Revises: 0013
"""

import json

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("incidents") as table:
        table.add_column(sa.Column("declared_alone", sa.Boolean(), nullable=False, server_default=sa.false()))
    _fill()


def _fill() -> None:
    """For incidents that are open, which an earlier version saved as if nothing were there."""
    connection = op.get_bind()
    incidents = sa.table(
        "incidents", sa.column("number", sa.Integer), sa.column("body", sa.Text), sa.column("is_firing", sa.Boolean),
        sa.column("declared_alone", sa.Boolean), sa.column("last_alert_at"), sa.column("begun_at"),
    )  # fmt: skip
    body = sa.cast(incidents.c.body, sa.Text)
    declared = sa.text("is_open AND source IS NULL AND split_from IS NULL")
    for number, text in connection.execute(sa.select(incidents.c.number, body).where(declared)).all():
        stored = json.loads(text)
        has_its_own = stored.get("more", 0) > stored.get("more_related", 0) or any(
            not one.get("is_related") for one in stored.get("alerts", [])
        )
        if stored["opened_by"] == "bot" or stored.get("drill") or has_its_own:
            continue
        goes_on = stored["status"] != "monitoring"
        values = {"declared_alone": True, "is_firing": goes_on, "last_alert_at": incidents.c.begun_at}
        connection.execute(sa.update(incidents).where(incidents.c.number == number).values(values))


def downgrade() -> None:
    with op.batch_alter_table("incidents") as table:
        table.drop_column("declared_alone")
