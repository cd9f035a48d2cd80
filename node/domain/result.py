"""A finding: the outcome of a screening, and the evidence under it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from node.domain.model import ModelIdentity
from node.domain.preparation_spec import InputModality
from node.domain.study import SeriesState, Verdict


class Outcome(StrEnum):
    """The answer for a study. "Undetermined" and "not analysed" are answers."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    UNDETERMINED = "undetermined"
    """Slices were looked at, but too little was there to decide."""
    NOT_ANALYSED = "not-analysed"
    """No series was fit for the model; the reason says why."""


class RunOutcome(StrEnum):
    """Outcome of the run in the sense of DICOM CID 6042."""

    SUCCEEDED = "succeeded"
    PARTIALLY_SUCCEEDED = "partially-succeeded"
    """Ran on a series whose verdict is incomplete."""
    FAILED = "failed"
    NOT_ATTEMPTED = "not-attempted"


class ResultKind(StrEnum):
    """Kinds of result objects in the order of making and sending: what refers to others comes later."""

    HEATMAP = "heatmap"
    """One slice with its map, for any viewer (Secondary Capture)."""
    PARAMETRIC_MAP = "parametric-map"
    """The maps as data, in the geometry of the source."""
    SUMMARY = "summary"
    """One picture of the whole screening (Secondary Capture)."""
    REPORT = "report"
    KEY_OBJECTS = "key-objects"
    """A Key Object Selection of the positive slices and their heatmaps."""
    REJECTION = "rejection"
    """A Key Object Selection that withdraws the objects of one version (IHE IOCM)."""


RESULT_MODALITIES = {
    ResultKind.HEATMAP: "OT",
    ResultKind.PARAMETRIC_MAP: "OT",
    ResultKind.SUMMARY: "OT",
    ResultKind.REPORT: "SR",
    ResultKind.KEY_OBJECTS: "KO",
    ResultKind.REJECTION: "KO",
}
"""Modality (0008,0060) of each kind (PS3.3 C.7.3.1.1.1)."""


class ResultState(StrEnum):
    """Where a result object stands."""

    CURRENT = "current"
    SUPERSEDED = "superseded"
    WITHDRAWN = "withdrawn"


class Withdrawal(StrEnum):
    """Why results are withdrawn: the title of the rejection note (PS3.16 CID 7010)."""

    PATIENT_SAFETY = "patient-safety"
    """(113037, DCM): a wrong result, or one of another patient."""
    QUALITY = "quality"
    """(113001, DCM)."""


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """From slice scores to a study's answer."""

    name: str
    slice_threshold: float
    """A slice is positive when its probability reaches this (inclusive)."""
    share: Fraction
    """Positive when the share of positive slices among the selected ones reaches this (inclusive)."""
    chosen_on: str
    """The data it was chosen on."""
    validated: bool
    """Whether it was validated for this network on data of the node's kind."""


@dataclass(frozen=True, kw_only=True)
class SeriesChoice:
    """What was thought of one series of the study."""

    series_instance_uid: str
    series_number: int | None
    series_description: str
    modality: str
    instance_count: int
    state: SeriesState
    verdict: Verdict | None
    verdict_reason: str
    chosen: bool
    eligible: bool
    """Fit for the model; of the eligible ones the best is chosen."""
    reason: str
    """Why it was chosen or not, one sentence."""


@dataclass(frozen=True, kw_only=True)
class SliceScore:
    """One slice of the screened series, or one radiograph."""

    sop_class_uid: str
    sop_instance_uid: str
    frame: int
    """Frame number from 1; 1 for a single-frame image."""
    instance_number: int | None
    position: float
    """Along the slice normal, in mm; 0 for a radiograph, which has no place in a volume."""
    dark_count: int
    """Dark pixels within the selection region; 0 for a radiograph."""
    selected: bool
    """Shows open lungs; of a radiograph: fit for the model."""
    probability: float | None
    """Model score of the positive class; None when the slice was not selected."""
    positive: bool
    """Selected and the score reaches the slice threshold."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The outcome of one screening: everything the report says."""

    outcome: Outcome
    run_outcome: RunOutcome
    reason: str
    """One sentence: why this outcome."""
    warnings: tuple[str, ...]
    """For the reader of the report: what limits the answer."""
    choices: tuple[SeriesChoice, ...]
    """Every series found in the study."""
    series_instance_uid: str | None
    """The screened series."""
    selection_rule: str
    selection_threshold: str
    """The threshold as an exact fraction, or empty."""
    slices: tuple[SliceScore, ...]
    """In the order along the normal, or of radiographs by number; empty when no series was looked at."""
    operating_point: OperatingPoint | None
    model: ModelIdentity
    modality: InputModality = InputModality.CT
    """What kind of images the model read."""

    @property
    def received(self) -> int:
        """Number of slices looked at."""
        return len(self.slices)

    @property
    def selected(self) -> int:
        """Number of slices on which the lungs are open."""
        return sum(item.selected for item in self.slices)

    @property
    def scored(self) -> int:
        """Number of slices with a model score."""
        return sum(item.probability is not None for item in self.slices)

    @property
    def positive(self) -> int:
        """Number of positive slices."""
        return sum(item.positive for item in self.slices)

    @property
    def ratio(self) -> float | None:
        """Share of positive slices among the selected ones; None when none was selected or scored."""
        return self.positive / self.selected if self.selected and self.scored else None

    @property
    def mean_probability(self) -> float | None:
        """Mean score over the selected slices; None when none was scored."""
        scores = [item.probability for item in self.slices if item.probability is not None]
        return sum(scores) / len(scores) if scores else None


@dataclass(frozen=True, kw_only=True)
class ResultObject:
    """One object that the node made."""

    kind: ResultKind
    index: int
    """Rank from 1 for heatmaps; number of the withdrawn version for a rejection; 0 for every other kind."""
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    object_key: str
    sha256: str
    size: int


@dataclass(frozen=True, kw_only=True)
class ResultVersion:
    """The result set of a study and model that is in force, or was."""

    version: int
    """From 1; each change of recipe adds one."""
    recipe: str
    """Digest of all that decides the content; empty where its objects were removed from here."""
    report_sop_instance_uid: str
    report_sop_class_uid: str
    report_series_instance_uid: str
