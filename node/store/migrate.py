"""Brings the index to the newest revision of the schema."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from node.domain.errors import StoreError


def alembic_config(connection: Connection) -> Config:
    """Return Alembic's configuration for the migrations of this package, on ``connection``."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def upgrade(connection: Connection) -> None:
    """Migrate to the newest revision, within the caller's transaction: all of it or nothing.

    Raises
    ------
    StoreError
        The index was made by a newer version of the node.
    """
    config = alembic_config(connection)
    scripts = ScriptDirectory.from_config(config)
    current = MigrationContext.configure(connection).get_current_revision()
    if current == scripts.get_current_head():
        return
    known = {script.revision for script in scripts.walk_revisions()}
    if current is not None and current not in known:
        raise StoreError(
            f"the index has revision {current}, which this version of the node does not know; "
            "install the version that made it, or restore a backup"
        )
    command.upgrade(config, "head")
