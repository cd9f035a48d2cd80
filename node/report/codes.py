"""Coded concepts of the report: of the standard, and the private ones of the scheme 99GGLASS.

A code value has at most 16 characters and a meaning at most 64 (PS3.3 table 8.8-1, VR SH and LO). The
meanings stand with all other wording; `node.report.language` puts those of another language in their places.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydicom.sr.coding import Code

from node.domain.model import ModelStatus
from node.domain.preparation_spec import InputModality
from node.domain.result import Outcome, RunOutcome, Withdrawal
from node.domain.study import Verdict
from node.domain.wording import ENGLISH, Wording

PRIVATE_SCHEME: Final = "99GGLASS"
PRIVATE_SCHEME_VERSION: Final = "1"
PRIVATE_SCHEME_OWNER: Final = "Groundglass"


def _code(value: str, scheme: str) -> Code:
    return Code(value, scheme, ENGLISH.meanings[value])


def _dcm(value: str) -> Code:
    return _code(value, "DCM")


def _sct(value: str) -> Code:
    return _code(value, "SCT")


def _own(value: str) -> Code:
    return _code(value, PRIVATE_SCHEME)


def language(wording: Wording) -> Code:
    """Return the code of the language of a document (TID 1204)."""
    return Code(wording.language, "RFC5646", wording.language_name)


# TID 1500, 1204, 1001, 1002, 1004
IMAGING_MEASUREMENT_REPORT: Final = _dcm("126000")
LANGUAGE: Final = _dcm("121049")
OBSERVER_TYPE: Final = _dcm("121005")
DEVICE: Final = _dcm("121007")
DEVICE_OBSERVER_UID: Final = _dcm("121012")
DEVICE_OBSERVER_NAME: Final = _dcm("121013")
DEVICE_OBSERVER_MANUFACTURER: Final = _dcm("121014")
DEVICE_OBSERVER_MODEL_NAME: Final = _dcm("121015")
DEVICE_OBSERVER_SERIAL_NUMBER: Final = _dcm("121016")
PROCEDURE_REPORTED: Final = _dcm("121058")
DOCUMENT_TITLE: Final = _dcm("121144")
CT_PROCEDURE: Final = _code("25045-6", "LN")
RADIOGRAPHY_PROCEDURE: Final = _code("43468-8", "LN")

# TID 1600, 1601, 1602
IMAGE_LIBRARY: Final = _dcm("111028")
IMAGE_LIBRARY_GROUP: Final = _dcm("126200")
MODALITY: Final = _dcm("121139")
TARGET_REGION: Final = _dcm("123014")
CHEST: Final = _sct("51185008")
STUDY_DATE: Final = _dcm("111060")
STUDY_TIME: Final = _dcm("111061")
FRAME_OF_REFERENCE_UID: Final = _dcm("112227")
SOURCE: Final = _sct("260753009")

# TID 1501, 4019, 300
IMAGING_MEASUREMENTS: Final = _dcm("126010")
MEASUREMENT_GROUP: Final = _dcm("125007")
TRACKING_IDENTIFIER: Final = _dcm("112039")
TRACKING_UNIQUE_IDENTIFIER: Final = _dcm("112040")
FINDING: Final = _dcm("121071")
ALGORITHM_NAME: Final = _dcm("111001")
ALGORITHM_VERSION: Final = _dcm("111003")
ALGORITHM_PARAMETERS: Final = _dcm("111002")
CERTAINTY_OF_FINDING: Final = _dcm("111012")
OVERALL_ASSESSMENT: Final = _dcm("111413")
PROCESSING_SUMMARY: Final = _dcm("111017")
SOURCE_OF_MEASUREMENT: Final = _dcm("121112")
SERIES_INSTANCE_UID: Final = _dcm("112002")
SUSPECTED_COVID_19: Final = _sct("840544004")
YES: Final = _sct("373066001")
NO: Final = _sct("373067005")
PERCENT: Final = _code("%", "UCUM")
NO_UNITS: Final = _code("1", "UCUM")
# Annotated units are of the value 1 (UCUM, section 6) and cannot be read as a number: OHIF writes nothing for
# the number 0 and the unit behind it, so that "0 1" reads as 1.
SLICES: Final = _code("{slices}", "UCUM")
IMAGES: Final = _code("{images}", "UCUM")
RATIO_UNIT: Final = _code("{ratio}", "UCUM")
SCORE_UNIT: Final = _code("{score}", "UCUM")

# TID 2010, titles of CID 7010
KEY_OBJECT_DESCRIPTION: Final = _dcm("113012")
OF_INTEREST: Final = _dcm("113000")
REJECTIONS: Final = {  # IHE RAD TF-3 4.66.4.1.3.1, the titles of rejection notes
    Withdrawal.PATIENT_SAFETY: _dcm("113037"),
    Withdrawal.QUALITY: _dcm("113001"),
}

# Parametric Map: quantity (CID 7180) and derivation (CID 7203)
QUANTITY: Final = _sct("246205007")
CLASS_ACTIVATION: Final = _dcm("130403")

# Contributing Equipment (CID 7005) and Source Image (CID 7202)
ACQUISITION_EQUIPMENT: Final = _dcm("109101")
PROCESSING_EQUIPMENT: Final = _dcm("109102")
SOURCE_IMAGE: Final = _dcm("121322")

# Private
NOT_FLAGGED: Final = _own("GG-NOTFLAGGED")
NOTICE: Final = _own("GG-NOTICE")
SUMMARY: Final = _own("GG-SUMMARY")
MODEL_STATUS: Final = _own("GG-STATUS")
RUN: Final = _own("GG-RUN")
REASON: Final = _own("GG-REASON")
WARNING: Final = _own("GG-WARNING")
RECEIVED: Final = _own("GG-RECEIVED")
SELECTED: Final = _own("GG-SELECTED")
POSITIVE_COUNT: Final = _own("GG-POSITIVE")
RATIO: Final = _own("GG-RATIO")
SLICE_THRESHOLD: Final = _own("GG-SLICETHR")
SHARE_THRESHOLD: Final = _own("GG-SHARETHR")
MEAN_SCORE: Final = _own("GG-MEAN")
HIGHEST_SCORE: Final = _own("GG-HIGHEST")
MEANING_OF_SCORE: Final = _own("GG-SCORE")
VERDICT: Final = _own("GG-VERDICT")
VERDICT_REASON: Final = _own("GG-VERDICTWHY")
SELECTION_RULE: Final = _own("GG-SELECTION")
OPERATING_POINT: Final = _own("GG-POINT")
POINT_VALIDATED: Final = _own("GG-VALIDATED")
HEATMAP: Final = _own("GG-HEATMAP")
MAP: Final = _own("GG-MAP")
WHOLE_IMAGE: Final = _own("GG-WHOLEIMAGE")
LABEL_PLACE: Final = _own("GG-LABELPLACE")
SUMMARY_PICTURE: Final = _own("GG-SUMMARYIMG")
GRAD_CAM: Final = _own("GG-GRADCAM")
IMAGES_RECEIVED: Final = _own("GG-IMAGES")
IMAGES_SCORED: Final = _own("GG-FRONTAL")
IMAGES_POSITIVE: Final = _own("GG-IMGPOSITIVE")
IMAGE_RATIO: Final = _own("GG-IMGRATIO")
IMAGE_THRESHOLD: Final = _own("GG-IMGTHR")
IMAGE_SHARE_THRESHOLD: Final = _own("GG-IMGSHARETHR")
IMAGE_MEAN_SCORE: Final = _own("GG-IMGMEAN")
IMAGE_HIGHEST_SCORE: Final = _own("GG-IMGHIGHEST")
IMAGE_HEATMAP: Final = _own("GG-IMGHEATMAP")
SERIES_FOUND: Final = _own("GG-SERIES")
ONE_SERIES: Final = _own("GG-ONESERIES")
SERIES_NAME: Final = _own("GG-SERIESNAME")
SERIES_CHOICE: Final = _own("GG-CHOICE")
SCREENED: Final = _own("GG-SCREENED")
ELIGIBLE: Final = _own("GG-ELIGIBLE")
NOT_ELIGIBLE: Final = _own("GG-NOTELIGIBLE")
NO_VERDICT: Final = _own("GG-OPEN")

VERDICTS: Final = {
    Verdict.PROCEDURE_STEP: _own("GG-BYSTEP"),
    Verdict.ARCHIVE: _own("GG-BYARCHIVE"),
    Verdict.GEOMETRY: _own("GG-BYGEOMETRY"),
    Verdict.QUIET: _own("GG-BYQUIET"),
    Verdict.BY_HAND: _own("GG-BYHAND"),
    Verdict.CAP: _own("GG-INCOMPLETE"),
    Verdict.DISCONTINUED: _own("GG-DISCONTINUED"),
}
STATUSES: Final = {
    ModelStatus.UNTRAINED: _own("GG-UNTRAINED"),
    ModelStatus.DEMONSTRATION: _own("GG-DEMONSTRATE"),
    ModelStatus.VALIDATED: _own("GG-MODELVALID"),
}
RUN_OUTCOMES: Final = {  # CID 6042
    RunOutcome.SUCCEEDED: _dcm("111222"),
    RunOutcome.PARTIALLY_SUCCEEDED: _dcm("111223"),
    RunOutcome.FAILED: _dcm("111224"),
    RunOutcome.NOT_ATTEMPTED: _dcm("111225"),
}
ASSESSMENTS: Final = {
    Outcome.POSITIVE: _sct("10828004"),
    Outcome.NEGATIVE: _sct("260385009"),
    Outcome.UNDETERMINED: _sct("82334004"),
    Outcome.NOT_ANALYSED: _sct("82334004"),
}
PROCESSING_SUMMARIES: Final = {  # CID 6047, by (whole series scored, slices flagged)
    (True, False): _dcm("111241"),
    (True, True): _dcm("111242"),
    (False, False): _dcm("111243"),
    (False, True): _dcm("111244"),
}
MODALITIES: Final = {  # CID 29 and 33, those that a chest study may hold
    value: _dcm(value) for value in ("CT", "CR", "DX", "MR", "NM", "OT", "PT", "US", "XA")
}


@dataclass(frozen=True, kw_only=True)
class Counted:
    """Concepts of the numbers about one kind of image, and of what belongs to a single one."""

    received: Code
    selected: Code
    positive: Code
    ratio: Code
    share_threshold: Code
    threshold: Code
    mean_score: Code
    highest_score: Code
    heatmap: Code


COUNTED: Final = {
    InputModality.CT: Counted(
        received=RECEIVED,
        selected=SELECTED,
        positive=POSITIVE_COUNT,
        ratio=RATIO,
        share_threshold=SHARE_THRESHOLD,
        threshold=SLICE_THRESHOLD,
        mean_score=MEAN_SCORE,
        highest_score=HIGHEST_SCORE,
        heatmap=HEATMAP,
    ),
    InputModality.CR: Counted(
        received=IMAGES_RECEIVED,
        selected=IMAGES_SCORED,
        positive=IMAGES_POSITIVE,
        ratio=IMAGE_RATIO,
        share_threshold=IMAGE_SHARE_THRESHOLD,
        threshold=IMAGE_THRESHOLD,
        mean_score=IMAGE_MEAN_SCORE,
        highest_score=IMAGE_HIGHEST_SCORE,
        heatmap=IMAGE_HEATMAP,
    ),
}
COUNT_UNITS: Final = {InputModality.CT: SLICES, InputModality.CR: IMAGES}
"""Of the numbers of images."""
