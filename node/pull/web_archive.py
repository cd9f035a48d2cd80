"""An archive that is spoken to by DICOMweb: QIDO-RS to search it, WADO-RS to get objects."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, Final
from urllib.parse import urlencode

from node.dicom.part10 import FileMeta, file_meta
from node.dimse.contexts import STORAGE_SOP_CLASSES
from node.dimse.services import AffectedInstance, ObjectSink
from node.domain.archives import ArchivedInstance, ArchivedSeries, ArchivedStudy, Sought, WebArchive
from node.domain.errors import (
    DestinationRefused,
    DestinationUnavailable,
    DicomError,
    IdentityMismatch,
    NotDicom,
    ObjectTooLarge,
)
from node.domain.ports import Clock
from node.http.credentials import SecretReader
from node.http.session import HttpSession, http_session
from node.pull.first_part import dicom_content
from node.pull.incoming import IncomingObjects
from node.pull.matches import (
    INSTANCE_KEYS,
    SERIES_KEYS,
    STUDY_KEYS,
    instance_of,
    json_values,
    series_of,
    study_of,
)
from node.pull.rules import distinct, queries_of
from node.pull.watch import Watch

logger = logging.getLogger(__name__)

JSON: Final = {"Accept": "application/dicom+json"}
DICOM: Final = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
"""Each object in the transfer syntax that it is stored in (PS3.18 section 8.7.3.5.2)."""
NOT_FOUND: Final = 404
NO_CONTENT: Final = 204
PAGE: Final = 500
MOST_SERIES: Final = 2_000
MOST_INSTANCES: Final = 20_000


class WebArchiveClient:
    """An archive that is spoken to by DICOMweb. Implements `ArchiveClient`.

    Parameters
    ----------
    archive : WebArchive
    clock : Clock
    secrets : SecretReader
    incoming : IncomingObjects
    max_object_bytes : int
        Largest object.
    """

    def __init__(
        self,
        archive: WebArchive,
        *,
        clock: Clock,
        secrets: SecretReader,
        incoming: IncomingObjects,
        max_object_bytes: int,
    ) -> None:
        self._archive = archive
        self._clock = clock
        self._secrets = secrets
        self._incoming = incoming
        self._max_object_bytes = max_object_bytes
        self._stopping = threading.Event()

    @contextmanager
    def session(self, watch: Watch | None = None) -> Iterator[WebSession]:
        """Open a connection on which it is searched."""
        with (
            http_session(self._archive.access, clock=self._clock, secrets=self._secrets) as session,
            nullcontext() if watch is None else watch.over(_Call()),
        ):
            yield WebSession(session, self._archive.name, partial(self._go_on, watch))

    def retrieve(
        self,
        study_instance_uid: str,
        series_instance_uid: str,
        wanted: Sequence[ArchivedInstance],
        *,
        whole: bool,
        watch: Watch,
    ) -> str:
        """Have instances of a series come into the store, one after the other.

        An object that cannot be got or stored keeps none of the others back.
        """
        del whole  # a series that breaks off begins anew; single objects go on
        problem = ""
        with (
            self._incoming.association(study_instance_uid) as open_sink,
            http_session(self._archive.access, clock=self._clock, secrets=self._secrets) as session,
            watch.over(_Call()),
        ):
            go_on = partial(self._go_on, watch)
            for item in wanted:
                path = (
                    f"/studies/{study_instance_uid}/series/{series_instance_uid}"
                    f"/instances/{item.sop_instance_uid}"
                )
                try:
                    self._get(session, path, item, open_sink, go_on)
                except (DicomError, DestinationRefused) as error:
                    logger.warning("an object of archive %s was not fetched: %s", self._archive.name, error)
                    problem = problem or str(error)
        return problem or "success"

    def stop(self) -> None:
        """End what is on its way, with the bytes that are just coming."""
        self._stopping.set()

    def _go_on(self, watch: Watch | None) -> None:
        """Refuse to go on once this node is being stopped, or what is under way was broken off.

        Raises
        ------
        DestinationUnavailable, BrokenOff
        """
        if self._stopping.is_set():
            raise DestinationUnavailable("this node is being stopped; it goes on after its start")
        if watch is not None:
            watch.require_going_on()

    def _get(
        self,
        session: HttpSession,
        path: str,
        item: ArchivedInstance,
        open_sink: Callable[[AffectedInstance], ObjectSink],
        go_on: Callable[[], None],
    ) -> None:
        go_on()
        with session.stream(path, headers=DICOM, expected=frozenset({NOT_FOUND})) as answer:
            if not answer.success:
                raise DestinationRefused(f"WADO-RS was answered {answer.text}")
            limited = _limited(answer.chunks, self._max_object_bytes, go_on)
            _store(dicom_content(answer.content_type, limited), item, open_sink)


class _Call:
    """What is under way by HTTP: it sees between two pieces that it was broken off, each within its time."""

    told = 0

    def cancel(self) -> None:
        """Nothing is told to the server."""

    def abort(self) -> None:
        """The connection ends with the call."""


class WebSession:
    """A connection on which an archive is searched. Implements `ArchiveSession`.

    Parameters
    ----------
    session : HttpSession
    name : str
        Of the archive.
    go_on : callable
        Called before each request; raises when none may be made any more.
    """

    def __init__(self, session: HttpSession, name: str, go_on: Callable[[], None]) -> None:
        self._session = session
        self._name = name
        self._go_on = go_on

    def studies(self, sought: Sought, *, limit: int) -> list[ArchivedStudy]:
        """Return the studies that match."""
        found: list[ArchivedStudy | None] = []
        for keys in queries_of(sought):
            matches = self._search("/studies", keys, STUDY_KEYS, limit=limit)
            found += [study_of(json_values(match, STUDY_KEYS)) for match in matches]
        return distinct(found, lambda study: study.study_instance_uid)

    def series(self, study_instance_uid: str) -> list[ArchivedSeries]:
        """Return the series of a study."""
        path = f"/studies/{study_instance_uid}/series"
        matches = self._search(path, {}, SERIES_KEYS, limit=MOST_SERIES)
        found = [series_of(json_values(match, SERIES_KEYS), study_instance_uid) for match in matches]
        return distinct(found, lambda series: series.series_instance_uid)

    def instances(self, study_instance_uid: str, series_instance_uid: str) -> list[ArchivedInstance]:
        """Return the instances of a series."""
        path = f"/studies/{study_instance_uid}/series/{series_instance_uid}/instances"
        matches = self._search(path, {}, INSTANCE_KEYS, limit=MOST_INSTANCES)
        found = [instance_of(json_values(match, INSTANCE_KEYS)) for match in matches]
        return distinct(found, lambda instance: instance.sop_instance_uid)

    def _search(self, path: str, keys: dict[str, str], keywords: tuple[str, ...], *, limit: int) -> list[Any]:
        """Return all matches, page by page (PS3.18 section 8.3.4)."""
        found: list[Any] = []
        fields = [("includefield", keyword) for keyword in keywords]
        while True:
            self._go_on()
            page = [*keys.items(), *fields, ("limit", str(PAGE)), ("offset", str(len(found)))]
            # What is below a study may be gone; at the base of the service the address is wrong.
            expected = frozenset({NOT_FOUND}) if path != "/studies" else frozenset()
            answer = self._session.call("GET", f"{path}?{urlencode(page)}", headers=JSON, expected=expected)
            if answer.status in {NOT_FOUND, NO_CONTENT}:
                return found
            matches = answer.json()
            if not answer.success or not isinstance(matches, list):
                raise DestinationRefused(f"{self._name} answered QIDO-RS with {answer.text}, and no matches")
            if matches == found[: len(matches)]:  # the end, or a server that does not page
                return found
            found += matches
            if len(found) > limit:
                raise DestinationRefused(
                    f"{self._name} has more than {limit} matches; narrow what is looked for"
                )


def _limited(chunks: Iterator[bytes], limit: int, go_on: Callable[[], None]) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        go_on()
        size += len(chunk)
        if size > limit:
            raise ObjectTooLarge(f"object is larger than {limit} bytes, the limit of this node")
        yield chunk


def _store(
    content: Iterator[bytes],
    item: ArchivedInstance,
    open_sink: Callable[[AffectedInstance], ObjectSink],
) -> None:
    """Pass a PS3.10 file on to a sink, its data set without the File Meta Information.

    Raises
    ------
    DicomError, StoreError
        It is not stored.
    """
    head, meta = b"", None
    for chunk in content:
        head += chunk
        meta = file_meta(head, whole=False)
        if meta is not None:
            break
    meta = meta or file_meta(head, whole=True)
    if meta is None:
        raise NotDicom("an answer to WADO-RS holds no DICOM file")
    _require(meta, item)
    sink = open_sink(
        AffectedInstance(
            sop_class_uid=meta.sop_class_uid,
            sop_instance_uid=meta.sop_instance_uid,
            transfer_syntax_uid=meta.transfer_syntax_uid,
        )
    )
    try:
        sink.write(head[meta.size :])
        for chunk in content:
            sink.write(chunk)
        sink.finish()
    finally:
        sink.discard()


def _require(meta: FileMeta, item: ArchivedInstance) -> None:
    if meta.sop_instance_uid != item.sop_instance_uid:
        raise IdentityMismatch("the answer to WADO-RS is another object than was asked for")
    if meta.sop_class_uid not in STORAGE_SOP_CLASSES:
        raise NotDicom("the answer to WADO-RS is of no storage SOP class that is known here")
