"""Text of a data set as received: by its own SpecificCharacterSet, tolerant where pydicom is strict."""

from __future__ import annotations

from typing import Final

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag

from node.dicom.text import CharacterSet

SPECIFIC_CHARACTER_SET: Final = BaseTag(0x00080005)
DEFAULT_REPERTOIRE: Final = CharacterSet(terms=())
AFFECTED_VRS: Final = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
"""Value representations that SpecificCharacterSet concerns (PS3.5 section 6.1.2.3)."""


def as_read(data_set: Dataset, tag: BaseTag) -> DataElement | RawDataElement | None:
    """Return an element without interpreting its value: what is empty under an unknown VR cannot be."""
    return data_set.get_item(tag, keep_deferred=True)


def character_set_of(data_set: Dataset, default: CharacterSet = DEFAULT_REPERTOIRE) -> CharacterSet:
    """Return the character set of a data set, or of an item with that of the data set around it."""
    if SPECIFIC_CHARACTER_SET not in data_set:
        return default
    element = as_read(data_set, SPECIFIC_CHARACTER_SET)
    value = element.value if element is not None else None
    if isinstance(value, bytes):
        return CharacterSet.parse(value)
    several = value if isinstance(value, MultiValue | list) else (value or "",)
    return CharacterSet.parse("\\".join(map(str, several)).encode("ascii", "replace"))


def element_text(data_set: Dataset, tag: BaseTag, character_set: CharacterSet) -> str:
    """Return a value as Unicode; several values are joined by a backslash, an absent one is empty."""
    element = as_read(data_set, tag)
    if isinstance(element, RawDataElement) and isinstance(element.value, bytes):
        return character_set.decode(element.value)
    value = element.value if element is not None else None
    if value is None:
        return ""
    several = value if isinstance(value, MultiValue | list) else (value,)
    return "\\".join(str(part) for part in several)


def value_representation(data_set: Dataset, tag: BaseTag) -> str:
    """Return the VR of an element that is there; empty where neither it nor the dictionary names one."""
    element = as_read(data_set, tag)
    named = element.VR if element is not None else None
    if named is not None and named != "UN":
        return str(named)
    try:
        return dictionary_VR(tag)
    except KeyError:
        return ""
