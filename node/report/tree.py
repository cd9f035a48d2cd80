"""The content tree of the report (PS3.16 TID 1500)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import highdicom.sr as hd
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from node.domain.preparation_spec import InputModality
from node.domain.result import SeriesChoice
from node.domain.wording import Wording
from node.report import codes, inherited, text
from node.report import content as make
from node.report.evidence import Evidence, referenced
from node.report.groups import Grounds, measurement_groups
from node.report.observer import device_observer
from node.report.request import Producer

RADIOGRAPHY: Final = ("CR", "DX")


def content_tree(grounds: Grounds, producer: Producer) -> hd.ContainerContentItem:
    """Return the root container."""
    groups = make.container(codes.IMAGING_MEASUREMENTS, measurement_groups(grounds))
    series = make.container(codes.SERIES_FOUND, _series_found(grounds))
    library = make.container(codes.IMAGE_LIBRARY, _library(grounds, (groups, series)))
    return make.container(
        codes.IMAGING_MEASUREMENT_REPORT,
        (
            make.code(codes.LANGUAGE, codes.language(grounds.words), make.HAS_CONCEPT_MOD),  # TID 1204
            *device_observer(grounds.finding.model, producer),
            *_procedures(grounds),
            *_first_lines(grounds),
            library,
            groups,
            series,
        ),
        template="1500",
        relation=None,
    )


def _procedures(grounds: Grounds) -> Iterator[hd.ContentItem]:
    donor = grounds.evidence.donor
    found = [_code(item) for item in inherited.items(donor, "ProcedureCodeSequence")]
    read = grounds.finding.modality is InputModality.CR
    radiograph = read or inherited.text(donor, "Modality") in RADIOGRAPHY
    fallback = codes.RADIOGRAPHY_PROCEDURE if radiograph else codes.CT_PROCEDURE
    for value in found or [fallback]:
        yield make.code(codes.PROCEDURE_REPORTED, value, make.HAS_CONCEPT_MOD)


def _code(item: Dataset) -> Code:
    """Return a code of the source."""
    value = next(item[keyword].value for keyword in inherited.CODE_VALUES if item.get(keyword))
    version = item.get("CodingSchemeVersion")
    scheme, meaning = str(item.CodingSchemeDesignator), make.name(str(item.CodeMeaning))
    return Code(str(value), scheme, meaning, str(version) if version else None)


def _first_lines(grounds: Grounds) -> Iterator[hd.ContentItem]:
    finding, words = grounds.finding, grounds.words
    yield make.text(codes.DOCUMENT_TITLE, text.title(words, finding))
    yield make.text(codes.NOTICE, text.notice(words, finding))
    yield make.text(codes.SUMMARY, text.summary(words, finding))


def _library(grounds: Grounds, parts: tuple[hd.ContentItem, ...]) -> Iterator[hd.ContentItem]:
    """Image library (TID 1600): the source images that the other parts name, a group for each series."""
    evidence = grounds.evidence
    fit = {item.series_instance_uid for item in grounds.finding.choices if item.eligible or item.chosen}
    named = {reference.sop_instance_uid for part in parts for reference in referenced(part)}
    for series_instance_uid, instances in evidence.series():
        images = [item for item in instances if item.SOPInstanceUID in named and evidence.is_image(item)]
        if images:
            entries = (make.image(codes.SOURCE, evidence.whole(item)) for item in images)
            common = _descriptors(images[0], of_the_chest=series_instance_uid in fit)
            yield make.container(codes.IMAGE_LIBRARY_GROUP, (*common, *entries))


def _descriptors(instance: Dataset, *, of_the_chest: bool) -> Iterator[hd.ContentItem]:
    """Descriptors that the images of one series share (TID 1602); its region only where it was judged."""
    clean = Dataset()
    inherited.copy(instance, clean, ("Modality", "StudyDate", "StudyTime", "FrameOfReferenceUID"))
    modality = codes.MODALITIES.get(str(clean.get("Modality", "")))
    if modality is not None:
        yield make.code(codes.MODALITY, modality, make.HAS_ACQ_CONTEXT)
    if of_the_chest:
        yield make.code(codes.TARGET_REGION, codes.CHEST, make.HAS_ACQ_CONTEXT)
    if "StudyDate" in clean:
        yield hd.DateContentItem(codes.STUDY_DATE, clean.StudyDate, make.HAS_ACQ_CONTEXT)
    if "StudyTime" in clean:
        yield hd.TimeContentItem(codes.STUDY_TIME, clean.StudyTime, make.HAS_ACQ_CONTEXT)
    if "FrameOfReferenceUID" in clean:
        yield make.uid(codes.FRAME_OF_REFERENCE_UID, clean.FrameOfReferenceUID, make.HAS_ACQ_CONTEXT)


def _series_found(grounds: Grounds) -> Iterator[hd.ContentItem]:
    for choice in grounds.finding.choices:
        yield make.container(codes.ONE_SERIES, _one_series(grounds.words, choice, grounds.evidence))


def _one_series(words: Wording, choice: SeriesChoice, evidence: Evidence) -> Iterator[hd.ContentItem]:
    yield make.uid(codes.SERIES_INSTANCE_UID, choice.series_instance_uid)
    yield make.text(codes.SERIES_NAME, text.series_name(words, choice))
    fit = codes.ELIGIBLE if choice.eligible else codes.NOT_ELIGIBLE
    yield make.code(codes.SERIES_CHOICE, codes.SCREENED if choice.chosen else fit)
    yield make.text(codes.REASON, words.of(choice.reason))
    yield make.code(
        codes.VERDICT, codes.NO_VERDICT if choice.verdict is None else codes.VERDICTS[choice.verdict]
    )
    yield make.text(codes.VERDICT_REASON, words.of(choice.verdict_reason))
    instance = evidence.first(choice.series_instance_uid)
    if instance is not None:
        reference = evidence.whole(instance)
        if evidence.is_image(instance):
            yield make.image(codes.SOURCE, reference)
        else:
            yield make.composite(codes.SOURCE, reference)
