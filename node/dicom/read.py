"""Headers of DICOM objects: what the index needs, read without pixel data before a C-STORE is answered."""

from __future__ import annotations

import re
import struct
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import BytesLengthException
from pydicom.filereader import read_dataset as read_elements
from pydicom.tag import BaseTag
from pydicom.uid import UID

from node.dicom.ages import years_between
from node.dicom.dataset_text import as_read
from node.dicom.elements import PIXEL_DATA, Attributes, Wanted, require_pixel_data
from node.dicom.functional_groups import frames
from node.dicom.part10 import Scan, Source, data_set_bytes, open_source, part10_prefix, scan
from node.dicom.stream import open_bytes
from node.dicom.tags import FUNCTIONAL_GROUPS, Tag
from node.domain.errors import IdentityMissing, NotDicom, ObjectTooLarge
from node.domain.identity import PatientKey, is_valid_uid
from node.domain.study import InstanceHeader

__all__ = ["part10_prefix", "read_dataset", "read_header", "read_whole_dataset"]

HEADER = Wanted(
    values=frozenset(Tag) - FUNCTIONAL_GROUPS,
    sequences=FUNCTIONAL_GROUPS
    | {Tag.IssuerOfPatientIDQualifiersSequence, Tag.ContributingEquipmentSequence},
)

IDENTITY = (Tag.SOPClassUID, Tag.SOPInstanceUID, Tag.StudyInstanceUID, Tag.SeriesInstanceUID)

AGE = re.compile(r"(\d{1,3})([DWMY])")  # PS3.5 section 6.2, VR AS
YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}

LARGE_VALUE_BYTES = 1 << 16
MOST_HEADER_BYTES = 1 << 28
"""Before the pixel data; functional groups of ten thousand frames have some tens of millions. A deflated data
set becomes a thousand times as large as its file."""

UNREADABLE = (
    ArithmeticError,
    AttributeError,
    BytesLengthException,  # an exception of its own, no ValueError
    LookupError,
    NotImplementedError,  # an unknown VR
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)
"""What the library raises on data elements that are none."""


def read_header(source: Source, *, transfer_syntax_uid: str | None = None, begin: int = 0) -> InstanceHeader:
    """Read what the index needs of one SOP instance.

    Parameters
    ----------
    source : Path, BinaryIO or bytes
        A PS3.10 file, or a bare data set when ``transfer_syntax_uid`` is given. A stream is read from its
        beginning and left open.
    transfer_syntax_uid : str, optional
        In force where there is no File Meta Information.
    begin : int
        Where the data set begins, for who wrote the File Meta Information before it; 0 to look for that.

    Returns
    -------
    InstanceHeader
        What is malformed is absent; only the identity must be there.

    Raises
    ------
    NotDicom
        When no data set can be read.
    TruncatedObject
        When the object ends before an announced length; the pixel data are checked, not read.
    ObjectTooLarge
        When a deflated data set grows beyond its limit.
    IdentityMissing
        When one of the four UIDs that place the object is absent or malformed.
    """
    stream = open_source(source)
    try:
        stream.seek(begin)
        found = scan(stream, HEADER, transfer_syntax_uid, bare=begin > 0)
        header = _header(found)
        if found.pixel_data is not None:
            require_pixel_data(found.source, found.pixel_data)
    finally:
        if stream is not source:
            stream.close()
    return header


def _header(found: Scan) -> InstanceHeader:
    data_set = found.attributes
    for tag in IDENTITY:
        if not is_valid_uid(data_set.text(tag)):
            state = "malformed" if tag in data_set else "absent"
            raise IdentityMissing(
                f"{tag.name} ({tag >> 16:04X},{tag & 0xFFFF:04X}) is {state}: give it a valid UID"
            )
    number_of_frames = max(data_set.integer(Tag.NumberOfFrames) or 1, 1)
    image = list(frames(data_set, number_of_frames))
    acquisition = image[0].holder(Tag.CTAcquisitionDetailsSequence) if image else data_set
    reconstruction = image[0].holder(Tag.CTReconstructionSequence) if image else data_set
    return InstanceHeader(
        sop_class_uid=data_set.text(Tag.SOPClassUID),
        sop_instance_uid=data_set.text(Tag.SOPInstanceUID),
        study_instance_uid=data_set.text(Tag.StudyInstanceUID),
        series_instance_uid=data_set.text(Tag.SeriesInstanceUID),
        transfer_syntax_uid=found.transfer_syntax_uid,
        patient=PatientKey(patient_id=data_set.text(Tag.PatientID), issuer=_issuer(data_set)),
        patient_name=data_set.text(Tag.PatientName),
        patient_birth_date=data_set.text(Tag.PatientBirthDate),
        patient_sex=data_set.text(Tag.PatientSex),
        patient_age_years=_age(data_set),
        study_date=data_set.text(Tag.StudyDate),
        study_time=data_set.text(Tag.StudyTime),
        study_id=data_set.text(Tag.StudyID),
        accession_number=data_set.text(Tag.AccessionNumber),
        study_description=data_set.text(Tag.StudyDescription),
        modality=data_set.text(Tag.Modality),
        body_part_examined=data_set.text(Tag.BodyPartExamined),
        series_number=data_set.integer(Tag.SeriesNumber),
        series_description=data_set.text(Tag.SeriesDescription),
        convolution_kernel=reconstruction.text(Tag.ConvolutionKernel) if reconstruction is not None else "",
        frame_of_reference_uid=data_set.text(Tag.FrameOfReferenceUID),
        image_type=data_set.texts(Tag.ImageType),
        instance_number=data_set.integer(Tag.InstanceNumber),
        acquisition_number=data_set.integer(Tag.AcquisitionNumber),
        rows=data_set.unsigned(Tag.Rows),
        columns=data_set.unsigned(Tag.Columns),
        number_of_frames=number_of_frames,
        samples_per_pixel=data_set.unsigned(Tag.SamplesPerPixel),
        bits_allocated=data_set.unsigned(Tag.BitsAllocated),
        photometric_interpretation=data_set.text(Tag.PhotometricInterpretation),
        rescale_known=bool(image) and all(frame.rescale() is not None for frame in image),
        gantry_tilt=acquisition.number(Tag.GantryDetectorTilt) if acquisition is not None else None,
        station_name=data_set.text(Tag.StationName),
        manufacturer=data_set.text(Tag.Manufacturer),
        device_uids=_device_uids(data_set),
        frames=tuple(frame.geometry() for frame in image),
        referring_physician_name=data_set.text(Tag.ReferringPhysicianName),
        timezone_offset=data_set.text(Tag.TimezoneOffsetFromUTC),
    )


def _issuer(data_set: Attributes) -> str:
    """Return who issued PatientID: its name, else the entity of the qualifiers (PS3.3 C.2.1, table 10-18)."""
    issuer = data_set.text(Tag.IssuerOfPatientID)
    if issuer:
        return issuer
    for item in data_set.items(Tag.IssuerOfPatientIDQualifiersSequence):
        return item.text(Tag.UniversalEntityID) or item.text(Tag.LocalNamespaceEntityID)
    return ""


def _age(data_set: Attributes) -> float | None:
    match = AGE.fullmatch(data_set.text(Tag.PatientAge).upper())
    if match is not None:
        return int(match[1]) * YEARS[match[2]]
    return years_between(data_set.text(Tag.PatientBirthDate), data_set.text(Tag.StudyDate))


def _device_uids(data_set: Attributes) -> tuple[str, ...]:
    holders = (data_set, *data_set.items(Tag.ContributingEquipmentSequence))
    return tuple(uid for holder in holders for uid in holder.texts(Tag.DeviceUID) if uid)


def read_dataset(path: Path) -> Dataset:
    """Read a data set without its pixel data and without what is larger than any attribute a report copies.

    Parameters
    ----------
    path : Path
        A PS3.10 file that `read_header` has accepted.

    Returns
    -------
    pydicom.dataset.Dataset
        With ``file_meta`` naming class, instance and transfer syntax; without values above 64 KiB but for the
        functional groups of a multi-frame image, which say where its frames lie.

    Raises
    ------
    NotDicom, TruncatedObject, ObjectTooLarge
    """
    data_set = read_whole_dataset(path)
    for tag in list(data_set.keys()):
        element = as_read(data_set, tag)
        if element is not None and _is_large(element.value) and tag not in FUNCTIONAL_GROUPS:
            del data_set[tag]
    return data_set


def read_whole_dataset(path: Path) -> Dataset:
    """Read a data set without its pixel data, as `read_dataset` does, with its large values.

    Raises
    ------
    NotDicom, TruncatedObject, ObjectTooLarge
    """
    with path.open("rb") as stream:
        found = scan(stream, Wanted(values=frozenset(IDENTITY)))
        end = found.pixel_data.offset if found.pixel_data is not None else found.source.position
        if end - found.begin > MOST_HEADER_BYTES:
            raise ObjectTooLarge(f"the data set has {end - found.begin} bytes before its pixel data")
        stream.seek(0)
        body = open_bytes(data_set_bytes(stream, end))
    encoding = found.attributes.encoding
    try:
        data_set = read_elements(body, encoding.implicit, encoding.little_endian, stop_when=_at_pixel_data)
    except UNREADABLE as error:
        raise NotDicom(f"the data set cannot be read in full: {error}") from error
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.MediaStorageSOPClassUID = UID(found.attributes.text(Tag.SOPClassUID))
    data_set.file_meta.MediaStorageSOPInstanceUID = UID(found.attributes.text(Tag.SOPInstanceUID))
    data_set.file_meta.TransferSyntaxUID = UID(found.transfer_syntax_uid)
    return data_set


def _at_pixel_data(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag in PIXEL_DATA


def _is_large(value: object) -> bool:
    return isinstance(value, bytes) and len(value) > LARGE_VALUE_BYTES
