"""Alembic's entry: migrates the schema ``forecast_consumer`` over the connection handed in by ``consumer.db.setup``."""

from alembic import context

from consumer.db.own_tables import SCHEMA, own_metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=own_metadata,
    version_table="alembic_version",
    version_table_schema=SCHEMA,
    include_schemas=True,
)
with context.begin_transaction():
    context.run_migrations()
