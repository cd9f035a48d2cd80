"""The tables of the DICOM conformance statement about DICOMweb."""

from __future__ import annotations

from collections.abc import Iterator

from node.domain.query import ATTRIBUTES, Level
from node.web.query_text import RETURNED

RESOURCES = {Level.STUDY: "studies", Level.SERIES: "series", Level.IMAGE: "instances"}


def web_tables() -> Iterator[tuple[str, tuple[str, ...], list[tuple[object, ...]]]]:
    """Yield title, columns and rows of each table."""
    rows: list[tuple[object, ...]] = [
        (RESOURCES[level], attribute.keyword, f"{attribute.tag:08X}", attribute.vr)
        for level in RESOURCES
        for attribute in ATTRIBUTES
        if attribute.keyword in RETURNED[level]
    ]
    yield "Attributes that QIDO-RS answers unasked", ("resource", "attribute", "tag", "VR"), rows
