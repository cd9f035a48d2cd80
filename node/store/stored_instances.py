"""The instances of a study, of a series, or one alone: what was received, results, results of others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Integer, Row, Select, Table, bindparam, func, select

from node.store.database import Database
from node.store.found_objects import read_stored_header
from node.store.narrowing import others_of_study
from node.store.object_files import LocalObjectFiles
from node.store.schema import instances, own_objects, result_objects, series, studies
from node.store.versions import may_be_sent

PAGE = 500
UIDS = ("study_instance_uid", "series_instance_uid", "sop_instance_uid")
AFTER = "after"


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """What of the store is meant."""

    study_instance_uid: str
    series_instance_uid: str = ""
    """Empty for all of the study."""
    sop_instance_uid: str = ""
    """Empty for all of the series."""

    def __post_init__(self) -> None:
        """Refuse an instance without its series."""
        if self.sop_instance_uid and not self.series_instance_uid:
            raise ValueError("a scope that names an instance names its series, too")

    def uids(self) -> dict[str, str]:
        """Return the UIDs that it names, from the study down."""
        return {name: uid for name in UIDS if (uid := str(getattr(self, name)))}


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredInstance:
    """One instance that may be served."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    object_key: str
    """Of its bytes; the digest of them, so that it changes whenever they do."""
    size: int
    """Bytes of the file."""


class StoredInstances:
    """Lists instances as they are in force now."""

    def __init__(self, database: Database, files: LocalObjectFiles) -> None:
        self._database = database
        self._files = files

    def pages(self, scope: Scope) -> Iterator[list[StoredInstance]]:
        """Yield the instances of a scope in the order in which they came, each page from its own snapshot.

        Parameters
        ----------
        scope : Scope

        Raises
        ------
        StoreError
        """
        uids = scope.uids()
        for query in STATEMENTS[len(uids) - 1]:
            after = 0
            while True:
                with self._database.read() as connection:
                    rows = connection.execute(query, {**uids, AFTER: after}).all()
                if rows:
                    yield [_instance(scope, row) for row in rows]
                if len(rows) < PAGE:
                    break
                after = rows[-1].id
        with self._database.read() as connection:
            others = list(self._others(connection, scope))
        if others:
            yield others

    def first(self, scope: Scope) -> StoredInstance | None:
        """Return the first instance of a scope, None where there is none.

        Raises
        ------
        StoreError
        """
        return next((page[0] for page in self.pages(scope)), None)

    def digest(self, scope: Scope) -> str:
        """Return what changes whenever an instance of a scope comes, goes or becomes another; empty for none.

        Raises
        ------
        StoreError
        """
        state = hashlib.sha256()
        count = 0
        for page in self.pages(scope):
            count += len(page)
            for item in page:
                state.update(item.object_key.encode("ascii"))
        return state.hexdigest() if count else ""

    def _others(self, connection: Connection, scope: Scope) -> Iterator[StoredInstance]:
        query = (
            select(own_objects.c.sop_class_uid, own_objects.c.object_key, own_objects.c.size)
            .select_from(own_objects)
            .join(studies, others_of_study())
            .where(studies.c.study_instance_uid == scope.study_instance_uid)
            .order_by(own_objects.c.id)
        )
        if scope.sop_instance_uid:
            query = query.where(own_objects.c.sop_instance_uid == scope.sop_instance_uid)
        for row in connection.execute(query):
            header = read_stored_header(self._files, row.object_key)
            if header is not None and scope.series_instance_uid in {"", header.series_instance_uid}:
                yield StoredInstance(
                    study_instance_uid=scope.study_instance_uid,
                    series_instance_uid=header.series_instance_uid,
                    sop_instance_uid=header.sop_instance_uid,
                    sop_class_uid=row.sop_class_uid,
                    transfer_syntax_uid=header.transfer_syntax_uid,
                    object_key=row.object_key,
                    size=row.size,
                )


def _received(depth: int) -> Select[Any]:
    syntax: ColumnElement[str] = func.json_extract(instances.c.header, "$.transfer_syntax_uid")
    query = (
        select(
            instances.c.id,
            series.c.series_instance_uid,
            instances.c.sop_instance_uid,
            instances.c.sop_class_uid,
            syntax.label("transfer_syntax_uid"),
            instances.c.object_key,
            instances.c.size,
        )
        .select_from(instances)
        .join(series, series.c.id == instances.c.series_id)
        .join(studies, studies.c.id == series.c.study_id)
    )
    return _within(query, (studies, series, instances), depth)


def _results(depth: int) -> Select[Any]:
    query = (
        select(
            result_objects.c.id,
            result_objects.c.series_instance_uid,
            result_objects.c.sop_instance_uid,
            result_objects.c.sop_class_uid,
            result_objects.c.transfer_syntax_uid,
            result_objects.c.object_key,
            result_objects.c.size,
        )
        .select_from(result_objects)
        .join(studies, studies.c.id == result_objects.c.study_id)
        .where(may_be_sent())
    )
    return _within(query, (studies, result_objects, result_objects), depth)


def _within(query: Select[Any], tables: tuple[Table, Table, Table], depth: int) -> Select[Any]:
    for table, name in list(zip(tables, UIDS, strict=True))[:depth]:
        query = query.where(table.c[name] == bindparam(name))
    number = tables[-1].c.id + 0  # an expression is no key: rows are found by their study
    return query.where(number > bindparam(AFTER, type_=Integer)).order_by(number).limit(PAGE)


# Written once: to build a statement takes longer than to run it.
STATEMENTS = tuple((_received(depth), _results(depth)) for depth in range(1, len(UIDS) + 1))
"""By the number of UIDs that a scope names, less one."""


def _instance(scope: Scope, row: Row[Any]) -> StoredInstance:
    return StoredInstance(
        study_instance_uid=scope.study_instance_uid,
        series_instance_uid=row.series_instance_uid,
        sop_instance_uid=row.sop_instance_uid,
        sop_class_uid=row.sop_class_uid,
        transfer_syntax_uid=row.transfer_syntax_uid,
        object_key=row.object_key,
        size=row.size,
    )
