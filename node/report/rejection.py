"""A rejection note: a Key Object Selection that withdraws the objects of one version (IHE IOCM)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydicom.dataset import Dataset

from node.domain.errors import ReportImpossible
from node.domain.identity import digest
from node.domain.model import ModelIdentity
from node.domain.result import ResultKind, Withdrawal
from node.domain.wording import ENGLISH
from node.report import codes, inherited, text
from node.report.content import Reference
from node.report.envelope import Making, general
from node.report.request import BuiltObject, Producer
from node.report.selection_document import Selected, complete


@dataclass(frozen=True, kw_only=True)
class RejectionRequest:
    """All that one rejection note is made of."""

    withdrawn: Sequence[Dataset]
    """Headers, without pixel data, of every object of the version. The patient and study attributes of the
    first one are the note's: an archive must find it where it keeps what is withdrawn."""
    title: Withdrawal
    reason: str
    """Why, in the words of who withdraws it; part of the document."""
    version: int
    """The version that is withdrawn."""
    model: ModelIdentity
    """The model that made the version."""
    made_at: datetime
    """Aware."""
    producer: Producer


def build_rejection(request: RejectionRequest) -> BuiltObject:
    """Build a rejection note.

    The SOPInstanceUID follows from what is withdrawn and why: the same request gives the same note.

    Raises
    ------
    ReportImpossible
        Nothing is withdrawn, or the objects are of several studies.
    """
    headers = sorted(request.withdrawn, key=lambda item: str(item.SOPInstanceUID))
    studies = {str(item.get("StudyInstanceUID", "")) for item in headers}
    if len(studies) != 1:
        raise ReportImpossible(
            f"a rejection note is about objects of one study, not of {len(studies)}; withdraw them one by one"
        )
    making = Making(
        model=request.model,
        producer=request.producer,
        version=request.version,
        made_at=request.made_at,
    )
    donor, words = request.withdrawn[0], request.producer.wording
    frame = general(
        making,
        donor,
        kind=ResultKind.REJECTION,
        index=request.version,
        recipe=digest(
            "rejection",
            request.title.value,
            request.reason,
            [str(item.SOPInstanceUID) for item in headers],
            *(() if words.language == ENGLISH.language else (words.language,)),
        ),
        description=text.rejection_series(words, request.model),
    )
    complete(
        frame,
        making,
        donor,
        title=codes.REJECTIONS[request.title],
        description=text.rejection(words, request.title, request.reason, request.model, request.version),
        selected=[_selected(item) for item in request.withdrawn],
    )
    return frame.seal()


def _selected(header: Dataset) -> Selected:
    return Selected(
        series_instance_uid=str(header.SeriesInstanceUID),
        reference=Reference(
            sop_class_uid=str(header.SOPClassUID), sop_instance_uid=str(header.SOPInstanceUID)
        ),
        is_image=inherited.is_image(header),
    )
