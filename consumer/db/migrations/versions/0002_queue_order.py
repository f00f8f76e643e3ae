"""The index of the queue has the order in which it is claimed, to the last column.

The previous version claims in the same order and needs no index to do so.

Revision: 0002
Follows: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

QUEUED = sa.text("state = 'queued'")
AGE = ["priority", "received_at"]
PLACE = ["origin_partition", "origin_offset"]


def upgrade() -> None:
    op.drop_index("command_queue", "command", schema="forecast_consumer")
    op.create_index("command_queue", "command", [*AGE, *PLACE], schema="forecast_consumer", postgresql_where=QUEUED)


def downgrade() -> None:
    op.drop_index("command_queue", "command", schema="forecast_consumer")
    op.create_index("command_queue", "command", AGE, schema="forecast_consumer", postgresql_where=QUEUED)
