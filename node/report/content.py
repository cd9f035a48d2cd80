"""Content items in few words (PS3.3 C.17.3.2), and references to source instances.

The items are highdicom's; this module fixes relationship types and keeps remote text within what a text value
may hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import highdicom.sr as hd
import numpy as np
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom.sequence import Sequence as Items
from pydicom.sr.coding import Code

from node.domain.wording import Wording
from node.report import codes

CONTAINS: Final = hd.RelationshipTypeValues.CONTAINS
HAS_CONCEPT_MOD: Final = hd.RelationshipTypeValues.HAS_CONCEPT_MOD
HAS_OBS_CONTEXT: Final = hd.RelationshipTypeValues.HAS_OBS_CONTEXT
HAS_ACQ_CONTEXT: Final = hd.RelationshipTypeValues.HAS_ACQ_CONTEXT
INFERRED_FROM: Final = hd.RelationshipTypeValues.INFERRED_FROM

Point = tuple[float, float]

LONGEST_TEXT: Final = 1024
LONGEST_NAME: Final = 64  # PS3.5 table 6.2-1, VR LO


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A referenced SOP instance, with frames where it is a multi-frame one."""

    sop_class_uid: str
    sop_instance_uid: str
    frames: tuple[int, ...] = ()
    """Frame numbers from 1; empty for the whole instance."""


def one_line(value: str, limit: int = LONGEST_TEXT) -> str:
    """Return text as one line of at most ``limit`` characters, without control characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in value).split())
    return line if len(line) <= limit else line[: limit - 3] + "..."


def name(value: str) -> str:
    """Return text that fits one value of VR LO: 64 characters, no backslash, not empty."""
    return one_line(value.replace("\\", "/"), LONGEST_NAME) or "-"


def text(concept: Code, value: str, relation: hd.RelationshipTypeValues = CONTAINS) -> hd.TextContentItem:
    """Return a TEXT item; an empty text becomes a dash, since the value is required."""
    return hd.TextContentItem(concept, one_line(value) or "-", relation)


def code(concept: Code, value: Code, relation: hd.RelationshipTypeValues = CONTAINS) -> hd.CodeContentItem:
    """Return a CODE item."""
    return hd.CodeContentItem(concept, value, relation)


def uid(concept: Code, value: str, relation: hd.RelationshipTypeValues = CONTAINS) -> hd.UIDRefContentItem:
    """Return a UIDREF item."""
    return hd.UIDRefContentItem(concept, value, relation)


def number(concept: Code, value: float, unit: Code, source: Reference) -> hd.NumContentItem:
    """Return a NUM item, inferred from one image: viewers expect a child under every number."""
    item = hd.NumContentItem(concept, value, unit, relationship_type=CONTAINS)
    if isinstance(value, int):
        item.MeasuredValueSequence[0].NumericValue = str(value)  # a count has no decimal point
    item.ContentSequence = Items([image(codes.SOURCE_OF_MEASUREMENT, source, INFERRED_FROM)])
    return item


def image(
    concept: Code, reference: Reference, relation: hd.RelationshipTypeValues = CONTAINS
) -> hd.ImageContentItem:
    """Return an IMAGE item."""
    return hd.ImageContentItem(
        concept,
        reference.sop_class_uid,
        reference.sop_instance_uid,
        referenced_frame_numbers=list(reference.frames) or None,
        relationship_type=relation,
    )


def region(
    concept: Code, graphic_type: hd.GraphicTypeValues, points: Sequence[Point], source: Reference
) -> hd.ScoordContentItem:
    """Return a SCOORD item on one image (PS3.3 C.18.6).

    Parameters
    ----------
    concept : Code
    graphic_type : highdicom.sr.GraphicTypeValues
    points : sequence of (column, row)
        In pixels; the outer corner of the first pixel is (0, 0).
    source : Reference
    """
    item = hd.ScoordContentItem(
        concept, graphic_type, np.array(points, dtype=np.float32), relationship_type=CONTAINS
    )
    selected = image(codes.SOURCE_OF_MEASUREMENT, source, hd.RelationshipTypeValues.SELECTED_FROM)
    item.ContentSequence = Items([selected])
    return item


def composite(concept: Code, reference: Reference) -> hd.CompositeContentItem:
    """Return a COMPOSITE item: an instance that is no image."""
    return hd.CompositeContentItem(concept, reference.sop_class_uid, reference.sop_instance_uid, CONTAINS)


def private_scheme(words: Wording) -> CodingSchemeIdentificationItem:
    """Return the item of the Coding Scheme Identification Sequence (0008,0110) that declares our codes."""
    return CodingSchemeIdentificationItem(
        codes.PRIVATE_SCHEME,
        name=words("notice.scheme"),
        version=codes.PRIVATE_SCHEME_VERSION,
        responsible_organization=codes.PRIVATE_SCHEME_OWNER,
    )


def container(
    concept: Code,
    children: Iterable[hd.ContentItem],
    *,
    template: str | None = None,
    relation: hd.RelationshipTypeValues | None = CONTAINS,
) -> hd.ContainerContentItem:
    """Return a CONTAINER of separate items."""
    item = hd.ContainerContentItem(
        concept, is_content_continuous=False, template_id=template, relationship_type=relation
    )
    contents = list(children)
    if contents:
        item.ContentSequence = Items(contents)
    return item
