"""A Key Object Selection Document (PS3.3 A.35.4): what key objects and rejection notes have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import highdicom.sr as hd
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from node.report import codes, inherited
from node.report import content as make
from node.report.content import Reference
from node.report.envelope import Envelope, Making
from node.report.evidence import hierarchical
from node.report.observer import device_observer


@dataclass(frozen=True, kw_only=True)
class Selected:
    """One object that the document points at."""

    series_instance_uid: str
    reference: Reference
    is_image: bool
    """Whether it has pixels; another object is referenced as a composite."""


def complete(
    frame: Envelope,
    making: Making,
    donor: Dataset,
    *,
    title: Code,
    description: str,
    selected: Sequence[Selected],
) -> None:
    """Add what makes a selection document of an object with its general modules.

    Parameters
    ----------
    frame : Envelope
    making : Making
        Names the observer.
    donor : pydicom.dataset.Dataset
        The instance whose orders are taken over.
    title : Code
        Of CID 7010.
    description : str
        Key Object Description (113012, DCM).
    selected : sequence of Selected
        At least one, all of the document's own study; an image of several frames may come once for each.
    """
    document = frame.data_set
    # Key Object Document Series (PS3.3 C.17.6.1)
    document.Modality = "KO"
    document.ReferencedPerformedProcedureStepSequence = []
    # Key Object Document (PS3.3 C.17.6.2)
    requests = inherited.requests(donor)
    if requests:
        document.ReferencedRequestSequence = requests
    named = [(item.series_instance_uid, item.reference) for item in selected]
    document.CurrentRequestedProcedureEvidenceSequence = [hierarchical(str(document.StudyInstanceUID), named)]
    # SR Document Content (PS3.3 C.17.3) by TID 2010
    items = (
        make.code(codes.LANGUAGE, codes.language(making.producer.wording), make.HAS_CONCEPT_MOD),  # TID 1204
        *device_observer(making.model, making.producer),
        make.text(codes.KEY_OBJECT_DESCRIPTION, description),
        *_references(selected),
    )
    document.update(make.container(title, items, template="2010", relation=None))
    for item in document.ContentSequence:
        if "ReferencedSOPSequence" in item:
            del item.ConceptNameCodeSequence  # TID 2010: "no purpose of reference"


def _references(selected: Sequence[Selected]) -> Iterator[hd.ContentItem]:
    for item in selected:
        named = make.image if item.is_image else make.composite
        yield named(codes.SOURCE, item.reference)
