"""What queries ask for, read from the index a page at a time.

First the rows that may match are noted by their numbers, then each page is read, the first one in the same
transaction, each other in one of its own: a peer that takes its answers slowly holds up no writer, and memory
holds one page and eight bytes a match.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, Select, func, select

from node.decide.matching import OneOf
from node.domain.query import UNIQUE_KEYS, Level
from node.store.database import Database
from node.store.found_objects import (
    Candidate,
    Wanted,
    other_instances,
    other_series,
    result_instances,
    result_series,
)
from node.store.found_rows import instance_rows, patient_rows, series_rows, study_rows
from node.store.narrowing import (
    Criteria,
    Given,
    of_instances,
    of_patients,
    of_results,
    of_series,
    of_studies,
    of_studies_with_others,
)
from node.store.object_files import LocalObjectFiles
from node.store.prepared import Prepared
from node.store.schema import instances, patients, result_objects, series, studies

FIRST_NOTED = 500
"""Rows noted before the first answer; the rest is noted behind them."""
MOST_NOTED = 1_000_000
SHAPES = 64
"""Sets of attributes whose statement is kept: to build one takes longer than to run it."""
FIRST_PAGE = 50
PAGE = 500

SELECTIVE = frozenset({"AccessionNumber", "PatientID", "PatientName", "StudyDate", *UNIQUE_KEYS.values()})
"""Attributes by whose values few rows are found."""

Numbers: TypeAlias = "Select[tuple[int]]"
Reader: TypeAlias = Callable[[Connection, LocalObjectFiles, Sequence[int], Wanted], list[Candidate]]


@dataclass(frozen=True, kw_only=True)
class _Source:
    """One kind of rows in which entities of a level are found."""

    numbers: Callable[[Criteria], Any]
    """Returns the query of the rows that may match, with one column ``id``."""
    read: Reader


class MatchRecords:
    """Finds what queries ask for."""

    def __init__(self, database: Database, files: LocalObjectFiles) -> None:
        self._database = database
        self._files = files
        self._first_of = lru_cache(SHAPES)(_first_of)

    def find(self, level: Level, criteria: Criteria, wanted: Wanted) -> Iterator[list[Candidate]]:
        """Yield pages of entities that may match: all that do are among them.

        Images are found as they are in force, results as they would be sent; what lies aside is not found.

        Parameters
        ----------
        level : Level
        criteria : mapping of str to Criterion
            By keyword.
        wanted : frozenset of str
            Keywords of the attributes to be read.

        Raises
        ------
        StoreError
        """
        key = criteria.get(UNIQUE_KEYS[level])
        is_one = isinstance(key, OneOf) and len(key.values) == 1 and level in {Level.SERIES, Level.IMAGE}
        for source in SOURCES[level]:
            is_found = False
            for page in self._pages(source, criteria, wanted):
                yield page
                is_found = True
            if is_found and is_one:  # UIDs are unique: it is nowhere else
                return

    def _pages(self, source: _Source, criteria: Criteria, wanted: Wanted) -> Iterator[list[Candidate]]:
        with self._database.read() as connection:
            noted = self._note_first(connection, source, criteria)
            page = source.read(connection, self._files, list(noted[:FIRST_PAGE]), wanted) if noted else []
        if page:
            yield page
        begin, most = FIRST_PAGE, FIRST_NOTED
        while True:
            for start in range(begin, len(noted), PAGE):
                with self._database.read() as connection:
                    page = source.read(connection, self._files, list(noted[start : start + PAGE]), wanted)
                yield page
            if len(noted) < most:
                return
            begin, most = 0, MOST_NOTED
            with self._database.read() as connection:
                noted = _note(connection, _numbers(source, criteria), noted[-1], most)

    def _note_first(self, connection: Connection, source: _Source, criteria: Criteria) -> array[int]:
        """Return the first rows that may match; where single values are asked for, by a statement kept."""
        values = {
            keyword: next(iter(criterion.values))
            for keyword, criterion in criteria.items()
            if isinstance(criterion, OneOf) and len(criterion.values) == 1
        }
        if len(values) < len(criteria):
            return _note(connection, _numbers(source, criteria), 0, FIRST_NOTED)
        rows = self._first_of(source, frozenset(values)).rows(connection, values)
        return array("q", (row["id"] for row in rows))


def _numbers(source: _Source, criteria: Criteria) -> ColumnElement[int]:
    """Return the numbers of the rows that may match, as the column of a query."""
    numbered: ColumnElement[int] = source.numbers(criteria).subquery().c.id
    # An expression is no key: what is looked for is found by its own index, not by walking all rows.
    return numbered if SELECTIVE.isdisjoint(criteria) else numbered + 0


def _first_of(source: _Source, keywords: frozenset[str]) -> Prepared:
    """Return the statement of the first rows with one value each of some attributes, given when it runs."""
    number = _numbers(source, {keyword: Given(keyword=keyword) for keyword in keywords})
    return Prepared(select(number.label("id")).order_by(number).limit(FIRST_NOTED))


def _note(connection: Connection, number: ColumnElement[int], after: int, most: int) -> array[int]:
    query = select(number).where(number > after).order_by(number).limit(most)
    return array("q", connection.execute(query).scalars())


def _result_series(criteria: Criteria) -> Numbers:
    first = func.min(result_objects.c.id).label("id")
    grouped = (result_objects.c.study_id, result_objects.c.series_instance_uid)
    return select(first).where(of_results(criteria)).group_by(*grouped)


def _results(criteria: Criteria) -> Numbers:
    return select(result_objects.c.id).where(of_results(criteria))


def _studies_with_others(criteria: Criteria) -> Numbers:
    return select(studies.c.id).where(of_studies_with_others(criteria))


SOURCES: Mapping[Level, tuple[_Source, ...]] = {
    Level.PATIENT: (
        _Source(
            numbers=lambda criteria: select(patients.c.id).where(of_patients(criteria)), read=patient_rows
        ),
    ),
    Level.STUDY: (
        _Source(numbers=lambda criteria: select(studies.c.id).where(of_studies(criteria)), read=study_rows),
    ),
    Level.SERIES: (
        _Source(numbers=lambda criteria: select(series.c.id).where(of_series(criteria)), read=series_rows),
        _Source(numbers=_result_series, read=result_series),
        _Source(numbers=_studies_with_others, read=other_series),
    ),
    Level.IMAGE: (
        _Source(
            numbers=lambda criteria: select(instances.c.id).where(of_instances(criteria)), read=instance_rows
        ),
        _Source(numbers=_results, read=result_instances),
        _Source(numbers=_studies_with_others, read=other_instances),
    ),
}
"""Where the entities of each level are found."""
