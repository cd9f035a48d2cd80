"""Removing studies: rows in one transaction, files after it, and what must stay known of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    union,
)
from sqlalchemy.dialects.sqlite import insert as upsert

from node.domain.errors import UnknownSubject
from node.domain.result import ResultKind
from node.domain.retention import Extent, Removal, RetentionHold, StudyFacts, Weight
from node.store.acts import record_act
from node.store.columns import metadata
from node.store.database import Database
from node.store.naming import drop_if_unnamed
from node.store.object_files import LocalObjectFiles
from node.store.retained import facts_of, files_of, page_of_studies
from node.store.schema import (
    asides,
    own_objects,
    patients,
    result_objects,
    result_versions,
    series,
    studies,
    version_objects,
)
from node.store.schema_retention import (
    removals,
    removed_files,
    removed_results,
    removed_versions,
    retention_holds,
)

FILES_AT_A_TIME = 64
"""Files removed under one hold of the write lock: arrivals wait for it."""


class RetentionRecords:
    """What is kept, what goes, and what went."""

    def __init__(self, database: Database, files: LocalObjectFiles) -> None:
        self._database = database
        self._files = files

    def page(
        self,
        after: tuple[datetime, int] | None = None,
        *,
        until: datetime | None = None,
        whole: bool = True,
        limit: int = 200,
    ) -> list[StudyFacts]:
        """Return what is known of the studies that come next, oldest arrival first.

        Parameters
        ----------
        after : tuple of datetime and int, optional
            Last arrival and row of the study before; by default the oldest ones come.
        until : datetime, optional
            Only studies whose last arrival is not later.
        whole : bool
            Studies too of which nothing but results is here.
        limit : int
        """
        with self._database.read() as connection:
            found = page_of_studies(connection, after, until=until, whole=whole, limit=limit)
            return facts_of(connection, [row for _, row in found])

    def studies_with_images(self) -> int:
        """Return how many studies have images here."""
        query = select(func.count(series.c.study_id.distinct()))
        with self._database.read() as connection:
            return connection.execute(query).scalar_one()

    def weight(self, facts: StudyFacts, extent: Extent) -> Weight:
        """Return what a removal would take away."""
        with self._database.read() as connection:
            return _weight(connection, facts, extent)

    def remove(
        self,
        study_id: int,
        extent: Extent,
        *,
        rule: str,
        by: str,
        reason: str,
        still: Callable[[StudyFacts], bool],
    ) -> Weight | None:
        """Remove a study, or its images, and then the files that nothing else names.

        Parameters
        ----------
        study_id : int
        extent : Extent
        rule, by, reason : str
            For the audit trail.
        still : callable
            Takes what is known of the study under the write lock; False when it may not go any more.

        Returns
        -------
        Weight or None
            None, and nothing is written, when the study is gone or may not go any more.
        """
        now = self._database.clock.now()
        with self._database.write() as connection:
            found = facts_of(connection, [study_id])
            if not found or not still(found[0]):
                return None
            facts, uid = found[0], found[0].study_instance_uid
            weight = _weight(connection, facts, extent)
            subject = f"study {study_id}, {uid}"
            record_act(connection, at=now, by=by, action=f"remove {extent}", subject=subject, reason=reason)
            connection.execute(
                insert(removals).values(
                    study_instance_uid=uid,
                    extent=extent,
                    rule=rule,
                    by=by,
                    at=now,
                    instances=weight.instances,
                    size=weight.size,
                )
            )
            _note_files(connection, files_of(study_id, uid, extent))
            _remove_rows(connection, facts, extent)
        self.drop_files()
        return weight

    def drop_files(self) -> int:
        """Remove the files of what was removed that no row names any more; returns how many.

        What a stop left to be done is done by the next call.
        """
        dropped = 0
        query = select(removed_files.c.object_key).limit(FILES_AT_A_TIME)
        while self._has_files_to_drop():
            with self._database.write(after_sync=True) as connection:
                keys = list(connection.execute(query).scalars())
                dropped += sum(drop_if_unnamed(connection, self._files, key) for key in keys)
                connection.execute(delete(removed_files).where(removed_files.c.object_key.in_(keys)))
        return dropped

    def drop_returned(self) -> int:
        """Remove results of removed studies that an archive has sent back since; returns how many.

        They are found by nobody. A study that is here again keeps its own.
        """
        returned = [
            own_objects.c.study_instance_uid.in_(
                select(removals.c.study_instance_uid).where(removals.c.extent == Extent.STUDY)
            ),
            ~exists().where(studies.c.study_instance_uid == own_objects.c.study_instance_uid),
        ]
        with self._database.read() as connection:
            if connection.execute(select(own_objects.c.id).where(*returned).limit(1)).first() is None:
                return 0
        with self._database.write() as connection:
            _note_files(connection, [select(own_objects.c.object_key).where(*returned)])
            return connection.execute(delete(own_objects).where(*returned)).rowcount

    def hold(self, study_id: int, by: str, reason: str) -> None:
        """Let no rule remove a study."""
        now = self._database.clock.now()
        values = {"by": by.strip(), "reason": reason.strip(), "at": now}
        with self._database.write() as connection:
            subject = f"study {study_id}"
            record_act(connection, at=now, by=by, action="retention-hold", subject=subject, reason=reason)
            connection.execute(
                upsert(retention_holds)
                .values(study_id=study_id, **values)
                .on_conflict_do_update(index_elements=["study_id"], set_=values)
            )

    def release(self, study_id: int, by: str, reason: str) -> None:
        """Let the rules remove a study again.

        Raises
        ------
        UnknownSubject
            It was not kept by order.
        """
        now = self._database.clock.now()
        with self._database.write() as connection:
            held = delete(retention_holds).where(retention_holds.c.study_id == study_id)
            if not connection.execute(held).rowcount:
                raise UnknownSubject("the study is not kept by order; see `retention status`")
            subject = f"study {study_id}"
            record_act(connection, at=now, by=by, action="retention-release", subject=subject, reason=reason)

    def holds(self) -> list[RetentionHold]:
        """Return what stays by order, newest order first."""
        query = (
            select(retention_holds, studies.c.study_instance_uid)
            .join(studies, studies.c.id == retention_holds.c.study_id)
            .order_by(retention_holds.c.at.desc(), retention_holds.c.study_id.desc())
        )
        with self._database.read() as connection:
            return [
                RetentionHold(
                    study_instance_uid=row.study_instance_uid, by=row.by, reason=row.reason, at=row.at
                )
                for row in connection.execute(query)
            ]

    def removals(self, limit: int = 100, *, study_instance_uid: str | None = None) -> list[Removal]:
        """Return what was removed, newest first."""
        query = select(removals).order_by(removals.c.id.desc()).limit(limit)
        if study_instance_uid is not None:
            query = query.where(removals.c.study_instance_uid == study_instance_uid)
        with self._database.read() as connection:
            return [
                Removal(
                    study_instance_uid=row.study_instance_uid,
                    extent=Extent(row.extent),
                    rule=row.rule,
                    by=row.by,
                    at=row.at,
                    weight=Weight(instances=row.instances, size=row.size),
                )
                for row in connection.execute(query)
            ]

    def _has_files_to_drop(self) -> bool:
        with self._database.read() as connection:
            return connection.execute(select(removed_files.c.object_key).limit(1)).first() is not None


def refuse_without_images(connection: Connection, study_id: int) -> None:
    """Refuse what needs the images of a study.

    Raises
    ------
    UnknownSubject
        They were removed.
    """
    if connection.execute(select(series.c.id).where(series.c.study_id == study_id).limit(1)).first() is None:
        raise UnknownSubject("the images of this study were removed by retention; have them sent again")


def _weight(connection: Connection, facts: StudyFacts, extent: Extent) -> Weight:
    count = size = 0
    for query in files_of(facts.study_id, facts.study_instance_uid, extent):
        part = query.subquery()
        found = connection.execute(
            select(func.count(), func.coalesce(func.sum(part.c.size), 0)).select_from(part)
        )
        row = found.one()
        count, size = count + row[0], size + row[1]
    return Weight(instances=count, size=size)


def _note_files(connection: Connection, queries: Sequence[Select[Any]]) -> None:
    """Write down that the files of these queries are to go, each with ``object_key``."""
    keys = union(*(select(query.subquery().c.object_key) for query in queries)).subquery()
    # A WHERE keeps SQLite from reading ON CONFLICT as the condition of a join.
    rows = select(keys.c.object_key).where(literal(value=True))
    connection.execute(upsert(removed_files).from_select(["object_key"], rows).on_conflict_do_nothing())


def _remove_rows(connection: Connection, facts: StudyFacts, extent: Extent) -> None:
    study_id, uid = facts.study_id, facts.study_instance_uid
    connection.execute(delete(own_objects).where(own_objects.c.study_instance_uid == uid))
    if extent is Extent.IMAGES:
        _cascade(connection, {series: series.c.study_id == study_id, asides: asides.c.study_id == study_id})
        return
    _remember_results(connection, study_id, uid)
    patient = connection.execute(select(studies.c.patient_key).where(studies.c.id == study_id)).scalar_one()
    _cascade(connection, {studies: studies.c.id == study_id})
    others = exists().where(studies.c.patient_key == patients.c.id)
    connection.execute(delete(patients).where(patients.c.id == patient, ~others))


def _remember_results(connection: Connection, study_id: int, uid: str) -> None:
    """Keep what was issued known: its UIDs with their digests, and its versions in turn."""
    report = (
        select(
            version_objects.c.version_id,
            result_objects.c.sop_class_uid,
            result_objects.c.sop_instance_uid,
            result_objects.c.series_instance_uid,
        )
        .join(result_objects, result_objects.c.id == version_objects.c.object_id)
        .where(result_objects.c.study_id == study_id, result_objects.c.kind == ResultKind.REPORT)
        .subquery()
    )
    kept = ("model_name", "version", "recipe", "state")
    of_report = ("sop_class_uid", "sop_instance_uid", "series_instance_uid")
    versions = (
        select(
            literal(uid),
            *(result_versions.c[name] for name in kept),
            *(func.coalesce(report.c[name], "") for name in of_report),
        )
        .outerjoin(report, report.c.version_id == result_versions.c.id)
        .where(result_versions.c.study_id == study_id)
    )
    names = ["study_instance_uid", *kept, *of_report]
    connection.execute(insert(removed_versions).from_select(names, versions))
    results = select(result_objects.c.sop_instance_uid, literal(uid), result_objects.c.sha256)
    connection.execute(
        insert(removed_results).from_select(
            ["sop_instance_uid", "study_instance_uid", "sha256"],
            results.where(result_objects.c.study_id == study_id),
        )
    )


def _cascade(connection: Connection, roots: Mapping[Table, ColumnElement[bool]]) -> None:
    """Delete rows with everything that refers to them, of whatever table: the schema says what does."""
    doomed: dict[Table, ColumnElement[bool]] = {}
    for table in metadata.sorted_tables:
        conditions: list[ColumnElement[bool]] = [
            key.parent.in_(select(key.column).where(doomed[key.column.table]))
            for key in sorted(table.foreign_keys, key=lambda key: key.parent.name)
            if key.column.table in doomed
        ]
        if table in roots:
            conditions.append(roots[table])
        if conditions:
            doomed[table] = or_(*conditions)
    for table in reversed(doomed):  # those that refer to others go before them
        connection.execute(delete(table).where(doomed[table]))
