"""Whether an object that came again under a known SOPInstanceUID is the same, a correction, or another one.

PS3.5 section 9 forbids two objects under one UID, but archives send an object again in another transfer
syntax, with other private elements, or with the patient corrected. Bytes therefore say little; pixels and
attributes do.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

import numpy as np
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as ItemSequence
from pydicom.tag import BaseTag

from node.dicom.codecs import Codecs
from node.dicom.dataset_text import (
    AFFECTED_VRS,
    as_read,
    character_set_of,
    element_text,
    value_representation,
)
from node.dicom.decode import decode_stored
from node.dicom.elements import Attributes, PixelData
from node.dicom.part10 import DEFLATED_DATA_SETS, scan
from node.dicom.pixel_file import PixelFile
from node.dicom.pixel_layout import LAYOUT
from node.dicom.read import UNREADABLE, read_whole_dataset
from node.dicom.tags import Tag
from node.dicom.text import CharacterSet, normalised_name
from node.domain.errors import DecodeFailed

PATIENT_GROUP = 0x0010
"""Patient and Patient Study attributes (PS3.3 C.7.1.1, C.7.2.2) all lie in this group."""

STUDY_KEYWORDS = frozenset(  # General Study, PS3.3 C.7.2.1
    {
        "StudyInstanceUID",
        "StudyDate",
        "StudyTime",
        "StudyID",
        "StudyDescription",
        "AccessionNumber",
        "IssuerOfAccessionNumberSequence",
        "ReferringPhysicianName",
    }
)

CONTENT_KEYWORDS = (
    frozenset(  # what decides where a slice lies, what its values mean, and which series it is of
        {
            "SOPClassUID",
            "SeriesInstanceUID",
            "Modality",
            "ImageType",
            "FrameOfReferenceUID",
            "ImagePositionPatient",
            "ImageOrientationPatient",
            "PatientPosition",
            "PixelSpacing",
            "SliceThickness",
            "GantryDetectorTilt",
            "ConvolutionKernel",
            "RescaleSlope",
            "RescaleIntercept",
            "RescaleType",
            "PixelPaddingValue",
            "PixelPaddingRangeLimit",
            "NumberOfFrames",
            "SharedFunctionalGroupsSequence",
            "PerFrameFunctionalGroupsSequence",
            "SeriesDescription",
            "BodyPartExamined",
        }
    )
)

BOOKKEEPING_KEYWORDS = frozenset(  # what an archive writes into an object without changing it
    {
        "SpecificCharacterSet",
        "InstanceCreationDate",
        "InstanceCreationTime",
        "InstanceCreatorUID",
        "TimezoneOffsetFromUTC",
        "RetrieveAETitle",
        "InstanceAvailability",
        "ContributingEquipmentSequence",
        "OriginalAttributesSequence",
        "MACParametersSequence",
        "DigitalSignaturesSequence",
        "DataSetTrailingPadding",
    }
)

LAYOUT_TAGS = (
    Tag.Rows,
    Tag.Columns,
    Tag.SamplesPerPixel,
    Tag.PlanarConfiguration,
    Tag.BitsAllocated,
    Tag.BitsStored,
    Tag.HighBit,
    Tag.PixelRepresentation,
)

ONE_TEXT_VRS = frozenset({"LT", "ST", "UT"})
"""Value representations of one value, in which a backslash separates nothing (PS3.5 table 6.2-1)."""

CHUNK = 1 << 20

Value = Hashable


class Likeness(StrEnum):
    """How two objects under one SOPInstanceUID compare."""

    SAME = "same"
    CORRECTION = "correction"
    """Same pixels, other patient or study attributes."""
    OTHER_PIXELS = "other-pixels"
    """Other pixels, the same pixels with another meaning or place, or another content without pixels."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The outcome."""

    likeness: Likeness
    keywords: tuple[str, ...]
    """Keywords of the attributes that differ and matter, sorted; never their values."""


def compare(first: Path, second: Path, codecs: Codecs) -> Comparison:
    """Compare two stored objects by decoded pixels and attributes, without File Meta Information.

    Private attributes, dates of creation and whatever else changes neither patient and study nor the meaning
    of the pixels do not distinguish two images. Objects without pixels are other ones as soon as anything
    but patient, study and bookkeeping differs.

    Parameters
    ----------
    first, second : Path
        PS3.10 files.
    codecs : Codecs
        Who decodes.

    Raises
    ------
    DicomError
        When one of the two cannot be read or decoded.
    """
    differing = _differing(read_whole_dataset(first), read_whole_dataset(second))
    corrected = {keyword for keyword in differing if _identifies(differing[keyword], keyword)}
    pixels = _compare_pixels(first, second, codecs)
    if pixels is None:
        content = differing.keys() - corrected - BOOKKEEPING_KEYWORDS
    else:
        content = differing.keys() & CONTENT_KEYWORDS
    if pixels is False or content:
        keywords = content if pixels is not False else content | {"PixelData"}
        return Comparison(likeness=Likeness.OTHER_PIXELS, keywords=tuple(sorted(keywords)))
    likeness = Likeness.CORRECTION if corrected else Likeness.SAME
    return Comparison(likeness=likeness, keywords=tuple(sorted(corrected)))


def _identifies(tag: int, keyword: str) -> bool:
    return tag >> 16 == PATIENT_GROUP or keyword in STUDY_KEYWORDS


def _differing(first: Dataset, second: Dataset) -> dict[str, int]:
    """Return keyword and tag of every standard attribute that differs; absent and empty are the same."""
    left, right = (_values(item, character_set_of(item)) for item in (first, second))
    tags = [tag for tag in left.keys() | right.keys() if left.get(tag) != right.get(tag)]
    return {keyword_for_tag(tag) or f"({tag >> 16:04X},{tag & 0xFFFF:04X})": tag for tag in tags}


def _values(data_set: Dataset, character_set: CharacterSet) -> dict[int, Value]:
    found: dict[int, Value] = {}
    for tag in list(data_set.keys()):
        if tag.group % 2 or tag.element == 0:  # private (PS3.5 section 7.8), group length (7.2)
            continue
        value = _value_of(data_set, tag, character_set)
        if tag == Tag.ImageType and isinstance(value, tuple):
            value = value[
                1:
            ]  # a lossless transcoder may write DERIVED (PS3.3 C.7.6.1.1.2); the pixels decide
        if value is not None:
            found[int(tag)] = value
    return found


def _value_of(data_set: Dataset, tag: BaseTag, character_set: CharacterSet) -> Value:
    vr = value_representation(data_set, tag)
    if vr in AFFECTED_VRS:
        # One decoding for the index, the results and this: a difference of it alone is none of the text.
        return _comparable_text(vr, element_text(data_set, tag, character_set))
    try:
        return _comparable(data_set[tag].value, character_set)
    except UNREADABLE:
        element = as_read(data_set, tag)  # malformed: compared as its bytes
        return _comparable(element.value if element is not None else None, character_set)


def _comparable_text(vr: str, text: str) -> Value:
    """Return text in the form in which two are compared, None when it is empty."""
    if vr in ONE_TEXT_VRS:
        return text.strip(" \0") or None
    parts = (normalised_name(part) if vr == "PN" else part.strip(" \0") for part in text.split("\\"))
    return tuple(part or None for part in parts) if text.strip(" \0\\^=") else None


def _comparable(value: object, character_set: CharacterSet) -> Value:
    """Return a value in the form in which two are compared, None when it is empty."""
    if isinstance(value, ItemSequence):
        items = (_values(item, character_set_of(item, character_set)) for item in value)
        return tuple(frozenset(item.items()) for item in items) or None
    if isinstance(value, MultiValue | list | tuple):
        return tuple(_comparable(item, character_set) for item in value) or None
    if isinstance(value, int | float | Decimal):
        return float(value)
    if isinstance(value, bytes):
        return value.rstrip(b"\0 ") or None
    return str(value).strip(" \0") or None if value is not None else None


def _compare_pixels(first: Path, second: Path, codecs: Codecs) -> bool | None:
    """Return whether the decoded pixels are equal, None when neither object has any."""
    with first.open("rb") as left, second.open("rb") as right:
        a, b = scan(left, LAYOUT), scan(right, LAYOUT)
        if a.pixel_data is None or b.pixel_data is None:
            return None if a.pixel_data is b.pixel_data else False
        alike = a.transfer_syntax_uid == b.transfer_syntax_uid not in DEFLATED_DATA_SETS
        if (
            alike
            and _same_layout(a.attributes, b.attributes)
            and _same_bytes(left, a.pixel_data, right, b.pixel_data)
        ):
            return True
    return _same_frames(PixelFile(first, codecs), PixelFile(second, codecs))


def _same_layout(first: Attributes, second: Attributes) -> bool:
    return all(first.unsigned(tag) == second.unsigned(tag) for tag in LAYOUT_TAGS)


def _same_bytes(left: BinaryIO, a: PixelData, right: BinaryIO, b: PixelData) -> bool:
    """Compare everything from the first byte of the pixel data on."""
    left.seek(a.offset)
    right.seek(b.offset)
    while True:
        mine, other = left.read(CHUNK), right.read(CHUNK)
        if mine != other:
            return False
        if not mine:
            return a.length == b.length


def _same_frames(first: PixelFile, second: PixelFile) -> bool:
    if first.layout.number_of_frames != second.layout.number_of_frames:
        return False
    if first.layout.samples > 1 and (
        first.layout.photometric_interpretation != second.layout.photometric_interpretation
    ):
        raise DecodeFailed("the two objects have other colour spaces and are not compared")
    return all(
        np.array_equal(decode_stored(first, frame).stored, decode_stored(second, frame).stored)
        for frame in range(1, first.layout.number_of_frames + 1)
    )
