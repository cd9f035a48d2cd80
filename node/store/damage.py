"""Object files that were found missing or damaged: an operator is to hear of it."""

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

    def verify(self, key: str, size: int) -> bool:
        """Read a file from the disk, whole, and compare size and digest; remember what is found, either way.

        Returns
        -------
        bool
            Whether it is as it was stored, or was removed meanwhile, as it should be.

        Raises
        ------
        StoreError
            The index does not answer.
        """
        try:
            stamp: str | None = self._files.stamp(key, size)
        except (ObjectMissing, ObjectDamaged, OSError):
            stamp = None
        if stamp is not None and self._has_digest(key):
            self._forget([key])
            return True
        self.note(key, stamp)
        with self._database.read() as connection:
            return not is_named(connection, key)

    def note(self, object_key: str, stamp: str | None = None) -> None:
        """Remember a file that is missing, or has another size or digest than the index says.

        One that was taken away since it was looked for is no damage. What cannot be recorded is logged: who
        wants the file learns of it in any case.

        Parameters
        ----------
        object_key : str
        stamp : str, optional
            Of a file with another digest: which state of it was read.
        """
        noted = select(damaged_files.c.id).where(damaged_files.c.object_key == object_key)
        if stamp is not None:
            noted = noted.where(damaged_files.c.stamp == stamp)
        try:
            with self._database.read() as connection:
                if connection.execute(noted).first() is not None:
                    return  # however often it is asked for, nobody who stores waits for it
            with self._database.write() as connection:
                known = connection.execute(select(func.count()).select_from(damaged_files)).scalar_one()
                if known < MOST_REMEMBERED and is_named(connection, object_key):
                    connection.execute(
                        upsert(damaged_files)
                        .values(object_key=object_key, found_at=self._database.clock.now(), stamp=stamp)
                        .on_conflict_do_update(index_elements=["object_key"], set_={"stamp": stamp})
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
            rows = connection.execute(select(damaged_files.c.object_key, damaged_files.c.stamp)).all()
        mended = [row.object_key for row in rows if not self._is_damaged(row.object_key, row.stamp)]
        self._forget(mended)
        return len(rows) - len(mended)

    def _forget(self, keys: list[str]) -> None:
        among = damaged_files.c.object_key.in_(keys)
        with self._database.read() as connection:
            if not keys or connection.execute(select(damaged_files.c.id).where(among)).first() is None:
                return  # nobody who stores waits for it
        with self._database.write() as connection:
            connection.execute(delete(damaged_files).where(among))

    def _is_damaged(self, key: str, stamp: str | None) -> bool:
        for table in NAMING_TABLES:
            with self._database.read() as connection:
                query = select(table.c.size).where(table.c.object_key == key).limit(1)
                size = connection.execute(query).scalar()
            if size is not None:
                try:
                    now = self._files.stamp(key, size)
                except (ObjectMissing, ObjectDamaged, OSError):  # what a dying disk says, too
                    return True
                # Its bytes are read again only when somebody wrote to it, or put another in its place.
                return stamp is not None and (now == stamp or not self._has_digest(key))
        return False

    def _has_digest(self, key: str) -> bool:
        try:
            return self._files.verify_on_disk(key)
        except (ObjectMissing, OSError):
            return False
