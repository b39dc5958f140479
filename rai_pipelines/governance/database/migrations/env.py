"""How Alembic runs: within the connection that `engine.upgrade` hands over."""

from __future__ import annotations

from alembic import context

from rai_pipelines.governance.database.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
