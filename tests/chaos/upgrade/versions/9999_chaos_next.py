"""The next version, simulated: a column with a default, an index and a table more, nothing taken away."""

import sqlalchemy as sa
from alembic import op

from tests.chaos.upgrade import revision_of_today

revision = "9999"
down_revision = revision_of_today()
branch_labels = None
depends_on = None
SCHEMA = "forecast_consumer"


def upgrade() -> None:
    op.add_column("command", sa.Column("next_note", sa.Text(), server_default="none", nullable=False), schema=SCHEMA)
    op.add_column("chunk", sa.Column("next_note", sa.Text(), nullable=True), schema=SCHEMA)
    op.create_index("command_next_note", "command", ["next_note"], schema=SCHEMA)
    op.create_table("next_table", sa.Column("id", sa.BigInteger(), primary_key=True), schema=SCHEMA)


def downgrade() -> None:
    op.drop_table("next_table", schema=SCHEMA)
    op.drop_index("command_next_note", "command", schema=SCHEMA)
    op.drop_column("chunk", "next_note", schema=SCHEMA)
    op.drop_column("command", "next_note", schema=SCHEMA)
