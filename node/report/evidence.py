"""The source instances of a request, found by UID; and the lists of all instances that a report names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pydicom.dataset import Dataset

from node.domain.errors import ReportImpossible
from node.domain.result import Finding, SliceScore
from node.report import inherited
from node.report.content import Reference


class Evidence:
    """Source instances of one study.

    Parameters
    ----------
    instances : Sequence of pydicom.dataset.Dataset
        Without pixel data.
    finding : Finding
        Names the screened series.

    Raises
    ------
    ReportImpossible
        No instance is given, or none has the study's identity.
    """

    def __init__(self, instances: Sequence[Dataset], finding: Finding) -> None:
        self._by_uid = {str(item.SOPInstanceUID): item for item in instances}
        self._by_series: dict[str, list[Dataset]] = {}
        for item in instances:
            self._by_series.setdefault(str(item.SeriesInstanceUID), []).append(item)
        if not instances:
            raise ReportImpossible("no source instance is given; screen the study again")
        self._screened = finding.series_instance_uid or ""
        self.donor: Dataset = (self._by_series.get(self._screened) or instances)[0]
        """The instance whose patient and study attributes are taken over."""

    @property
    def study_instance_uid(self) -> str:
        """StudyInstanceUID of the study."""
        return str(self.donor.StudyInstanceUID)

    def series(self) -> Iterator[tuple[str, list[Dataset]]]:
        """Iterate over the series that have an instance here, the screened one first."""
        yield from sorted(self._by_series.items(), key=lambda pair: pair[0] != self._screened)

    def first(self, series_instance_uid: str) -> Dataset | None:
        """Return one instance of a series, or None."""
        found = self._by_series.get(series_instance_uid)
        return found[0] if found else None

    def instance(self, sop_instance_uid: str) -> Dataset | None:
        """Return an instance, or None."""
        return self._by_uid.get(sop_instance_uid)

    def whole(self, instance: Dataset) -> Reference:
        """Return a reference to an instance with all its frames."""
        return Reference(
            sop_class_uid=str(instance.SOPClassUID), sop_instance_uid=str(instance.SOPInstanceUID)
        )

    def frame(self, item: SliceScore) -> Reference:
        """Return a reference to one slice; frames are named only of several (PS3.3 table 10-3)."""
        known = Dataset()
        inherited.copy(self._by_uid.get(item.sop_instance_uid, known), known, ("NumberOfFrames",))
        several = int(known.get("NumberOfFrames", 1)) > 1
        return Reference(
            sop_class_uid=item.sop_class_uid,
            sop_instance_uid=item.sop_instance_uid,
            frames=(item.frame,) if several or item.frame > 1 else (),
        )

    def frames(self, slices: Iterable[SliceScore]) -> list[Reference]:
        """Return references to slices, one for each instance, in the order of the slices."""
        merged: dict[str, Reference] = {}
        for item in slices:
            reference = self.frame(item)
            earlier = merged.get(reference.sop_instance_uid)
            if earlier is not None:
                reference = Reference(
                    sop_class_uid=reference.sop_class_uid,
                    sop_instance_uid=reference.sop_instance_uid,
                    frames=tuple(sorted({*earlier.frames, *reference.frames})),
                )
            merged[reference.sop_instance_uid] = reference
        return list(merged.values())

    def is_image(self, instance: Dataset) -> bool:
        """Whether the instance may be referenced by an IMAGE item."""
        return inherited.is_image(instance)

    def size(self, sop_instance_uid: str) -> tuple[int, int] | None:
        """Return rows and columns of an image; None where they are not known."""
        instance = self._by_uid.get(sop_instance_uid, Dataset())
        rows, columns = instance.get("Rows"), instance.get("Columns")
        return (int(rows), int(columns)) if rows and columns else None

    def compression(self, references: Iterable[Reference]) -> Dataset:
        """Return the attributes of lossy compression of what is made of several images.

        They are those of one that underwent it, else of the first: once lossy, always said
        (PS3.3 C.7.6.1.1.5).
        """
        instances = [
            self._by_uid[reference.sop_instance_uid]
            for reference in references
            if reference.sop_instance_uid in self._by_uid
        ]
        lossy = [item for item in instances if inherited.text(item, "LossyImageCompression") == "01"]
        found = Dataset()
        for instance in (lossy or instances)[:1]:
            inherited.copy(instance, found, inherited.LOSSY)
        return found

    def series_of(self, sop_instance_uid: str) -> str:
        """Return the series of an instance; of an unknown one, the screened series."""
        instance = self._by_uid.get(sop_instance_uid)
        return str(instance.SeriesInstanceUID) if instance is not None else self._screened


def referenced(item: Dataset) -> Iterator[Reference]:
    """Iterate over all instances that a content tree names, once for each time."""
    for reference in item.get("ReferencedSOPSequence", ()):
        yield Reference(
            sop_class_uid=reference.ReferencedSOPClassUID,
            sop_instance_uid=reference.ReferencedSOPInstanceUID,
        )
    for child in item.get("ContentSequence", ()):
        yield from referenced(child)


def hierarchical(study_instance_uid: str, instances: Iterable[tuple[str, Reference]]) -> Dataset:
    """Return one item of a hierarchical SOP instance reference (PS3.3 C.17.2.1).

    Parameters
    ----------
    study_instance_uid : str
    instances : iterable of (SeriesInstanceUID, Reference)
        An instance that is named again is listed once.
    """
    study = Dataset()
    study.StudyInstanceUID = study_instance_uid
    study.ReferencedSeriesSequence = _by_series(instances, "ReferencedSOPSequence")
    return study


def common_references(instances: Iterable[tuple[str, Reference]]) -> list[Dataset]:
    """Return the items of the Referenced Series Sequence (PS3.3 C.12.2) of the same study.

    Parameters
    ----------
    instances : iterable of (SeriesInstanceUID, Reference)
        An instance that is named again is listed once.
    """
    return _by_series(instances, "ReferencedInstanceSequence")


def _by_series(instances: Iterable[tuple[str, Reference]], keyword: str) -> list[Dataset]:
    by_series: dict[str, dict[str, Dataset]] = {}
    for series, reference in instances:
        instance = Dataset()
        instance.ReferencedSOPClassUID = reference.sop_class_uid
        instance.ReferencedSOPInstanceUID = reference.sop_instance_uid
        by_series.setdefault(series, {}).setdefault(reference.sop_instance_uid, instance)
    items = []
    for series, found in by_series.items():
        item = Dataset()
        item.SeriesInstanceUID = series
        setattr(item, keyword, list(found.values()))
        items.append(item)
    return items
