"""Messages that wait have an index of their own, and parked ones are found by their age.

The relay of the previous version gains from it as well; no statement of it names an index.

Revision: 0003
Follows: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

WAITING = sa.text("parked_reason IS NULL")
PARKED = sa.text("parked_reason IS NOT NULL")


def upgrade() -> None:
    op.drop_index("outbox_parked", "outbox", schema="forecast_consumer")
    op.create_index("outbox_parked", "outbox", ["created_at"], schema="forecast_consumer", postgresql_where=PARKED)
    op.create_index("outbox_waiting", "outbox", ["id"], schema="forecast_consumer", postgresql_where=WAITING)


def downgrade() -> None:
    op.drop_index("outbox_waiting", "outbox", schema="forecast_consumer")
    op.drop_index("outbox_parked", "outbox", schema="forecast_consumer")
    op.create_index("outbox_parked", "outbox", ["id"], schema="forecast_consumer", postgresql_where=PARKED)
