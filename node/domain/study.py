"""What arrived: instances, series and studies, their states and the verdicts on completeness."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from node.domain.identity import PatientKey
from node.domain.states import StateTable


class SeriesState(StrEnum):
    """Where a series stands."""

    RECEIVING = "receiving"
    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    """The cap passed without evidence, or the modality discontinued its procedure step."""


class SeriesEvent(StrEnum):
    """What may happen to a series."""

    ARRIVAL = "arrival"
    EVIDENCE = "evidence"
    CAP = "cap"
    DISCONTINUED = "discontinued"
    STEP_ENDED = "step-ended"
    """The procedure step that made it has ended, and everything that it lists is here."""
    BY_HAND = "by-hand"


SERIES = StateTable[SeriesState, SeriesEvent](
    "series",
    {
        **{(state, SeriesEvent.ARRIVAL): SeriesState.RECEIVING for state in SeriesState},
        (SeriesState.RECEIVING, SeriesEvent.EVIDENCE): SeriesState.COMPLETE,
        (SeriesState.RECEIVING, SeriesEvent.CAP): SeriesState.INCOMPLETE,
        (SeriesState.RECEIVING, SeriesEvent.DISCONTINUED): SeriesState.INCOMPLETE,
        (SeriesState.INCOMPLETE, SeriesEvent.STEP_ENDED): SeriesState.RECEIVING,
        (SeriesState.RECEIVING, SeriesEvent.BY_HAND): SeriesState.COMPLETE,
        (SeriesState.INCOMPLETE, SeriesEvent.BY_HAND): SeriesState.COMPLETE,
    },
)


class StudyState(StrEnum):
    """Where a study stands."""

    RECEIVING = "receiving"
    SETTLED = "settled"
    """None of its series is open; a screening may be made."""
    HELD = "held"
    """Nothing is screened or sent until an operator, or an authority, decides."""


class StudyEvent(StrEnum):
    """What may happen to a study."""

    ARRIVAL = "arrival"
    SETTLE = "settle"
    HOLD = "hold"
    RELEASE = "release"


STUDY = StateTable[StudyState, StudyEvent](
    "study",
    {
        (StudyState.RECEIVING, StudyEvent.ARRIVAL): StudyState.RECEIVING,
        (StudyState.SETTLED, StudyEvent.ARRIVAL): StudyState.RECEIVING,
        (StudyState.HELD, StudyEvent.ARRIVAL): StudyState.HELD,
        (StudyState.RECEIVING, StudyEvent.SETTLE): StudyState.SETTLED,
        **{(state, StudyEvent.HOLD): StudyState.HELD for state in StudyState},
        (StudyState.HELD, StudyEvent.RELEASE): StudyState.RECEIVING,
    },
)


class Verdict(StrEnum):
    """Why a series is taken as complete. There is no "complete" without one of these."""

    PROCEDURE_STEP = "procedure-step"
    """Every instance is here that the completed procedure step of the modality lists (MPPS)."""
    ARCHIVE = "archive"
    """As many instances are here as the archive has."""
    GEOMETRY = "geometry"
    """Positions without gap or duplicate, the lungs close at both ends, association released, then quiet."""
    QUIET = "quiet"
    """Association released normally, then the long quiet time."""
    BY_HAND = "by-hand"
    """An operator said so, with a reason."""
    CAP = "cap"
    """The cap passed: incomplete."""
    DISCONTINUED = "discontinued"
    """The modality discontinued the procedure step and nothing shows that the series is whole: incomplete."""


class Intake(StrEnum):
    """What became of an object that was acknowledged."""

    NEW = "new"
    REPEATED = "repeated"
    """The same bytes again: nothing changed."""
    TO_COMPARE = "to-compare"
    """The same SOP Instance UID with other bytes: kept aside until it has been compared."""
    CONFLICT = "conflict"
    """A Study or Series Instance UID of another patient or study: kept aside, the study is held."""
    OWN = "own"
    """A result object of this node, sent back by a PACS."""


class AsideReason(StrEnum):
    """Why an object lies beside the index and not in it."""

    TO_COMPARE = "to-compare"
    CORRECTION = "correction"
    """Same pixels, other patient or study attributes."""
    OTHER_PIXELS = "other-pixels"
    """Other pixel data under a known SOP Instance UID; the first one stays in force."""
    PATIENT_CONFLICT = "patient-conflict"
    """One Study or Series Instance UID under two patients or studies."""
    UNREADABLE = "unreadable"
    """Could not be compared because one of the two cannot be decoded."""
    REPLACED = "replaced"
    """Was in force until a confirmed correction took its place; kept, for it was acknowledged."""


CORRECTION_HOLD = "a correction arrived"
"""How the reason begins for which a corrected study is held."""
PATIENT_HOLD = "a known image came again under another patient"
"""Why a study is held until that image was compared: a correction of the patient, or another image."""
STUDY_CONFLICT = "StudyInstanceUID under two patients"
SERIES_CONFLICT = "SeriesInstanceUID under two studies"
INSTANCE_CONFLICT = "SOPInstanceUID under two series or studies"


class AssociationEnd(StrEnum):
    """How an association ended."""

    RELEASED = "released"
    ABORTED = "aborted"
    TIMEOUT = "timeout"
    RESTART = "restart"
    """The node was stopped while the association was open."""


@dataclass(frozen=True, kw_only=True)
class FrameGeometry:
    """Where one frame lies, in the patient-based coordinate system (PS3.3 C.7.6.2)."""

    image_position: tuple[float, float, float] | None
    """ImagePositionPatient (x, y, z) in mm."""
    image_orientation: tuple[float, float, float, float, float, float] | None
    """ImageOrientationPatient: row cosines, then column cosines."""
    pixel_spacing: tuple[float, float] | None
    """PixelSpacing (between rows, between columns) in mm."""
    slice_thickness: float | None
    """SliceThickness in mm."""


@dataclass(frozen=True, kw_only=True)
class InstanceHeader:
    """What the index needs to know of one SOP instance: read once at intake, without pixel data.

    Text is Unicode whatever the SpecificCharacterSet was; an absent attribute is the empty string or None.
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    patient: PatientKey
    patient_name: str
    patient_birth_date: str
    patient_sex: str
    patient_age_years: float | None
    """PatientAge (0010,1010) in years, else the difference of StudyDate and PatientBirthDate, else None."""
    study_date: str
    study_time: str
    study_id: str
    accession_number: str
    study_description: str
    modality: str
    body_part_examined: str
    series_number: int | None
    series_description: str
    convolution_kernel: str
    frame_of_reference_uid: str
    image_type: tuple[str, ...]
    instance_number: int | None
    acquisition_number: int | None
    rows: int | None
    columns: int | None
    number_of_frames: int
    samples_per_pixel: int | None
    bits_allocated: int | None
    photometric_interpretation: str
    rescale_known: bool
    """RescaleSlope and RescaleIntercept are present and RescaleType is absent or HU (PS3.3 C.8.2.1)."""
    gantry_tilt: float | None
    """GantryDetectorTilt in degrees."""
    station_name: str
    manufacturer: str
    device_uids: tuple[str, ...]
    """DeviceUID (0018,1002) of the data set and of its Contributing Equipment items; for the loop guard."""
    frames: tuple[FrameGeometry, ...]
    """One item a frame; one item for a single-frame image, none for an object without an image plane."""
    referring_physician_name: str = ""
    timezone_offset: str = ""
    """TimezoneOffsetFromUTC (0008,0201) in which the dates and times of the object are meant."""


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """One object that is durable in the object files and about to be indexed."""

    header: InstanceHeader
    object_key: str
    sha256: str
    size: int
    received_at: datetime
    calling_ae_title: str
    association_id: int | None
    """Row of the association it came by; None for an object that came another way."""


@dataclass(frozen=True, kw_only=True)
class Instance:
    """One row of the index."""

    id: int
    series_id: int
    object_key: str
    sha256: str
    size: int
    received_at: datetime
    calling_ae_title: str
    header: InstanceHeader


@dataclass(frozen=True, kw_only=True)
class Series:
    """One series with what is known of its completeness."""

    id: int
    study_id: int
    series_instance_uid: str
    modality: str
    series_number: int | None
    series_description: str
    state: SeriesState
    verdict: Verdict | None
    verdict_reason: str
    instance_count: int
    first_arrival_at: datetime
    last_arrival_at: datetime
    calling_ae_title: str
    """Of the last arrival."""
    not_before: datetime | None
    """After a restart: no verdict earlier than this."""
    whole_lungs: bool = False
    """When the verdict was made on other grounds, the slices were seen to hold the whole lungs, too."""


@dataclass(frozen=True, kw_only=True)
class AssociationFacts:
    """The associations that carried a series, as far as completeness asks."""

    open_count: int
    """How many of them are still open."""
    last_end: AssociationEnd | None
    """How the last one to end ended; None when none has."""
    last_closed_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Study:
    """One study."""

    id: int
    study_instance_uid: str
    state: StudyState
    hold_reason: str
    patient: PatientKey
    patient_name: str
    patient_birth_date: str
    patient_sex: str
    accession_number: str
    study_date: str
    study_description: str
    first_arrival_at: datetime
    last_arrival_at: datetime
    series: tuple[Series, ...] = field(default=())
