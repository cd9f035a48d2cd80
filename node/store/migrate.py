"""Brings the index to the newest revision of the schema.

Alembic is imported where there is something to migrate: it takes 8 MB and 60 ms, at each start of a command
and of a process that receives.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, inspect

from node.domain.errors import StoreError

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS: Final = Path(__file__).parent / "migrations"
REVISIONS: Final = "alembic_version"
"""Table in which Alembic notes the revision of an index."""


def alembic_config(connection: Connection) -> Config:
    """Return Alembic's configuration for the migrations of this package, on ``connection``."""
    from alembic.config import Config  # noqa: PLC0415 -- see the module's docstring

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def newest_revision() -> str:
    """Return the newest revision: the number that the name of its file begins with."""
    return max(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def upgrade(connection: Connection) -> None:
    """Migrate to the newest revision, within the caller's transaction: all of it or nothing.

    Raises
    ------
    StoreError
        The index was made by a newer version of the node.
    """
    current = _revision(connection)
    if current == newest_revision():
        return
    from alembic import command  # noqa: PLC0415 -- see the module's docstring
    from alembic.script import ScriptDirectory  # noqa: PLC0415 -- as above

    config = alembic_config(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if current is not None and current not in known:
        raise StoreError(
            f"the index has revision {current}, which this version of the node does not know; "
            "install the version that made it, or restore a backup"
        )
    command.upgrade(config, "head")


def _revision(connection: Connection) -> str | None:
    """Return the revision of an index, None where it has none yet."""
    if not inspect(connection).has_table(REVISIONS):
        return None
    found: str | None = connection.exec_driver_sql(f"SELECT version_num FROM {REVISIONS}").scalar()  # noqa: S608 -- a constant
    return found
