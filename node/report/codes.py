"""Coded concepts of the report: of the standard, and the private ones of the scheme 99GGLASS.

A code value has at most 16 characters and a meaning at most 64 (PS3.3 table 8.8-1, VR SH and LO).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydicom.sr.coding import Code

from node.domain.model import ModelStatus
from node.domain.preparation_spec import InputModality
from node.domain.result import Outcome, RunOutcome, Withdrawal
from node.domain.study import Verdict

PRIVATE_SCHEME: Final = "99GGLASS"
PRIVATE_SCHEME_NAME: Final = "Groundglass private codes"
PRIVATE_SCHEME_VERSION: Final = "1"
PRIVATE_SCHEME_OWNER: Final = "Groundglass"


def _dcm(value: str, meaning: str) -> Code:
    return Code(value, "DCM", meaning)


def _sct(value: str, meaning: str) -> Code:
    return Code(value, "SCT", meaning)


def _own(value: str, meaning: str) -> Code:
    return Code(value, PRIVATE_SCHEME, meaning)


# TID 1500, 1204, 1001, 1002, 1004
IMAGING_MEASUREMENT_REPORT: Final = _dcm("126000", "Imaging Measurement Report")
LANGUAGE: Final = _dcm("121049", "Language of Content Item and Descendants")
ENGLISH: Final = Code("en", "RFC5646", "English")
OBSERVER_TYPE: Final = _dcm("121005", "Observer Type")
DEVICE: Final = _dcm("121007", "Device")
DEVICE_OBSERVER_UID: Final = _dcm("121012", "Device Observer UID")
DEVICE_OBSERVER_NAME: Final = _dcm("121013", "Device Observer Name")
DEVICE_OBSERVER_MANUFACTURER: Final = _dcm("121014", "Device Observer Manufacturer")
DEVICE_OBSERVER_MODEL_NAME: Final = _dcm("121015", "Device Observer Model Name")
DEVICE_OBSERVER_SERIAL_NUMBER: Final = _dcm("121016", "Device Observer Serial Number")
PROCEDURE_REPORTED: Final = _dcm("121058", "Procedure reported")
DOCUMENT_TITLE: Final = _dcm("121144", "Document Title")
CT_PROCEDURE: Final = Code("25045-6", "LN", "CT unspecified body region")
RADIOGRAPHY_PROCEDURE: Final = Code("43468-8", "LN", "XR unspecified body region")

# TID 1600, 1601, 1602
IMAGE_LIBRARY: Final = _dcm("111028", "Image Library")
IMAGE_LIBRARY_GROUP: Final = _dcm("126200", "Image Library Group")
MODALITY: Final = _dcm("121139", "Modality")
TARGET_REGION: Final = _dcm("123014", "Target Region")
CHEST: Final = _sct("51185008", "Chest")
STUDY_DATE: Final = _dcm("111060", "Study Date")
STUDY_TIME: Final = _dcm("111061", "Study Time")
FRAME_OF_REFERENCE_UID: Final = _dcm("112227", "Frame of Reference UID")
SOURCE: Final = _sct("260753009", "Source")

# TID 1501, 4019, 300
IMAGING_MEASUREMENTS: Final = _dcm("126010", "Imaging Measurements")
MEASUREMENT_GROUP: Final = _dcm("125007", "Measurement Group")
TRACKING_IDENTIFIER: Final = _dcm("112039", "Tracking Identifier")
TRACKING_UNIQUE_IDENTIFIER: Final = _dcm("112040", "Tracking Unique Identifier")
FINDING: Final = _dcm("121071", "Finding")
ALGORITHM_NAME: Final = _dcm("111001", "Algorithm Name")
ALGORITHM_VERSION: Final = _dcm("111003", "Algorithm Version")
ALGORITHM_PARAMETERS: Final = _dcm("111002", "Algorithm Parameters")
CERTAINTY_OF_FINDING: Final = _dcm("111012", "Certainty of Finding")
OVERALL_ASSESSMENT: Final = _dcm("111413", "Overall Assessment")
PROCESSING_SUMMARY: Final = _dcm("111017", "CAD Processing and Findings Summary")
SOURCE_OF_MEASUREMENT: Final = _dcm("121112", "Source of Measurement")
SERIES_INSTANCE_UID: Final = _dcm("112002", "Series Instance UID")
SUSPECTED_COVID_19: Final = _sct("840544004", "Suspected disease caused by SARS-CoV-2")
YES: Final = _sct("373066001", "Yes")
NO: Final = _sct("373067005", "No")
PERCENT: Final = Code("%", "UCUM", "Percent")
NO_UNITS: Final = Code("1", "UCUM", "no units")
# Annotated units are of the value 1 (UCUM, section 6) and cannot be read as a number: OHIF writes nothing for
# the number 0 and the unit behind it, so that "0 1" reads as 1.
SLICES: Final = Code("{slices}", "UCUM", "slices")
IMAGES: Final = Code("{images}", "UCUM", "images")
RATIO_UNIT: Final = Code("{ratio}", "UCUM", "ratio")
SCORE_UNIT: Final = Code("{score}", "UCUM", "model score from 0 to 1")

# TID 2010, titles of CID 7010
KEY_OBJECT_DESCRIPTION: Final = _dcm("113012", "Key Object Description")
OF_INTEREST: Final = _dcm("113000", "Of Interest")
REJECTIONS: Final = {  # IHE RAD TF-3 4.66.4.1.3.1, the titles of rejection notes
    Withdrawal.PATIENT_SAFETY: _dcm("113037", "Rejected for Patient Safety Reasons"),
    Withdrawal.QUALITY: _dcm("113001", "Rejected for Quality Reasons"),
}

# Parametric Map: quantity (CID 7180) and derivation (CID 7203)
QUANTITY: Final = _sct("246205007", "Quantity")
CLASS_ACTIVATION: Final = _dcm("130403", "Gradient-weighted class activation")

# Contributing Equipment (CID 7005) and Source Image (CID 7202)
ACQUISITION_EQUIPMENT: Final = _dcm("109101", "Acquisition Equipment")
PROCESSING_EQUIPMENT: Final = _dcm("109102", "Processing Equipment")
SOURCE_IMAGE: Final = _dcm("121322", "Source image for image processing operation")

# Private
NOT_FLAGGED: Final = _own("GG-NOTFLAGGED", "Not flagged by AI; COVID-19 not excluded")
NOTICE: Final = _own("GG-NOTICE", "Notice")
SUMMARY: Final = _own("GG-SUMMARY", "Summary")
MODEL_STATUS: Final = _own("GG-STATUS", "Status of the model")
RUN: Final = _own("GG-RUN", "Outcome of the run")
REASON: Final = _own("GG-REASON", "Reason")
WARNING: Final = _own("GG-WARNING", "Warning")
RECEIVED: Final = _own("GG-RECEIVED", "Slices received")
SELECTED: Final = _own("GG-SELECTED", "Slices selected (n)")
POSITIVE_COUNT: Final = _own("GG-POSITIVE", "Slices positive (k)")
RATIO: Final = _own("GG-RATIO", "Share of positive slices among the selected ones (k/n)")
SLICE_THRESHOLD: Final = _own("GG-SLICETHR", "Slice threshold (inclusive)")
SHARE_THRESHOLD: Final = _own("GG-SHARETHR", "Threshold of the share of positive slices (inclusive)")
MEAN_SCORE: Final = _own("GG-MEAN", "Mean model score over the selected slices")
HIGHEST_SCORE: Final = _own("GG-HIGHEST", "Highest model score of a selected slice")
MEANING_OF_SCORE: Final = _own("GG-SCORE", "Meaning of the score")
VERDICT: Final = _own("GG-VERDICT", "Completeness verdict")
VERDICT_REASON: Final = _own("GG-VERDICTWHY", "Reason of the completeness verdict")
SELECTION_RULE: Final = _own("GG-SELECTION", "Selection rule")
OPERATING_POINT: Final = _own("GG-POINT", "Operating point")
POINT_VALIDATED: Final = _own("GG-VALIDATED", "Operating point is validated")
HEATMAP: Final = _own("GG-HEATMAP", "Heatmap of the slice")
MAP: Final = _own("GG-MAP", "Class activation map as data")
WHOLE_IMAGE: Final = _own("GG-WHOLEIMAGE", "Outline of the whole image that was scored, not of a lesion")
LABEL_PLACE: Final = _own("GG-LABELPLACE", "Corner of an image at which viewers write this group")
SUMMARY_PICTURE: Final = _own("GG-SUMMARYIMG", "Summary picture of the screening")
GRAD_CAM: Final = _own("GG-GRADCAM", "Gradient-weighted class activation mapping")
IMAGES_RECEIVED: Final = _own("GG-IMAGES", "Images received")
IMAGES_SCORED: Final = _own("GG-FRONTAL", "Frontal images scored (n)")
IMAGES_POSITIVE: Final = _own("GG-IMGPOSITIVE", "Images positive (k)")
IMAGE_RATIO: Final = _own("GG-IMGRATIO", "Share of positive images among the scored ones (k/n)")
IMAGE_THRESHOLD: Final = _own("GG-IMGTHR", "Image threshold (inclusive)")
IMAGE_SHARE_THRESHOLD: Final = _own("GG-IMGSHARETHR", "Threshold of the share of positive images (inclusive)")
IMAGE_MEAN_SCORE: Final = _own("GG-IMGMEAN", "Mean model score over the scored images")
IMAGE_HIGHEST_SCORE: Final = _own("GG-IMGHIGHEST", "Highest model score of a scored image")
IMAGE_HEATMAP: Final = _own("GG-IMGHEATMAP", "Heatmap of the image")
SERIES_FOUND: Final = _own("GG-SERIES", "Series found in the study")
ONE_SERIES: Final = _own("GG-ONESERIES", "Series")
SERIES_NAME: Final = _own("GG-SERIESNAME", "Number, modality, description and size of the series")
SERIES_CHOICE: Final = _own("GG-CHOICE", "Choice of the series")
SCREENED: Final = _own("GG-SCREENED", "Screened")
ELIGIBLE: Final = _own("GG-ELIGIBLE", "Fit for the model, not screened")
NOT_ELIGIBLE: Final = _own("GG-NOTELIGIBLE", "Not fit for the model")
NO_VERDICT: Final = _own("GG-OPEN", "No verdict")

VERDICTS: Final = {
    Verdict.PROCEDURE_STEP: _own("GG-BYSTEP", "Complete: every instance that the modality lists is here"),
    Verdict.ARCHIVE: _own("GG-BYARCHIVE", "Complete: as many instances as the archive has"),
    Verdict.GEOMETRY: _own("GG-BYGEOMETRY", "Complete: no gap, lungs close at both ends, then quiet"),
    Verdict.QUIET: _own("GG-BYQUIET", "Complete: association released, then quiet"),
    Verdict.BY_HAND: _own("GG-BYHAND", "Complete: an operator said so"),
    Verdict.CAP: _own("GG-INCOMPLETE", "Incomplete: the time limit passed without evidence"),
    Verdict.DISCONTINUED: _own("GG-DISCONTINUED", "Incomplete: the modality discontinued the procedure"),
}
STATUSES: Final = {
    ModelStatus.UNTRAINED: _own("GG-UNTRAINED", "Untrained"),
    ModelStatus.DEMONSTRATION: _own("GG-DEMONSTRATE", "Demonstration"),
    ModelStatus.VALIDATED: _own("GG-MODELVALID", "Validated"),
}
RUN_OUTCOMES: Final = {  # CID 6042
    RunOutcome.SUCCEEDED: _dcm("111222", "Succeeded"),
    RunOutcome.PARTIALLY_SUCCEEDED: _dcm("111223", "Partially Succeeded"),
    RunOutcome.FAILED: _dcm("111224", "Failed"),
    RunOutcome.NOT_ATTEMPTED: _dcm("111225", "Not Attempted"),
}
ASSESSMENTS: Final = {
    Outcome.POSITIVE: _sct("10828004", "Positive"),
    Outcome.NEGATIVE: _sct("260385009", "Negative"),
    Outcome.UNDETERMINED: _sct("82334004", "Indeterminate"),
    Outcome.NOT_ANALYSED: _sct("82334004", "Indeterminate"),
}
PROCESSING_SUMMARIES: Final = {  # CID 6047, by (whole series scored, slices flagged)
    (True, False): _dcm("111241", "All algorithms succeeded; without findings"),
    (True, True): _dcm("111242", "All algorithms succeeded; with findings"),
    (False, False): _dcm("111243", "Not all algorithms succeeded; without findings"),
    (False, True): _dcm("111244", "Not all algorithms succeeded; with findings"),
}
MODALITIES: Final = {  # CID 29 and 33, those that a chest study may hold
    value: _dcm(value, meaning)
    for value, meaning in (
        ("CT", "Computed Tomography"),
        ("CR", "Computed Radiography"),
        ("DX", "Digital Radiography"),
        ("MR", "Magnetic Resonance"),
        ("NM", "Nuclear Medicine"),
        ("OT", "Other"),
        ("PT", "Positron emission tomography"),
        ("US", "Ultrasound"),
        ("XA", "X-Ray Angiography"),
    )
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
