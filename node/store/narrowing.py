"""Criteria of a query as conditions of SQL: every row that matches meets them, others may too.

What a condition cannot say is decided afterwards (`node.decide.matching`), so that there is one meaning of
matching and no pattern of a peer reaches the database.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, exists, func, or_, select, true

from node.decide.matching import (
    LAST,
    WILDCARDS,
    AnyOf,
    Criterion,
    Dates,
    OneNumber,
    OneOf,
    Pattern,
    PersonName,
    Times,
)
from node.store.schema import instances, own_objects, patients, result_objects, series, studies
from node.store.versions import may_be_sent

Condition = ColumnElement[bool]
Criteria = Mapping[str, "Criterion | Given"]

PATIENT_COLUMNS: Mapping[str, ColumnElement[Any]] = {
    "PatientID": patients.c.patient_id,
    "IssuerOfPatientID": patients.c.issuer,
}
STUDY_COLUMNS: Mapping[str, ColumnElement[Any]] = {
    "PatientName": studies.c.patient_name,
    "PatientBirthDate": studies.c.patient_birth_date,
    "PatientSex": studies.c.patient_sex,
    "StudyDate": studies.c.study_date,
    "StudyTime": studies.c.study_time,
    "AccessionNumber": studies.c.accession_number,
    "ReferringPhysicianName": studies.c.referring_physician_name,
    "StudyDescription": studies.c.study_description,
    "StudyInstanceUID": studies.c.study_instance_uid,
    "StudyID": studies.c.study_id_text,
    "TimezoneOffsetFromUTC": studies.c.timezone_offset,
}
SERIES_COLUMNS: Mapping[str, ColumnElement[Any]] = {
    "Modality": series.c.modality,
    "SeriesDescription": series.c.series_description,
    "SeriesInstanceUID": series.c.series_instance_uid,
    "SeriesNumber": series.c.series_number,
}
INSTANCE_COLUMNS: Mapping[str, ColumnElement[Any]] = {
    "SOPClassUID": instances.c.sop_class_uid,
    "SOPInstanceUID": instances.c.sop_instance_uid,
}
RESULT_COLUMNS: Mapping[str, ColumnElement[Any]] = {
    "SeriesInstanceUID": result_objects.c.series_instance_uid,
    "SOPClassUID": result_objects.c.sop_class_uid,
    "SOPInstanceUID": result_objects.c.sop_instance_uid,
}
OTHER_COLUMNS: Mapping[str, ColumnElement[Any]] = {
    "SOPClassUID": own_objects.c.sop_class_uid,
    "SOPInstanceUID": own_objects.c.sop_instance_uid,
}
SURROGATES = range(0xD800, 0xE000)
LAST_CHARACTER = 0x10FFFF
PLAIN_LETTERS = re.compile("[a-z0-9]+")
BEYOND_ASCII = "*[^ -~]*"
HUNDRED = 100
MOST_SOUGHT = 1024
"""Characters of a text that is sought within others: SQLite takes patterns of 50,000 bytes."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """One value that is known only when a statement runs; not of a peer, but in place of a criterion."""

    keyword: str
    """Of the attribute, and the name of the statement's parameter."""


def of_patients(criteria: Criteria) -> Condition:
    """Return what rows of ``patients`` must meet: themselves, and one of their studies."""
    conditions = list(_narrowed(PATIENT_COLUMNS, criteria))
    of_study = list(_of_study(criteria))
    if of_study and not conditions:  # begin with the studies: they have the indexes
        return patients.c.id.in_(select(studies.c.patient_key).where(*of_study))
    return and_(true(), *conditions, exists().where(studies.c.patient_key == patients.c.id, *of_study))


def of_studies(criteria: Criteria) -> Condition:
    """Return what rows of ``studies`` must meet: themselves and their patient."""
    conditions = list(_of_study(criteria))
    patient = list(_narrowed(PATIENT_COLUMNS, criteria))
    if patient:
        conditions.append(studies.c.patient_key.in_(select(patients.c.id).where(*patient)))
    return and_(true(), *conditions)


def of_series(criteria: Criteria) -> Condition:
    """Return what rows of ``series`` must meet: themselves, their study and its patient."""
    return and_(true(), *_narrowed(SERIES_COLUMNS, criteria), _within(series.c.study_id, criteria))


def of_instances(criteria: Criteria) -> Condition:
    """Return what rows of ``instances`` must meet: themselves and all above them."""
    conditions = list(_narrowed(INSTANCE_COLUMNS, criteria))
    above = of_series(criteria)
    if any(keyword in criteria for keyword in (*PATIENT_COLUMNS, *STUDY_COLUMNS, *SERIES_COLUMNS)):
        conditions.append(instances.c.series_id.in_(select(series.c.id).where(above)))
    return and_(true(), *conditions)


def of_results(criteria: Criteria) -> Condition:
    """Return what rows of ``result_objects`` must meet: that they are in force, and all above them."""
    own = _narrowed(RESULT_COLUMNS, criteria)
    return and_(may_be_sent(), *own, _within(result_objects.c.study_id, criteria))


def of_studies_with_others(criteria: Criteria) -> Condition:
    """Return what rows of ``studies`` must meet that have objects of other nodes with this one's devices."""
    own = list(_narrowed(OTHER_COLUMNS, criteria))
    if any(keyword in criteria for keyword in (*PATIENT_COLUMNS, *STUDY_COLUMNS)):
        return and_(of_studies(criteria), exists().where(others_of_study(), *own))
    others = select(own_objects.c.study_instance_uid).where(_not_made_here(), *own)  # few, or none
    return and_(of_studies(criteria), studies.c.study_instance_uid.in_(others))


def others_of_study() -> Condition:
    """Return the condition that a row of ``own_objects`` is of a row of ``studies``, and not made here."""
    return and_(own_objects.c.study_instance_uid == studies.c.study_instance_uid, _not_made_here())


def _not_made_here() -> Condition:
    made_here = exists().where(result_objects.c.sop_instance_uid == own_objects.c.sop_instance_uid)
    return ~made_here.correlate(own_objects)


def _within(column: ColumnElement[Any], criteria: Criteria) -> Condition:
    if any(keyword in criteria for keyword in (*PATIENT_COLUMNS, *STUDY_COLUMNS, "ModalitiesInStudy")):
        return column.in_(select(studies.c.id).where(of_studies(criteria)))
    return true()


def _of_study(criteria: Criteria) -> Iterable[Condition]:
    yield from _narrowed(STUDY_COLUMNS, criteria)
    if "ModalitiesInStudy" in criteria:
        modality = _narrow(series.c.modality, criteria["ModalitiesInStudy"])
        yield or_(
            exists().where(series.c.study_id == studies.c.id, modality),
            exists().where(result_objects.c.study_id == studies.c.id),
            exists().where(own_objects.c.study_instance_uid == studies.c.study_instance_uid),
        )


def _narrowed(columns: Mapping[str, ColumnElement[Any]], criteria: Criteria) -> Iterable[Condition]:
    for keyword, column in columns.items():
        if keyword in criteria:
            yield _narrow(column, criteria[keyword])


def _narrow(column: ColumnElement[Any], criterion: Criterion | Given) -> Condition:
    """Return what a column must meet."""
    if isinstance(criterion, AnyOf):
        return or_(*(_narrow(column, item) for item in criterion.criteria))
    if isinstance(criterion, Given | OneOf | OneNumber):
        return _one_of(column, criterion)
    if isinstance(criterion, Pattern):
        return and_(true(), *_begins(column, _beginning(criterion.text)), *_holds(column, criterion.text))
    if isinstance(criterion, PersonName):
        plain = column is not studies.c.patient_name
        return _spelled(column, criterion) if plain else _named(studies.c.sought_name, criterion.groups)
    return _dated(column, criterion) if isinstance(criterion, Dates) else _timed(column, criterion)


def _one_of(column: ColumnElement[Any], criterion: Given | OneOf | OneNumber) -> Condition:
    if isinstance(criterion, Given):
        return column == bindparam(criterion.keyword)
    return column.in_(list(criterion.values))


def _named(column: ColumnElement[Any], groups: tuple[str, ...]) -> Condition:
    """Return what a sought name must meet: one group alone may be any of the name's groups."""
    conditions = [condition for group in groups for condition in _holds(column, group)]
    beginning = _beginning(groups[0])
    if len(groups) == 1 and beginning:
        later = column.contains("=" + beginning[:MOST_SOUGHT], autoescape=True)
        conditions.append(or_(and_(true(), *_begins(column, beginning)), later))
    return and_(true(), *conditions)


def _dated(column: ColumnElement[Any], dates: Dates) -> Condition:
    if dates.first == dates.last:
        return column == dates.first
    ends = [column >= dates.first] if dates.first else []
    return and_(true(), *ends, *([column <= dates.last] if dates.last != LAST else []))


def _timed(column: ColumnElement[Any], times: Times) -> Condition:
    """Return what a time must meet as it was sent: it begins with its hour, however it goes on."""
    after = int(times.last[:2]) + 1
    ends = [column < f"{after:02d}"] if after < HUNDRED else []
    return and_(column >= times.first[:2], *ends)


def _spelled(column: ColumnElement[Any], name: PersonName) -> Condition:
    """Return what a name must meet as it was sent: another letter than of ASCII may stand for any."""
    runs = [run for group in name.groups for run in PLAIN_LETTERS.findall(group)]
    if not runs:
        return true()
    sought = func.lower(column).contains(max(runs, key=len)[:MOST_SOUGHT])
    return or_(sought, column.op("GLOB")(BEYOND_ASCII))


def _beginning(pattern: str) -> str:
    """Return what stands before the first wild card."""
    return "".join(takewhile(lambda character: character not in WILDCARDS, pattern))


def _begins(column: ColumnElement[Any], text: str) -> Iterable[Condition]:
    """Yield that a column begins with a text, as a range, which an index can find."""
    if text:
        yield column >= text
        following = _following(text)
        if following:
            yield column < following


def _following(text: str) -> str:
    """Return the first text behind all that begin with this one, empty where there is none."""
    kept = text.rstrip(chr(LAST_CHARACTER))
    if not kept:
        return ""
    code = ord(kept[-1]) + 1
    return kept[:-1] + chr(SURROGATES.stop if code in SURROGATES else code)


def _holds(column: ColumnElement[Any], pattern: str) -> Iterable[Condition]:
    """Yield that a column holds the longest run of a pattern without wild cards."""
    longest = max(pattern.replace("?", "*").split("*"), key=len)
    if longest:
        yield column.contains(longest[:MOST_SOUGHT], autoescape=True)
