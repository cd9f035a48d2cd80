"""Alembic's entry: runs the migrations on the connection that ``node.store.migrate`` hands over."""

from __future__ import annotations

from alembic import context

from node.store.columns import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
