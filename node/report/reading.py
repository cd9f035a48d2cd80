"""Reading a structured report's tree, tolerantly: an absent item is an empty answer, never an error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from node.report.content import one_line


@dataclass(frozen=True)
class Node:
    """One content item with what is under it."""

    item: Dataset

    def children(self) -> Iterator[Node]:
        """Iterate over the items directly below."""
        for child in self.item.get("ContentSequence") or ():
            yield Node(child)

    def all(self, concept: Code) -> list[Node]:
        """Return the items directly below that have this concept name."""
        wanted = (concept.value, concept.scheme_designator)
        return [child for child in self.children() if child.concept == wanted]

    def first(self, concept: Code) -> Node:
        """Return the first such item, or an empty one."""
        return next(iter(self.all(concept)), Node(Dataset()))

    @property
    def concept(self) -> tuple[str, str]:
        """Code value and coding scheme of the concept name."""
        code = _first(self.item, "ConceptNameCodeSequence")
        value = code.get("CodeValue") or code.get("LongCodeValue") or ""
        return str(value), str(code.get("CodingSchemeDesignator", ""))

    @property
    def code(self) -> str:
        """Code value of a CODE item."""
        return str(_first(self.item, "ConceptCodeSequence").get("CodeValue", ""))

    @property
    def text(self) -> str:
        """Return the value of a TEXT, UIDREF, CODE or NUM item as one line."""
        if "TextValue" in self.item:
            return one_line(str(self.item.TextValue))
        if "UID" in self.item:
            return one_line(str(self.item.UID))
        measured = _first(self.item, "MeasuredValueSequence")
        if "NumericValue" in measured:
            return one_line(str(measured.NumericValue))
        return one_line(str(_first(self.item, "ConceptCodeSequence").get("CodeMeaning", "")))

    @property
    def instance(self) -> str:
        """SOPInstanceUID that an IMAGE or COMPOSITE item names, with its frames."""
        reference = _first(self.item, "ReferencedSOPSequence")
        uid = str(reference.get("ReferencedSOPInstanceUID", ""))
        frames = reference.get("ReferencedFrameNumber")
        return f"{uid} frame {frames}" if frames is not None else uid


def _first(data_set: Dataset, keyword: str) -> Dataset:
    found = data_set.get(keyword)
    return found[0] if found else Dataset()
