"""An archive that is spoken to in DIMSE: C-FIND, and C-MOVE to this node or C-GET."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Final

from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from node.dimse.entity import Timeouts
from node.dimse.fetching import FetchingAssociation, Retrieved, associate_to_fetch, associate_to_get
from node.dimse.scu import Remote
from node.domain.archives import (
    ArchivedInstance,
    ArchivedSeries,
    ArchivedStudy,
    DicomArchive,
    Retrieval,
    Sought,
)
from node.domain.errors import DestinationUnavailable
from node.domain.ports import Clock
from node.pull.incoming import IncomingObjects
from node.pull.matches import (
    INSTANCE_KEYS,
    SERIES_KEYS,
    STUDY_KEYS,
    instance_of,
    series_of,
    study_of,
    values_of,
)
from node.pull.rules import distinct, queries_of
from node.pull.watch import Watch

MOST_SERIES: Final = 2_000
MOST_INSTANCES: Final = 20_000
UIDS_AT_ONCE: Final = 100
"""Of one retrieval by SOP Instance UID: 6 kB of its identifier."""
USUAL_SOP_CLASSES: Final = (
    "1.2.840.10008.5.1.4.1.1.2",  # CT Image Storage
    "1.2.840.10008.5.1.4.1.1.2.1",  # Enhanced CT Image Storage
    "1.2.840.10008.5.1.4.1.1.1",  # Computed Radiography Image Storage
    "1.2.840.10008.5.1.4.1.1.1.1",  # Digital X-Ray Image Storage - For Presentation
)
"""Proposed where an archive does not tell the SOP classes of its instances."""


class DicomArchiveClient:
    """An archive that is spoken to in DIMSE. Implements `ArchiveClient`.

    Parameters
    ----------
    archive : DicomArchive
    calling_ae_title : str
        Own AE title, to which it sends by C-MOVE.
    timeouts : Timeouts
    incoming : IncomingObjects
        Where objects go that come by C-GET.
    max_object_bytes : int
        Largest object.
    clock : Clock
    search_seconds : float
        A search that has not ended by then is given up.
    """

    def __init__(
        self,
        archive: DicomArchive,
        *,
        calling_ae_title: str,
        timeouts: Timeouts,
        incoming: IncomingObjects,
        max_object_bytes: int,
        clock: Clock,
        search_seconds: float,
    ) -> None:
        self._remote = Remote(
            ae_title=archive.ae_title, host=archive.host, port=archive.port, tls=archive.tls
        )
        self._retrieval = archive.retrieval
        self._calling_ae_title = calling_ae_title
        self._timeouts = timeouts
        self._incoming = incoming
        self._max_object_bytes = max_object_bytes
        self._clock = clock
        self._search_seconds = search_seconds
        self._lock = threading.Lock()
        self._stopping = False
        self._open: set[FetchingAssociation] = set()

    @contextmanager
    def session(self, watch: Watch | None = None) -> Iterator[DicomSession]:
        """Open an association on which it is searched."""
        with (
            associate_to_fetch(
                self._remote, calling_ae_title=self._calling_ae_title, timeouts=self._timeouts
            ) as association,
            self._kept(association),
            nullcontext() if watch is None else watch.over(association),
        ):
            yield DicomSession(association, self._clock, self._search_seconds)

    def retrieve(
        self,
        study_instance_uid: str,
        series_instance_uid: str,
        wanted: Sequence[ArchivedInstance],
        *,
        whole: bool,
        watch: Watch,
    ) -> str:
        """Have instances of a series come into the store; return what the archive answered."""
        identifiers = _identifiers(study_instance_uid, series_instance_uid, wanted, whole=whole)
        if self._retrieval is Retrieval.GET:
            return self._get(study_instance_uid, identifiers, wanted, watch)
        with (
            associate_to_fetch(
                self._remote, calling_ae_title=self._calling_ae_title, timeouts=self._timeouts, move=True
            ) as association,
            self._kept(association),
            watch.over(association),
        ):
            move = partial(association.move, destination=self._calling_ae_title)
            answers = _asked(move, identifiers, watch)
        watch.require_going_on()
        return _told(answers)

    def stop(self) -> None:
        """End what is on its way."""
        with self._lock:
            self._stopping = True
            found = list(self._open)
        for association in found:
            association.abort()

    def _get(
        self,
        study_instance_uid: str,
        identifiers: Sequence[Dataset],
        wanted: Sequence[ArchivedInstance],
        watch: Watch,
    ) -> str:
        told = [item.sop_class_uid for item in wanted]
        classes = [*filter(None, told), *(USUAL_SOP_CLASSES if "" in told else ())]
        with self._incoming.association(study_instance_uid) as open_sink:
            with (
                associate_to_get(
                    self._remote,
                    calling_ae_title=self._calling_ae_title,
                    timeouts=self._timeouts,
                    sop_classes=classes,
                    open_sink=open_sink,
                    max_object_bytes=self._max_object_bytes,
                ) as association,
                self._kept(association),
                watch.over(association),
            ):
                answers = _asked(association.get, identifiers, watch)
            watch.require_going_on()  # here: what carried the series has not ended as it should
        return _told(answers)

    @contextmanager
    def _kept(self, association: FetchingAssociation) -> Iterator[None]:
        with self._lock:
            if self._stopping:
                raise DestinationUnavailable("this node is being stopped; it goes on after its start")
            self._open.add(association)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(association)


class DicomSession:
    """An association on which an archive is searched. Implements `ArchiveSession`.

    Parameters
    ----------
    association : FetchingAssociation
    clock : Clock
    seconds : float
        For one search: an archive may tell of a match now and then, for ever.
    """

    def __init__(self, association: FetchingAssociation, clock: Clock, seconds: float) -> None:
        self._association = association
        self._clock = clock
        self._seconds = seconds

    def studies(self, sought: Sought, *, limit: int) -> list[ArchivedStudy]:
        """Return the studies that match."""
        found: list[ArchivedStudy | None] = []
        for keys in queries_of(sought):
            identifier = _query("STUDY", dict.fromkeys(STUDY_KEYS, "") | keys)
            matches = self._find(identifier, limit=limit)
            found += [study_of(values_of(match, STUDY_KEYS)) for match in matches]
        return distinct(found, lambda study: study.study_instance_uid)

    def series(self, study_instance_uid: str) -> list[ArchivedSeries]:
        """Return the series of a study."""
        identifier = _query(
            "SERIES", {"StudyInstanceUID": study_instance_uid, **dict.fromkeys(SERIES_KEYS, "")}
        )
        matches = self._find(identifier, limit=MOST_SERIES)
        found = [series_of(values_of(match, SERIES_KEYS), study_instance_uid) for match in matches]
        return distinct(found, lambda series: series.series_instance_uid)

    def instances(self, study_instance_uid: str, series_instance_uid: str) -> list[ArchivedInstance]:
        """Return the instances of a series."""
        keys = {"StudyInstanceUID": study_instance_uid, "SeriesInstanceUID": series_instance_uid}
        identifier = _query("IMAGE", keys | dict.fromkeys(INSTANCE_KEYS, ""))
        matches = self._find(identifier, limit=MOST_INSTANCES)
        found = [instance_of(values_of(match, INSTANCE_KEYS)) for match in matches]
        return distinct(found, lambda instance: instance.sop_instance_uid)

    def _find(self, identifier: Dataset, *, limit: int) -> list[Dataset]:
        end = self._clock.monotonic() + self._seconds

        def go_on() -> None:
            if self._clock.monotonic() > end:
                raise DestinationUnavailable(
                    f"the archive did not end its answer to C-FIND within {self._seconds:g} s"
                )

        return self._association.find(identifier, limit=limit, go_on=go_on)


def _query(level: str, keys: dict[str, str]) -> Dataset:
    """Return an identifier (PS3.4 section C.4.1.1.3); its character set is named where it matters."""
    identifier = Dataset()
    if not "".join(keys.values()).isascii():
        identifier.SpecificCharacterSet = "ISO_IR 192"
    identifier.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        # A key may be what no value is: a range, a pattern.
        identifier.add(DataElement(keyword, dictionary_VR(keyword), value, validation_mode=IGNORE))
    return identifier


def _identifiers(
    study_instance_uid: str, series_instance_uid: str, wanted: Sequence[ArchivedInstance], *, whole: bool
) -> list[Dataset]:
    """Return the identifiers of retrievals (PS3.4 sections C.4.2.1.4, C.4.3.1.3)."""
    keys = {"StudyInstanceUID": study_instance_uid, "SeriesInstanceUID": series_instance_uid}
    if whole:
        return [_query("SERIES", keys)]
    made = []
    for begin in range(0, len(wanted), UIDS_AT_ONCE):
        identifier = _query("IMAGE", keys)
        identifier.SOPInstanceUID = [item.sop_instance_uid for item in wanted[begin : begin + UIDS_AT_ONCE]]
        made.append(identifier)
    return made


def _asked(
    ask: Callable[[Dataset], Retrieved], identifiers: Sequence[Dataset], watch: Watch
) -> list[Retrieved]:
    """Make one retrieval after the other, until one is broken off."""
    answers = []
    for identifier in identifiers:
        answers.append(ask(identifier))
        if watch.is_broken:
            break
    return answers


def _told(answers: Sequence[Retrieved]) -> str:
    """Return what went wrong first, or that nothing did."""
    return next((answer.text for answer in answers if not answer.success), "0000H success")
