"""The command table, chunks, outbox, refused records, decisions on dead letters and role leases.

Revision: 0001
Follows: nothing
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "chunk",
        sa.Column("execucao_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("step_order", sa.SmallInteger(), nullable=False),
        sa.Column("products", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column(
            "summary",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="not null: the chunk's results are committed",
        ),
        sa.PrimaryKeyConstraint("execucao_id", "number"),
        schema="forecast_consumer",
    )
    op.create_table(
        "command",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("execucao_id", sa.Text(), nullable=False, comment="for a cancel: the execution that it names"),
        sa.Column("comando", sa.Text(), nullable=False),
        sa.Column("gatilho", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="SHA-256 of the canonical data"),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("origin_topic", sa.Text(), nullable=False),
        sa.Column("origin_partition", sa.Integer(), nullable=False),
        sa.Column("origin_offset", sa.BigInteger(), nullable=False),
        sa.Column("correlation_id", sa.Text(), nullable=True),
        sa.Column("traceparent", sa.Text(), nullable=True),
        sa.Column("tracestate", sa.Text(), nullable=True),
        sa.Column("reply_topic", sa.Text(), nullable=True),
        sa.Column("reply_partition", sa.Integer(), nullable=True),
        sa.Column("reply_correlation", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("replay_of", sa.Text(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("available_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_owner", sa.Text(), nullable=True),
        sa.Column("lease_epoch", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel_reason", sa.Text(), nullable=True, comment="not null: cancellation was asked for"),
        sa.Column("status_sequence", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("step_sequence", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "steps",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("products_processed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("products_total", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "plan",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="what a resumed attempt must not decide anew",
        ),
        sa.Column(
            "told",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
            comment="text of the terminal status event and of each step's last event, to be sent again",
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('queued', 'running', 'done')", name="command_state"),
        sa.PrimaryKeyConstraint("source", "event_id"),
        schema="forecast_consumer",
        postgresql_with={
            "fillfactor": 80,
            "autovacuum_vacuum_scale_factor": 0.01,
            "autovacuum_vacuum_threshold": 500,
            "autovacuum_vacuum_cost_delay": 0,
        },
    )
    op.create_index(
        "command_execucao",
        "command",
        ["execucao_id"],
        unique=True,
        schema="forecast_consumer",
        postgresql_where=sa.text("comando <> 'cancel'"),
    )
    op.create_index(
        "command_finished",
        "command",
        ["finished_at"],
        unique=False,
        schema="forecast_consumer",
        postgresql_where=sa.text("state = 'done'"),
    )
    op.create_index(
        "command_queue",
        "command",
        ["priority", "received_at"],
        unique=False,
        schema="forecast_consumer",
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_index(
        "command_running",
        "command",
        ["execucao_id"],
        unique=False,
        schema="forecast_consumer",
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_table(
        "dead_letter_decision",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("timestamp_ms", sa.BigInteger(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("decision IN ('retried', 'discarded')", name="dead_letter_decision_kind"),
        sa.PrimaryKeyConstraint("topic", "partition", "offset", "timestamp_ms"),
        schema="forecast_consumer",
    )
    op.create_index(
        "dead_letter_decision_age",
        "dead_letter_decision",
        ["decided_at"],
        unique=False,
        schema="forecast_consumer",
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=True),
        sa.Column("key", sa.LargeBinary(), nullable=True),
        sa.Column("value", sa.LargeBinary(), nullable=True),
        sa.Column("headers", sa.LargeBinary(), nullable=False, comment="JSON list of [name, value as Latin-1 text]"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "parked_reason",
            sa.Text(),
            nullable=True,
            comment="not null: the broker will never take this record",
        ),
        sa.PrimaryKeyConstraint("id"),
        schema="forecast_consumer",
        postgresql_with={
            "fillfactor": 80,
            "autovacuum_vacuum_scale_factor": 0.01,
            "autovacuum_vacuum_threshold": 500,
            "autovacuum_vacuum_cost_delay": 0,
        },
    )
    op.create_index(
        "outbox_parked",
        "outbox",
        ["id"],
        unique=False,
        schema="forecast_consumer",
        postgresql_where=sa.text("parked_reason IS NOT NULL"),
    )
    op.create_table(
        "refused_record",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("timestamp_ms", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("refused_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition", "offset", "timestamp_ms"),
        schema="forecast_consumer",
    )
    op.create_index("refused_record_age", "refused_record", ["refused_at"], unique=False, schema="forecast_consumer")
    op.create_table(
        "role_lease",
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("role"),
        schema="forecast_consumer",
        postgresql_with={"fillfactor": 50},
    )


def downgrade() -> None:
    op.drop_table("role_lease", schema="forecast_consumer")
    op.drop_index("refused_record_age", table_name="refused_record", schema="forecast_consumer")
    op.drop_table("refused_record", schema="forecast_consumer")
    op.drop_index(
        "outbox_parked",
        table_name="outbox",
        schema="forecast_consumer",
        postgresql_where=sa.text("parked_reason IS NOT NULL"),
    )
    op.drop_table("outbox", schema="forecast_consumer")
    op.drop_index("dead_letter_decision_age", table_name="dead_letter_decision", schema="forecast_consumer")
    op.drop_table("dead_letter_decision", schema="forecast_consumer")
    op.drop_index(
        "command_running",
        table_name="command",
        schema="forecast_consumer",
        postgresql_where=sa.text("state = 'running'"),
    )
    op.drop_index(
        "command_queue",
        table_name="command",
        schema="forecast_consumer",
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.drop_index(
        "command_execucao",
        table_name="command",
        schema="forecast_consumer",
        postgresql_where=sa.text("comando <> 'cancel'"),
    )
    op.drop_index(
        "command_finished",
        table_name="command",
        schema="forecast_consumer",
        postgresql_where=sa.text("state = 'done'"),
    )
    op.drop_table("command", schema="forecast_consumer")
    op.drop_table("chunk", schema="forecast_consumer")
