"""Metadata of stored objects as DICOM JSON: made once in the background, or when first asked for."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Table, func, select
from sqlalchemy.dialects.sqlite import insert as upsert

from node.dicom.documents import DocumentProcess, Unreadable, packed, unpacked
from node.dicom.json_model import json_texts, written
from node.domain.errors import DicomError, ObjectMissing
from node.store.database import Database
from node.store.naming import named
from node.store.object_files import LocalObjectFiles
from node.store.schema import instances, result_objects
from node.store.schema_metadata import metadata_progress, object_metadata
from node.store.stored_instances import StoredInstance

logger = logging.getLogger(__name__)

SOURCES: Final[tuple[Table, ...]] = (instances, result_objects)
BATCH: Final = 100
"""Objects whose metadata are made and stored together: one transaction, one sync."""
BATCHES: Final = 10
"""In one run."""
MOST_WAITING_SECONDS: Final = 30.0
"""While objects arrive none are made, for so long; then one batch a run: receiving goes before."""
IDLE_RUNS: Final = 15
"""After so many without anything to do the process that makes metadata ends, and its memory is free."""
TOGETHER_BYTES: Final = 32 << 20
"""Of the files whose metadata are in memory at the same time: metadata may be as long as their file."""


class MetadataRecords:
    """The metadata of stored objects."""

    def __init__(self, database: Database, files: LocalObjectFiles) -> None:
        self._database = database
        self._files = files
        self._documents = DocumentProcess()
        self._newest = -1
        self._arriving_since: float | None = None
        """Monotonic time since which every look found new objects; None when the last one found none."""
        self._idle = 0

    def of(self, items: Sequence[StoredInstance]) -> list[bytes]:
        """Return the metadata of instances, in their order; what is missing is made and kept.

        Returns
        -------
        list of bytes
            DICOM JSON with `node.dicom.json_model.BULK_BASE` where the URL of the instance belongs.

        Raises
        ------
        StoreError
        """
        keys = [item.object_key for item in items]
        with self._database.read() as connection:
            found = _stored(connection, keys)
        made = self._made(key for key in keys if key not in found)
        self._keep(made)
        found |= made
        return [
            unpacked(found[item.object_key]) if item.object_key in found else _least(item) for item in items
        ]

    def tick(self) -> int:
        """Make metadata of what came, as `fill` does, but while objects arrive leave the processors to those.

        To be called every few seconds. Whatever is asked for before it was made is made then.

        Returns
        -------
        int
            How many objects were gone through.

        Raises
        ------
        StoreError, ProcessUnavailable
        """
        with self._database.read() as connection:
            newest = connection.execute(select(func.max(instances.c.id))).scalar() or 0
        if newest == self._newest:
            self._arriving_since = None
            return self.fill()
        self._newest = newest
        now = self._database.clock.monotonic()
        if self._arriving_since is None:
            self._arriving_since = now
        return self.fill(batches=1) if now - self._arriving_since >= MOST_WAITING_SECONDS else 0

    def fill(self, *, batches: int = BATCHES) -> int:
        """Make metadata of what came since the last run, apart from the node.

        What they cannot be made of is told in the log, and tried again only when somebody asks for it.

        Parameters
        ----------
        batches : int
            No more than so many.

        Returns
        -------
        int
            How many objects were gone through.

        Raises
        ------
        StoreError, ProcessUnavailable
        """
        done = 0
        for _ in range(batches):
            batch = [self._fill_from(source) for source in SOURCES]
            done += sum(batch)
            if not any(batch):
                break
        self._idle = 0 if done else self._idle + 1
        if self._idle == IDLE_RUNS:
            self._documents.stop()
        return done

    def close(self) -> None:
        """End the process that makes metadata; no run is under way."""
        self._documents.stop()

    def _fill_from(self, source: Table) -> int:
        by_source = metadata_progress.c.source == source.name
        with self._database.read() as connection:
            after = connection.execute(select(metadata_progress.c.last_id).where(by_source)).scalar() or 0
            query = select(source.c.id, source.c.object_key, source.c.size).where(source.c.id > after)
            rows = connection.execute(query.order_by(source.c.id).limit(BATCH)).all()
            rows = rows[: _few(row.size for row in rows)]
            found = _stored(connection, [row.object_key for row in rows])
        if rows:
            made = self._made_apart([row.object_key for row in rows if row.object_key not in found])
            self._keep(made, reached=(source.name, rows[-1].id))
        return len(rows)

    def _made(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Return metadata as they are kept, by key."""
        made = {}
        for key in keys:
            try:
                made[key] = packed(self._files.path(key))
            except (DicomError, ObjectMissing, OSError) as error:
                _cannot(error)
        return made

    def _made_apart(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Return the same, made by the process."""
        paths: dict[str, Path] = {}
        for key in keys:
            try:
                paths[key] = self._files.path(key)
            except ObjectMissing as error:
                _cannot(error)
        made = {}
        for key, document in zip(paths, self._documents.packed(list(paths.values())), strict=True):
            if isinstance(document, Unreadable):
                _cannot(document.reason)
            else:
                made[key] = document
        return made

    def _keep(self, made: Mapping[str, bytes], *, reached: tuple[str, int] | None = None) -> None:
        if not made and reached is None:
            return
        with self._database.write() as connection:
            # What was removed meanwhile leaves nothing behind.
            rows = [{"object_key": key, "document": made[key]} for key in named(connection, list(made))]
            if rows:
                connection.execute(upsert(object_metadata).on_conflict_do_nothing(), rows)
            if reached is not None:
                source, last_id = reached
                connection.execute(
                    upsert(metadata_progress)
                    .values(source=source, last_id=last_id)
                    .on_conflict_do_update(index_elements=["source"], set_={"last_id": last_id})
                )


def _cannot(why: object) -> None:
    logger.error("the metadata of an object cannot be read: %s", why)


def _stored(connection: Connection, keys: Sequence[str]) -> dict[str, bytes]:
    query = select(object_metadata.c.object_key, object_metadata.c.document)
    rows = connection.execute(query.where(object_metadata.c.object_key.in_(keys)))
    return {row[0]: row[1] for row in rows}


def together(items: Sequence[StoredInstance]) -> Iterator[Sequence[StoredInstance]]:
    """Yield instances, in their order, in runs whose metadata fit into memory at the same time."""
    begin = 0
    while begin < len(items):
        end = begin + _few(item.size for item in items[begin:])
        yield items[begin:end]
        begin = end


def _few(sizes: Iterable[int]) -> int:
    """Return how many of the first files have no more than `TOGETHER_BYTES` together; at least one."""
    return max(1, sum(total <= TOGETHER_BYTES for total in accumulate(sizes)))


def _least(item: StoredInstance) -> bytes:
    """Return what is known of an instance whose object cannot be read."""
    return written(
        {
            "00080016": json_texts("UI", [item.sop_class_uid]),
            "00080018": json_texts("UI", [item.sop_instance_uid]),
            "0020000D": json_texts("UI", [item.study_instance_uid]),
            "0020000E": json_texts("UI", [item.series_instance_uid]),
        }
    )
