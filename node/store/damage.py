"""Object files that were found missing or damaged when they were to be sent: an operator is to hear of it."""

from __future__ import annotations

import logging
from pathlib import Path

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.sqlite import insert as upsert

from node.domain.errors import ObjectDamaged, ObjectMissing, StoreError
from node.store.database import Database
from node.store.naming import NAMING_TABLES, is_named
from node.store.object_files import LocalObjectFiles
from node.store.schema_damage import damaged_files

logger = logging.getLogger(__name__)

MOST_REMEMBERED = 1000
"""Files; where more are damaged, `groundglass integrity` lists them all."""


class DamageRecords:
    """Remembers damaged files until they are whole again, or nothing names them any more."""

    def __init__(self, database: Database, files: LocalObjectFiles) -> None:
        self._database = database
        self._files = files

    def path(self, key: str, size: int | None = None) -> Path:
        """Return the file of an object that is to be sent, as `ObjectFiles.path` does; else remember that.

        Raises
        ------
        ObjectMissing, ObjectDamaged
        """
        try:
            return self._files.path(key, size)
        except (ObjectMissing, ObjectDamaged):
            self.note(key)
            raise

    def note(self, object_key: str) -> None:
        """Remember a file that is missing or has another size than the index says.

        One that was taken away since it was looked for is no damage. What cannot be recorded is logged: who
        wants the file learns of it in any case.
        """
        noted = select(damaged_files.c.id).where(damaged_files.c.object_key == object_key)
        try:
            with self._database.read() as connection:
                if connection.execute(noted).first() is not None:
                    return  # however often it is asked for, nobody who stores waits for it
            with self._database.write() as connection:
                known = connection.execute(select(func.count()).select_from(damaged_files)).scalar_one()
                if known < MOST_REMEMBERED and is_named(connection, object_key):
                    connection.execute(
                        upsert(damaged_files)
                        .values(object_key=object_key, found_at=self._database.clock.now())
                        .on_conflict_do_nothing()
                    )
        except StoreError:
            logger.exception("a damaged file cannot be remembered")

    def count(self) -> int:
        """Return how many files are damaged still; the others are forgotten.

        Raises
        ------
        StoreError
        """
        with self._database.read() as connection:
            keys = list(connection.execute(select(damaged_files.c.object_key)).scalars())
        mended = [key for key in keys if not self._is_damaged(key)]
        if mended:
            with self._database.write() as connection:
                connection.execute(delete(damaged_files).where(damaged_files.c.object_key.in_(mended)))
        return len(keys) - len(mended)

    def _is_damaged(self, key: str) -> bool:
        for table in NAMING_TABLES:
            with self._database.read() as connection:
                query = select(table.c.size).where(table.c.object_key == key).limit(1)
                size = connection.execute(query).scalar()
            if size is not None:
                try:
                    self._files.path(key, size)
                except (ObjectMissing, ObjectDamaged, OSError):  # what a dying disk says, too
                    return True
        return False
