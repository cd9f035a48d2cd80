"""Objects of this node as queries find them: what is not in the index is read from the stored object."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, bindparam, func, select

from node.dicom.read import read_header
from node.domain.errors import DicomError, ObjectMissing
from node.domain.study import InstanceHeader
from node.store.narrowing import PATIENT_COLUMNS, RESULT_COLUMNS, STUDY_COLUMNS, others_of_study
from node.store.object_files import LocalObjectFiles
from node.store.schema import own_objects, patients, result_objects, studies
from node.store.versions import may_be_sent

logger = logging.getLogger(__name__)

Values: TypeAlias = str | tuple[str, ...]
Wanted: TypeAlias = frozenset[str]

HEADER_FIELDS: Mapping[str, str] = {
    "Modality": "modality",
    "Manufacturer": "manufacturer",
    "StationName": "station_name",
    "SeriesDescription": "series_description",
    "BodyPartExamined": "body_part_examined",
    "SeriesInstanceUID": "series_instance_uid",
    "SeriesNumber": "series_number",
    "ImageType": "image_type",
    "SOPClassUID": "sop_class_uid",
    "SOPInstanceUID": "sop_instance_uid",
    "AvailableTransferSyntaxUID": "transfer_syntax_uid",
    "AcquisitionNumber": "acquisition_number",
    "InstanceNumber": "instance_number",
    "NumberOfFrames": "number_of_frames",
    "Rows": "rows",
    "Columns": "columns",
    "BitsAllocated": "bits_allocated",
}
"""Field of `InstanceHeader` by keyword."""

OF_RESULT: Mapping[str, ColumnElement[Any]] = {
    **RESULT_COLUMNS,
    "AvailableTransferSyntaxUID": result_objects.c.transfer_syntax_uid,
}
"""What the index says of results: their files are read only where more than that is wanted."""

OTHERS = (
    select(studies.c.id, own_objects.c.object_key)
    .select_from(studies)
    .join(own_objects, others_of_study())
    .where(studies.c.id.in_(bindparam("ids", expanding=True)))
)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One entity that may match."""

    values: dict[str, Values]
    """By keyword; what is not there is empty."""
    object_key: str = ""
    """Of an object of a series, or of the instance; empty above."""
    size: int = 0
    """Bytes of an instance's file."""


def text_of(value: object) -> Values:
    """Return a value of the index as DICOM text."""
    if isinstance(value, tuple):
        return tuple(map(str, value))
    return "" if value is None else str(value)


def header_values(header: InstanceHeader, wanted: Wanted) -> dict[str, Values]:
    """Return what is wanted of a header, by keyword."""
    return {
        keyword: text_of(getattr(header, field))
        for keyword, field in HEADER_FIELDS.items()
        if keyword in wanted
    }


def named_columns(columns: Mapping[str, Any], wanted: Wanted) -> list[Any]:
    """Return the wanted columns, labelled with their keywords."""
    return [column.label(keyword) for keyword, column in columns.items() if keyword in wanted]


def result_series(
    connection: Connection, files: LocalObjectFiles, ids: Sequence[int], wanted: Wanted
) -> list[Candidate]:
    """Return the series of results of which these rows of ``result_objects`` are one object each."""
    rows = connection.execute(_results(ids, wanted)).mappings().all()
    counts = _counted_series(connection, rows) if "NumberOfSeriesRelatedInstances" in wanted else {}
    return list(_candidates(files, rows, wanted, counts))


def result_instances(
    connection: Connection, files: LocalObjectFiles, ids: Sequence[int], wanted: Wanted
) -> list[Candidate]:
    """Return these rows of ``result_objects`` as instances."""
    return list(_candidates(files, connection.execute(_results(ids, wanted)).mappings(), wanted, {}))


def other_series(
    connection: Connection, files: LocalObjectFiles, ids: Sequence[int], wanted: Wanted
) -> list[Candidate]:
    """Return the series of what other nodes with this one's devices have made of these studies."""
    needed = wanted | {"SeriesInstanceUID", "StudyInstanceUID"}
    found: dict[Values, Candidate] = {}
    counts: dict[Values, int] = {}
    for candidate in other_instances(connection, files, ids, needed):
        uid = candidate.values["SeriesInstanceUID"]
        found.setdefault(uid, candidate)
        counts[uid] = counts.get(uid, 0) + 1
    for uid, candidate in found.items():
        candidate.values["NumberOfSeriesRelatedInstances"] = str(counts[uid])
    return list(found.values())


def other_instances(
    connection: Connection, files: LocalObjectFiles, ids: Sequence[int], wanted: Wanted
) -> list[Candidate]:
    """Return what other nodes with this one's devices have made of these studies."""
    columns = named_columns({**PATIENT_COLUMNS, **STUDY_COLUMNS}, wanted)
    query = (
        select(own_objects.c.object_key, own_objects.c.size, *columns)
        .select_from(own_objects)
        .join(studies, others_of_study())
        .join(patients, patients.c.id == studies.c.patient_key)
        .where(studies.c.id.in_(ids))
        .order_by(studies.c.id, own_objects.c.id)
    )
    return list(_candidates(files, connection.execute(query).mappings(), wanted, {}))


def other_headers(
    connection: Connection, files: LocalObjectFiles, ids: Sequence[int]
) -> Iterator[tuple[int, InstanceHeader]]:
    """Yield the row of the study and the header of what other nodes have made of these studies."""
    for row in connection.execute(OTHERS, {"ids": list(ids)}):
        header = read_stored_header(files, row.object_key)
        if header is not None:
            yield row.id, header


def _results(ids: Sequence[int], wanted: Wanted) -> Select[Any]:
    columns = named_columns({**PATIENT_COLUMNS, **STUDY_COLUMNS, **OF_RESULT}, wanted)
    return (
        select(
            result_objects.c.object_key,
            result_objects.c.size,
            result_objects.c.series_instance_uid,
            *columns,
        )
        .select_from(result_objects)
        .join(studies, studies.c.id == result_objects.c.study_id)
        .join(patients, patients.c.id == studies.c.patient_key)
        .where(result_objects.c.id.in_(ids), may_be_sent())  # as it is now, and not when it was noted
        .order_by(result_objects.c.id)
    )


def _counted_series(connection: Connection, rows: Iterable[RowMapping]) -> dict[str, int]:
    uids = {row["series_instance_uid"] for row in rows}
    query = (
        select(result_objects.c.series_instance_uid, func.count())
        .where(result_objects.c.series_instance_uid.in_(uids), may_be_sent())
        .group_by(result_objects.c.series_instance_uid)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def _candidates(
    files: LocalObjectFiles, rows: Iterable[RowMapping], wanted: Wanted, counts: Mapping[str, int]
) -> Iterator[Candidate]:
    for row in rows:
        values = {keyword: text_of(row[keyword]) for keyword in row if keyword[0].isupper()}
        if not wanted.isdisjoint(HEADER_FIELDS.keys() - values.keys()):
            header = read_stored_header(files, row["object_key"])
            if header is None:
                continue
            values |= header_values(header, wanted)
        if counts:
            values["NumberOfSeriesRelatedInstances"] = str(counts[row["series_instance_uid"]])
        yield Candidate(values=values, object_key=row["object_key"], size=row["size"])


def read_stored_header(files: LocalObjectFiles, key: str) -> InstanceHeader | None:
    """Return the header of a stored object, None where it cannot be read, which is logged."""
    try:
        return read_header(files.path(key))
    except (DicomError, ObjectMissing, FileNotFoundError) as error:
        logger.error("an object is not found by queries: %s", error)  # noqa: TRY400 - the message says it all
        return None
