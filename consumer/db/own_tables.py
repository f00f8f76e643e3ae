"""The service's own tables, in the schema ``forecast_consumer`` that the backend's migrations never see.

No foreign key leads from here to the backend's tables: the backend may delete its rows without asking us.
Alembic migrates them (``consumer/db/migrations``); a test compares the migrated database with these definitions.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

SCHEMA = "forecast_consumer"
own_metadata = MetaData(schema=SCHEMA)

Timestamp = DateTime(timezone=True)

# Rows of these tables are updated or deleted soon after they were written: vacuum early, not at 20 % of the table.
HOT_TABLE_STORAGE = {
    "fillfactor": 80,
    "autovacuum_vacuum_scale_factor": 0.01,
    "autovacuum_vacuum_threshold": 500,
    "autovacuum_vacuum_cost_delay": 0,
}

# Inbox and queue in one row: the identity that makes a redelivery harmless, the command, its lease and its counters.
command = Table(
    "command",
    own_metadata,
    Column("source", Text, primary_key=True),
    Column("event_id", Text, primary_key=True),
    Column("execucao_id", Text, nullable=False, comment="for a cancel: the execution that it names"),
    Column("comando", Text, nullable=False),
    Column("gatilho", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False, comment="SHA-256 of the canonical data"),
    Column("payload", JSONB, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("origin_topic", Text, nullable=False),
    Column("origin_partition", Integer, nullable=False),
    Column("origin_offset", BigInteger, nullable=False),
    Column("correlation_id", Text),
    Column("traceparent", Text),
    Column("tracestate", Text),
    Column("reply_topic", Text),
    Column("reply_partition", Integer),
    Column("reply_correlation", Text),
    Column("expires_at", Timestamp),
    Column("replay_of", Text),
    Column("received_at", Timestamp, nullable=False, server_default=func.now()),
    Column("state", Text, nullable=False),
    Column("available_at", Timestamp, nullable=False, server_default=func.now()),
    Column("attempt", Integer, nullable=False, server_default=text("0")),
    Column("lease_owner", Text),
    Column("lease_epoch", BigInteger, nullable=False, server_default=text("0")),
    Column("lease_until", Timestamp),
    Column("cancel_reason", Text, comment="not null: cancellation was asked for"),
    Column("status_sequence", Integer, nullable=False, server_default=text("0")),
    Column("step_sequence", Integer, nullable=False, server_default=text("0")),
    Column("steps", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("products_processed", Integer, nullable=False, server_default=text("0")),
    Column("products_total", Integer, nullable=False, server_default=text("0")),
    Column("plan", JSONB, comment="what a resumed attempt must not decide anew"),
    Column(
        "told",
        JSONB,
        nullable=False,
        server_default=text("'{}'::jsonb"),
        comment="text of the terminal status event and of each step's last event, to be sent again",
    ),
    Column("finished_at", Timestamp),
    CheckConstraint("state IN ('queued', 'running', 'done')", name="command_state"),
    Index("command_execucao", "execucao_id", unique=True, postgresql_where=text("comando <> 'cancel'")),
    Index(
        "command_queue",
        *("priority", "received_at", "origin_partition", "origin_offset"),
        postgresql_where=text("state = 'queued'"),
    ),
    Index("command_finished", "finished_at", postgresql_where=text("state = 'done'")),
    Index("command_running", "execucao_id", postgresql_where=text("state = 'running'")),
    postgresql_with=HOT_TABLE_STORAGE,
)

# The products of an execution, cut into pieces that are computed and committed whole.
chunk = Table(
    "chunk",
    own_metadata,
    Column("execucao_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("step_order", SmallInteger, nullable=False),
    Column("products", JSONB, nullable=False),
    Column("size", Integer, nullable=False),
    Column("summary", JSONB, comment="not null: the chunk's results are committed"),
)

# Events that are committed and not yet acknowledged by the broker.
outbox = Table(
    "outbox",
    own_metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("event_id", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("partition", Integer),
    Column("key", LargeBinary),
    Column("value", LargeBinary),
    Column("headers", LargeBinary, nullable=False, comment="JSON list of [name, value as Latin-1 text]"),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    Column("parked_reason", Text, comment="not null: the broker will never take this record"),
    Index("outbox_waiting", "id", postgresql_where=text("parked_reason IS NULL")),
    Index("outbox_parked", "created_at", postgresql_where=text("parked_reason IS NOT NULL")),
    postgresql_with=HOT_TABLE_STORAGE,
)

# Positions of bad records: exactly one dead letter each, however often they are read.
refused_record = Table(
    "refused_record",
    own_metadata,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("offset", BigInteger, primary_key=True),
    Column("timestamp_ms", BigInteger, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("refused_at", Timestamp, nullable=False, server_default=func.now()),
    Index("refused_record_age", "refused_at"),
)

# What an operator decided about a dead letter: Kafka cannot delete single records, so lists leave these out.
dead_letter_decision = Table(
    "dead_letter_decision",
    own_metadata,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("offset", BigInteger, primary_key=True),
    Column("timestamp_ms", BigInteger, primary_key=True),
    Column("decision", Text, nullable=False),
    Column("decided_at", Timestamp, nullable=False, server_default=func.now()),
    CheckConstraint("decision IN ('retried', 'discarded')", name="dead_letter_decision_kind"),
    Index("dead_letter_decision_age", "decided_at"),
)

# Who does what only one process may do at a time; valid by the database's clock.
role_lease = Table(
    "role_lease",
    own_metadata,
    Column("role", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("expires_at", Timestamp, nullable=False),
    postgresql_with={"fillfactor": 50},
)
