"""Tables of the attributes that result objects hold, and of their trees, read from samples of each kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from node.cli.dicom_samples import sample_objects
from node.domain.result import ResultKind
from node.report.inherited import INHERITED, LOSSY, SCANNER

LONGEST_VALUE: Final = 40
"""Characters of a constant that stands in a table."""
TREE: Final = "ContentSequence"
PLAIN: Final = frozenset({"CS", "SH", "LO", "UI", "IS", "DS", "US", "FD", "LT", "ST"})
"""Value representations whose constants are shown."""
CONFIGURED: Final = ("Manufacturer", "DeviceSerialNumber", "SoftwareVersions", "StationName")
"""Of the objects' own equipment."""
COPIED: Final = frozenset(
    {
        *INHERITED,
        *LOSSY,
        "TimezoneOffsetFromUTC",
        "RequestAttributesSequence",
        "ReferencedRequestSequence",
        "PerformedProcedureCodeSequence",
        "PositionReferenceIndicator",
    }
)
"""Attributes whose values are the source's."""
COPIED_ITEMS: Final = frozenset(
    {
        "RequestAttributesSequence",
        "ReferencedRequestSequence",
        "PixelMeasuresSequence",
        "PlaneOrientationSequence",
        "PlanePositionSequence",
    }
)
"""Sequences in whose items the values are the source's."""


@dataclass(kw_only=True)
class Row:
    """One attribute at one place, over all samples of a kind."""

    element: DataElement
    depth: int
    parent: str = ""
    """Keyword of the sequence that it stands in."""
    parents: int = 0
    """How many data sets or items could hold it."""
    values: list[str] = field(default_factory=list)
    """Its value in each that does."""

    @property
    def presence(self) -> str:
        """Return the code of PS3.2: always there, with a value, or not."""
        if len(self.values) < self.parents:
            return "ANAP"
        filled = [value for value in self.values if value]
        if not filled:
            return "EMPTY"
        return "ALWAYS" if len(filled) == len(self.values) else "VNAP"

    @property
    def constant(self) -> str:
        """Return the value that all share, where it is one to show."""
        shown = self.presence == "ALWAYS" and self.element.VR in PLAIN and len(set(self.values)) == 1
        return f"`{self.values[0]}`" if shown and len(self.values[0]) <= LONGEST_VALUE else ""


@cache
def samples() -> dict[ResultKind, tuple[Dataset, ...]]:
    """Return samples of every kind; they are only read."""
    return {kind: tuple(found) for kind, found in sample_objects().items()}


def object_tables() -> Iterator[tuple[str, tuple[str, ...], list[tuple[object, ...]]]]:
    """Iterate over title, columns and rows of one table for each kind of object, and of one for each tree."""
    for kind in ResultKind:
        yield (
            f"Attributes of a {_words(kind)}",
            ("attribute", "tag", "VR", "value", "presence", "source"),
            attribute_rows(samples()[kind]),
        )
    for kind in (ResultKind.REPORT, ResultKind.KEY_OBJECTS, ResultKind.REJECTION):
        yield (
            f"Content tree of a {_words(kind)}",
            ("relationship", "value type", "concept", "always"),
            list(tree_rows(samples()[kind], depth=0)),
        )


def _words(kind: ResultKind) -> str:
    return f"{kind.value.replace('-', ' ')} object"


def attribute_rows(data_sets: Sequence[Dataset]) -> list[tuple[object, ...]]:
    """Return a row for each attribute not taken over as it is; those of items follow their sequence."""
    return [
        (
            f"{'>' * row.depth}{row.element.name}",
            f"{row.element.tag}".upper(),
            row.element.VR,
            row.constant,
            row.presence,
            _source(row),
        )
        for row in _rows(data_sets, depth=0)
    ]


def _rows(data_sets: Sequence[Dataset], *, depth: int, parent: str = "") -> Iterator[Row]:
    tags = sorted({tag for data_set in data_sets for tag in data_set.keys()})  # noqa: SIM118 -- a Dataset iterates over elements
    for tag in tags:
        found = [data_set[tag] for data_set in data_sets if tag in data_set]
        first = found[0]
        if (depth == 0 and first.keyword in INHERITED) or first.keyword == "":
            continue
        values = [_text(item) for item in found]
        yield Row(element=first, depth=depth, parent=parent, parents=len(data_sets), values=values)
        if first.VR == "SQ" and first.keyword != TREE:
            items = [item for element in found for item in element.value]
            yield from _rows(items, depth=depth + 1, parent=first.keyword)


def tree_rows(nodes: Sequence[Dataset], *, depth: int) -> Iterator[tuple[object, ...]]:
    """Iterate over a row for each content item that any of the nodes has, children behind their parent.

    Parameters
    ----------
    nodes : sequence of Dataset
        Documents, or content items of one concept.
    depth : int
    """
    grouped: dict[tuple[str, str, str], list[Dataset]] = {}
    holders: dict[tuple[str, str, str], set[int]] = {}
    for number, node in enumerate(nodes):
        for item in node.get(TREE, ()):
            key = (str(item.RelationshipType), str(item.ValueType), _concept(item))
            grouped.setdefault(key, []).append(item)
            holders.setdefault(key, set()).add(number)
    for key, found in grouped.items():
        relationship, value_type, concept = key
        always = "yes" if len(holders[key]) == len(nodes) else ""
        yield f"{'>' * (depth + 1)} {relationship}", value_type, concept, always
        yield from tree_rows(found, depth=depth + 1)


def _concept(item: Dataset) -> str:
    names = item.get("ConceptNameCodeSequence")
    if not names:
        return ""
    return f'({names[0].CodeValue}, {names[0].CodingSchemeDesignator}, "{names[0].CodeMeaning}")'


def _text(element: DataElement) -> str:
    if element.VR == "SQ":
        return f"{len(element.value)} items" if element.value else ""
    if element.value is None or isinstance(element.value, bytes):
        return "" if element.value is None else "pixels"
    several = element.value if isinstance(element.value, MultiValue) else (element.value,)
    return "\\".join(map(str, several))


def _source(row: Row) -> str:
    keyword = row.element.keyword
    if row.depth == 0:
        return "CONFIG" if keyword in CONFIGURED else "COPY" if keyword in COPIED else "AUTO"
    if row.parent == "ContributingEquipmentSequence" and keyword in SCANNER:
        return "COPY of the scanner, AUTO of the algorithm"
    return "COPY" if row.parent in COPIED_ITEMS else "AUTO"
