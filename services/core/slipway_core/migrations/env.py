"""Run by Alembic: apply the migrations over the connection from `upgrade`."""

from alembic import context

from slipway_core.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
