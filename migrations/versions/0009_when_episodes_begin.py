"""When an incident last began: one that is opened again counts in a storm, too

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

STORMS = {"sqlite_where": sa.text("is_open AND storm"), "postgresql_where": sa.text("is_open AND storm")}


def upgrade() -> None:
    op.drop_index("incidents_source_opened", table_name="incidents")
    with op.batch_alter_table("incidents") as table:
        table.add_column(sa.Column("begun_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE incidents SET begun_at = opened_at")
    with op.batch_alter_table("incidents") as table:
        table.alter_column("begun_at", existing_type=sa.DateTime(timezone=True), nullable=False)
    op.create_index("incidents_source_begun", "incidents", ["source", "begun_at"], unique=False)
    # Narrower than that one, or SQLite takes it for a storm, too.
    op.drop_index("incidents_open_storm", table_name="incidents")
    op.create_index("incidents_open_storm", "incidents", ["source", "private"], unique=False, **STORMS)


def downgrade() -> None:
    op.drop_index("incidents_open_storm", table_name="incidents")
    op.create_index("incidents_open_storm", "incidents", ["source"], unique=False, **STORMS)
    op.drop_index("incidents_source_begun", table_name="incidents")
    with op.batch_alter_table("incidents") as table:
        table.drop_column("begun_at")
    op.create_index("incidents_source_opened", "incidents", ["source", "opened_at"], unique=False)
