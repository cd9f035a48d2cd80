"""A report or rejection note of this node as a short JSON message, made of the object alone.

What the message says is what the report says: outcome, numbers, model and what the result is not. It names no
patient; the identifiers by which a receiver may find one stand in it only where they are asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.sr.coding import Code

from node.domain.delivery import Message
from node.domain.errors import NotAReport
from node.domain.preparation_spec import InputModality
from node.domain.result import Outcome, ResultKind
from node.report import codes
from node.report.identity import SOP_CLASSES
from node.report.reading import Node

SCHEMA: Final = 1
"""Raised when a key changes its meaning or goes."""
RESULT: Final = "result"
WITHDRAWN: Final = "withdrawn"
DIGITS: Final = 6


def message_about(path: Path, *, identifiers: bool) -> Message:
    """Return the message about one object.

    Parameters
    ----------
    path : Path
        PS3.10 file of a report or a rejection note made by this node.
    identifiers : bool
        Whether PatientID, its issuer and AccessionNumber stand in the message.

    Raises
    ------
    NotAReport
        The object is another one.
    OSError
        The file cannot be read.
    """
    try:
        data_set = pydicom.dcmread(path)
    except InvalidDicomError as error:
        raise NotAReport("this file is no DICOM object; nothing can be told of it") from error
    root = Node(data_set)
    if str(data_set.get("SOPClassUID", "")) == SOP_CLASSES[ResultKind.REPORT] and root.all(codes.SUMMARY):
        event, told = RESULT, _result(data_set, root)
    elif (title := _withdrawal(root)) is not None:
        event, told = WITHDRAWN, {"title": title, "withdrawn_sop_instance_uids": _named(data_set)}
    else:
        raise NotAReport("this object is neither a report nor a rejection note of Groundglass")
    whole = {
        "schema": SCHEMA,
        "event": event,
        "study_instance_uid": _text(data_set, "StudyInstanceUID"),
        "object": _object(data_set),
        **({"identifiers": _identifiers(data_set)} if identifiers else {}),
        **told,
    }
    key = f"{event}-{_text(data_set, 'SOPInstanceUID')}"
    return Message(event=event, key=key, body=json.dumps(whole, ensure_ascii=True).encode("ascii"))


def _object(data_set: Dataset) -> dict[str, Any]:
    return {
        "sop_class_uid": _text(data_set, "SOPClassUID"),
        "sop_instance_uid": _text(data_set, "SOPInstanceUID"),
        "series_instance_uid": _text(data_set, "SeriesInstanceUID"),
        "version": int(data_set.InstanceNumber),
        "made_at": _moment(data_set),
        "replaces_sop_instance_uids": list(_instances(data_set.get("PredecessorDocumentsSequence"))),
    }


def _identifiers(data_set: Dataset) -> dict[str, str]:
    return {
        "patient_id": _text(data_set, "PatientID"),
        "issuer_of_patient_id": _text(data_set, "IssuerOfPatientID"),
        "accession_number": _text(data_set, "AccessionNumber"),
    }


def _result(data_set: Dataset, root: Node) -> dict[str, Any]:
    groups = root.first(codes.IMAGING_MEASUREMENTS).all(codes.MEASUREMENT_GROUP)
    study, images = (groups[0], groups[1:]) if groups else (Node(Dataset()), [])
    modality = next(
        (modality for modality, concepts in codes.COUNTED.items() if study.all(concepts.received)),
        InputModality.CT,
    )
    counted = codes.COUNTED[modality]
    return {
        "title": root.first(codes.DOCUMENT_TITLE).text,
        "notice": root.first(codes.NOTICE).text,
        "outcome": _outcome(study, counted).value,
        "run_outcome": _value_of(codes.RUN_OUTCOMES, study.first(codes.RUN)),
        "summary": root.first(codes.SUMMARY).text,
        "reason": study.first(codes.REASON).text,
        "warnings": [item.text for item in study.all(codes.WARNING)],
        "complete": _text(data_set, "CompletionFlag") == "COMPLETE",
        "model": {
            "name": study.first(codes.ALGORITHM_NAME).text,
            "version": study.first(codes.ALGORITHM_VERSION).text,
            "status": _value_of(codes.STATUSES, study.first(codes.MODEL_STATUS)),
            "device_uid": root.first(codes.DEVICE_OBSERVER_UID).text,
        },
        "modality": modality.value,
        "numbers": _numbers(study, counted),
        "meaning_of_score": study.first(codes.MEANING_OF_SCORE).text,
        "operating_point": study.first(codes.OPERATING_POINT).text,
        "operating_point_validated": study.first(codes.POINT_VALIDATED).code == codes.YES.value,
        "positive_images": [_image(item, counted) for item in images],
    }


def _outcome(study: Node, counted: codes.Counted) -> Outcome:
    """Return the outcome; what is indeterminate was not analysed where no image was counted."""
    assessment = study.first(codes.OVERALL_ASSESSMENT).code
    for outcome in (Outcome.POSITIVE, Outcome.NEGATIVE):
        if assessment == codes.ASSESSMENTS[outcome].value:
            return outcome
    return Outcome.UNDETERMINED if study.all(counted.received) else Outcome.NOT_ANALYSED


def _numbers(study: Node, counted: codes.Counted) -> dict[str, float | int | None]:
    concepts = {
        "received": counted.received,
        "selected": counted.selected,
        "positive": counted.positive,
        "positive_share": counted.ratio,
        "share_threshold": counted.share_threshold,
        "image_threshold": counted.threshold,
        "mean_score": counted.mean_score,
        "highest_score": counted.highest_score,
    }
    return {name: _number(study.first(concept).text) for name, concept in concepts.items()}


def _image(group: Node, counted: codes.Counted) -> dict[str, Any]:
    source = group.first(codes.SOURCE_OF_MEASUREMENT)
    uid, _, frame = source.instance.partition(" frame ")
    percent = _number(group.first(codes.CERTAINTY_OF_FINDING).text)
    return {
        "sop_instance_uid": uid,
        "frame": int(frame) if frame.isdecimal() else 1,
        "score": None if percent is None else round(percent / 100, DIGITS),
        "heatmap_sop_instance_uid": group.first(counted.heatmap).instance or None,
    }


def _withdrawal(root: Node) -> str | None:
    """Return the title of a rejection note, or None when it is none."""
    concept = root.concept
    found = (
        withdrawal.value
        for withdrawal, code in codes.REJECTIONS.items()
        if concept == (code.value, code.scheme_designator)
    )
    return next(found, None)


def _named(data_set: Dataset) -> list[str]:
    return sorted(_instances(data_set.get("CurrentRequestedProcedureEvidenceSequence")))


def _instances(studies: Any) -> Iterator[str]:
    for study in studies or ():
        for series in study.ReferencedSeriesSequence:
            for instance in series.ReferencedSOPSequence:
                yield str(instance.ReferencedSOPInstanceUID)


def _value_of(names: dict[Any, Code], item: Node) -> str:
    """Return the domain's name of a coded value; empty where it is not known here."""
    return next((name.value for name, code in names.items() if code.value == item.code), "")


def _number(value: str) -> float | int | None:
    try:
        return int(value) if value.isdecimal() else float(value)
    except ValueError:
        return None


def _moment(data_set: Dataset) -> str:
    """Return ContentDate and ContentTime by ISO 8601, with their zone where the images name one."""
    day, time = _text(data_set, "ContentDate"), _text(data_set, "ContentTime")
    zone = _text(data_set, "TimezoneOffsetFromUTC")
    zone = f"{zone[:3]}:{zone[3:]}" if zone else ""
    return f"{day[:4]}-{day[4:6]}-{day[6:]}T{time[:2]}:{time[2:4]}:{time[4:6]}{zone}"


def _text(data_set: Dataset, keyword: str) -> str:
    value = data_set.get(keyword)
    return "" if value is None else str(value)
