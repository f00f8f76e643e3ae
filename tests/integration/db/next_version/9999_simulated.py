"""What a next version might add: simulated, for the test of a rolling upgrade, never shipped.

Revision: 9999
Follows: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("command", sa.Column("tenant", sa.Text(), nullable=True), schema="forecast_consumer")
    weight = sa.Column("weight", sa.Integer(), server_default=sa.text("1"), nullable=False)
    op.add_column("outbox", weight, schema="forecast_consumer")
    op.create_table("quota", sa.Column("tenant", sa.Text(), primary_key=True), schema="forecast_consumer")


def downgrade() -> None:
    op.drop_table("quota", schema="forecast_consumer")
    op.drop_column("outbox", "weight", schema="forecast_consumer")
    op.drop_column("command", "tenant", schema="forecast_consumer")
