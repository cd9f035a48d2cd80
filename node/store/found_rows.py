"""Rows of the index as queries find them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, bindparam, func, select

from node.domain.result import RESULT_MODALITIES, ResultKind
from node.store.found_objects import (
    HEADER_FIELDS,
    Candidate,
    Wanted,
    header_values,
    named_columns,
    other_headers,
    text_of,
)
from node.store.header_codec import decode_header
from node.store.narrowing import INSTANCE_COLUMNS, PATIENT_COLUMNS, SERIES_COLUMNS, STUDY_COLUMNS
from node.store.object_files import LocalObjectFiles
from node.store.schema import instances, patients, result_objects, series, studies
from node.store.versions import may_be_sent

COUNTED_IN_STUDY = frozenset(
    {
        "ModalitiesInStudy",
        "SOPClassesInStudy",
        "NumberOfStudyRelatedSeries",
        "NumberOfStudyRelatedInstances",
    }
)
COUNTED_OF_PATIENT = frozenset(
    {
        "NumberOfPatientRelatedStudies",
        "NumberOfPatientRelatedSeries",
        "NumberOfPatientRelatedInstances",
    }
)
ABOVE_SERIES = {**PATIENT_COLUMNS, **STUDY_COLUMNS}
ABOVE_INSTANCE = {**ABOVE_SERIES, **SERIES_COLUMNS}
NUMBERS_OF_HEADER = {
    keyword: func.json_extract(instances.c.header, f"$.{HEADER_FIELDS[keyword]}")
    for keyword in (
        "AvailableTransferSyntaxUID",
        "AcquisitionNumber",
        "InstanceNumber",
        "NumberOfFrames",
        "Rows",
        "Columns",
        "BitsAllocated",
    )
}
"""What is taken out of the header by SQL: to read a whole header takes longer than to find it."""
COUNTED_IN_SERIES = {"NumberOfSeriesRelatedInstances": series.c.instance_count}
IDS = "ids"
# Written once: to build a statement takes longer than to run it.
STUDIES = (
    select(studies.c.id, *(column.label(keyword) for keyword, column in ABOVE_SERIES.items()))
    .select_from(studies)
    .join(patients, patients.c.id == studies.c.patient_key)
    .where(studies.c.id.in_(bindparam(IDS, expanding=True)))
    .order_by(studies.c.id)
)
RECEIVED = (
    select(series.c.study_id, series.c.modality, func.count(), func.sum(series.c.instance_count))
    .where(series.c.study_id.in_(bindparam(IDS, expanding=True)))
    .group_by(series.c.study_id, series.c.modality)
)
CLASSES = (
    select(series.c.study_id, instances.c.sop_class_uid)
    .join(instances, instances.c.series_id == series.c.id)
    .where(series.c.study_id.in_(bindparam(IDS, expanding=True)))
    .distinct()
)
MADE = (
    select(
        result_objects.c.study_id,
        result_objects.c.series_instance_uid,
        result_objects.c.kind,
        result_objects.c.sop_class_uid,
        func.count(),
    )
    .where(result_objects.c.study_id.in_(bindparam(IDS, expanding=True)), may_be_sent())
    .group_by(
        result_objects.c.study_id,
        result_objects.c.series_instance_uid,
        result_objects.c.kind,
        result_objects.c.sop_class_uid,
    )
)


@dataclass(kw_only=True)
class Figures:
    """What a study holds."""

    modalities: set[str] = field(default_factory=set)
    sop_classes: set[str] = field(default_factory=set)
    series: int = 0
    instances: int = 0


def patient_rows(
    connection: Connection, files: LocalObjectFiles, ids: Sequence[int], wanted: Wanted
) -> list[Candidate]:
    """Return these rows of ``patients``, each as its newest study names it."""
    dated = studies.alias()
    newest = select(func.max(dated.c.id)).where(dated.c.patient_key.in_(ids)).group_by(dated.c.patient_key)
    query = (
        select(patients.c.id, *named_columns(ABOVE_SERIES, wanted))
        .select_from(patients)
        .join(studies, studies.c.patient_key == patients.c.id)
        .where(studies.c.id.in_(newest))
        .order_by(patients.c.id)
    )
    found = {
        row[0]: dict(zip(row._fields[1:], map(text_of, row[1:]), strict=True))
        for row in connection.execute(query)
    }
    if not COUNTED_OF_PATIENT.isdisjoint(wanted):
        for patient, figures in _figures_of_patients(connection, files, ids).items():
            found[patient] |= {
                "NumberOfPatientRelatedStudies": str(len(figures)),
                "NumberOfPatientRelatedSeries": str(sum(item.series for item in figures)),
                "NumberOfPatientRelatedInstances": str(sum(item.instances for item in figures)),
            }
    return [Candidate(values=values) for values in found.values()]


def study_rows(
    connection: Connection, files: LocalObjectFiles, ids: Sequence[int], wanted: Wanted
) -> list[Candidate]:
    """Return these rows of ``studies``."""
    named = [(at, keyword) for at, keyword in enumerate(ABOVE_SERIES, start=1) if keyword in wanted]
    rows = connection.execute(STUDIES, {IDS: list(ids)})
    found = {row[0]: {keyword: row[at] for at, keyword in named} for row in rows}
    if not COUNTED_IN_STUDY.isdisjoint(wanted):
        figures = figures_of(connection, files, ids, wanted)
        for study, values in found.items():
            counted = figures[study]
            values["ModalitiesInStudy"] = tuple(sorted(counted.modalities - {""}))
            values["SOPClassesInStudy"] = tuple(sorted(counted.sop_classes))
            values["NumberOfStudyRelatedSeries"] = str(counted.series)
            values["NumberOfStudyRelatedInstances"] = str(counted.instances)
    return [Candidate(values=values) for values in found.values()]


def series_rows(
    connection: Connection, files: LocalObjectFiles, ids: Sequence[int], wanted: Wanted
) -> list[Candidate]:
    """Return these rows of ``series``, with the first of their instances where more is wanted of them."""
    del files
    columns = named_columns({**ABOVE_INSTANCE, **COUNTED_IN_SERIES}, wanted)
    query = (
        select(series.c.id, *columns)
        .select_from(series)
        .join(studies, studies.c.id == series.c.study_id)
        .join(patients, patients.c.id == studies.c.patient_key)
        .where(series.c.id.in_(ids))
        .order_by(series.c.id)
    )
    names = [column.name for column in columns]
    found = {
        row[0]: Candidate(values=dict(zip(names, map(text_of, row[1:]), strict=True)))
        for row in connection.execute(query)
    }
    if wanted <= {*ABOVE_INSTANCE, *COUNTED_IN_SERIES}:
        return list(found.values())
    return list(_with_first_instances(connection, found, wanted))


def instance_rows(
    connection: Connection, files: LocalObjectFiles, ids: Sequence[int], wanted: Wanted
) -> list[Candidate]:
    """Return these rows of ``instances``."""
    del files
    known = {**ABOVE_INSTANCE, **INSTANCE_COLUMNS, **NUMBERS_OF_HEADER}
    columns = named_columns(known, wanted)
    header = [] if wanted.isdisjoint(HEADER_FIELDS.keys() - known.keys()) else [instances.c.header]
    query = (
        select(instances.c.object_key, instances.c.size, *columns, *header)
        .select_from(instances)
        .join(series, series.c.id == instances.c.series_id)
        .join(studies, studies.c.id == series.c.study_id)
        .join(patients, patients.c.id == studies.c.patient_key)
        .where(instances.c.id.in_(ids))
        .order_by(instances.c.id)
    )
    names = [column.name for column in columns]
    found = []
    for row in connection.execute(query):
        values = dict(zip(names, map(text_of, row[2 : 2 + len(names)]), strict=True))
        if header:
            values = {**header_values(decode_header(row[-1]), wanted), **values}
        found.append(Candidate(values=values, object_key=row[0], size=row[1]))
    return found


def figures_of(
    connection: Connection, files: LocalObjectFiles, ids: Sequence[int], wanted: Wanted
) -> defaultdict[int, Figures]:
    """Return what these studies hold, by the row of ``studies``: images, results, and others' results."""
    found: defaultdict[int, Figures] = defaultdict(Figures)
    of_studies = {IDS: list(ids)}
    for study, modality, members, count in connection.execute(RECEIVED, of_studies):
        figures = found[study]
        figures.modalities.add(modality)
        figures.series += members
        figures.instances += count
    if "SOPClassesInStudy" in wanted:
        for study, uid in connection.execute(CLASSES, of_studies):
            found[study].sop_classes.add(uid)
    _add_own(connection, files, ids, found)
    return found


def _add_own(
    connection: Connection, files: LocalObjectFiles, ids: Sequence[int], found: defaultdict[int, Figures]
) -> None:
    members: set[tuple[int, str]] = set()
    for study, series_uid, kind, sop_class, count in connection.execute(MADE, {IDS: list(ids)}):
        found[study].modalities.add(RESULT_MODALITIES[ResultKind(kind)])
        found[study].sop_classes.add(sop_class)
        found[study].instances += count
        members.add((study, series_uid))
    for study, header in other_headers(connection, files, ids):
        found[study].modalities.add(header.modality)
        found[study].sop_classes.add(header.sop_class_uid)
        found[study].instances += 1
        members.add((study, header.series_instance_uid))
    for study, _ in members:
        found[study].series += 1


def _figures_of_patients(
    connection: Connection, files: LocalObjectFiles, ids: Sequence[int]
) -> dict[int, list[Figures]]:
    query = select(studies.c.id, studies.c.patient_key).where(studies.c.patient_key.in_(ids))
    owners = {row[0]: row[1] for row in connection.execute(query)}
    figures = figures_of(connection, files, list(owners), frozenset())
    found: dict[int, list[Figures]] = {}
    for study, patient in owners.items():
        found.setdefault(patient, []).append(figures[study])
    return found


def _with_first_instances(
    connection: Connection, found: dict[int, Candidate], wanted: Wanted
) -> Iterator[Candidate]:
    first = (
        select(func.min(instances.c.id))
        .where(instances.c.series_id.in_(found))
        .group_by(instances.c.series_id)
    )
    query = select(instances.c.series_id, instances.c.object_key, instances.c.header).where(
        instances.c.id.in_(first)
    )
    objects = {row.series_id: row for row in connection.execute(query)}
    for number, candidate in found.items():
        row = objects.get(number)
        if row is not None:
            values = {**header_values(decode_header(row.header), wanted), **candidate.values}
            yield Candidate(values=values, object_key=row.object_key)
