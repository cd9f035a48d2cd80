"""The parts of one request to store, each on its way into the store (PS3.18 section 10.5).

Nothing of an object is kept here but its File Meta Information: what comes goes on to the station that takes
objects from associations, too. While one object becomes durable, the next one is read.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from node.dicom.part10 import FileMeta, file_meta
from node.dimse.admission import Caller
from node.dimse.contexts import STORAGE_SOP_CLASSES, TRANSFER_SYNTAXES
from node.dimse.services import AffectedInstance, ObjectSink, Placed, StorageServices
from node.dimse.status import answer_to
from node.domain.errors import (
    GroundglassError,
    IdentityMissing,
    NotDicom,
    ObjectTooLarge,
    UnsupportedTransferSyntax,
)
from node.domain.identity import is_valid_uid
from node.web.errors import RequestRefused
from node.web.multipart_reader import Event, MultipartLimits, MultipartReader, PartBegins, PartContent
from node.web.negotiation import content_type

logger = logging.getLogger(__name__)

DICOM: Final = "application/dicom"
PLAIN_ENCODINGS: Final = frozenset({"", "binary", "8bit", "7bit"})  # RFC 2045 section 6.2
FINISHING: Final = 4
"""Objects of one request that become durable at the same time: the index takes them in one transaction ..."""
UNFINISHED: Final = 8
"""... and that are whole and wait for it."""

MOST_LOGGED: Final = 10

PROCESSING_FAILURE: Final = 0x0110  # PS3.7 C.5.21
SOP_CLASS_NOT_SUPPORTED: Final = 0x0122  # PS3.7 C.5.19
TRANSFER_SYNTAX_NOT_SUPPORTED: Final = 0xC122  # PS3.3 C.14.1.1


class UnsupportedSopClass(NotDicom):
    """The object is of no SOP class that is stored here."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one part."""

    sop_class_uid: str = ""
    """Empty, as the next one, where the part did not tell."""
    sop_instance_uid: str = ""
    place: Placed | None = None
    """Where it belongs, where it is stored."""
    failure: int | None = None
    """FailureReason (0008,1197); None where the object is stored."""
    detail: str = ""
    """Why, for the operator."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What became of a request."""

    outcomes: tuple[Outcome, ...]
    """Of its parts, in their order."""
    refusal: RequestRefused | None = None
    """Why the rest of its body was not read."""


@dataclass(frozen=True, kw_only=True)
class Intent:
    """What one request asks for."""

    caller: Caller
    study_instance_uid: str
    """Of the only study that may be stored to; empty for any."""
    max_object_bytes: int


def multipart_events(chunks: Iterable[bytes], boundary: str, limits: MultipartLimits) -> Iterator[Event]:
    """Yield what a multipart body brings.

    Raises
    ------
    BadRequest, TooLarge
    """
    reader = MultipartReader(boundary, limits)
    for chunk in chunks:
        yield from reader.feed(chunk)
    reader.close()


def store(
    intent: Intent, events: Callable[[], Iterator[Event]], services: StorageServices, association_id: int
) -> Stored:
    """Store what a request brings; every object that counts as stored is durable.

    Parameters
    ----------
    intent : Intent
    events : callable
        Begins to read the body.
    services : StorageServices
        Takes the objects.
    association_id : int
        To which the request belongs.

    Raises
    ------
    BodyBrokenOff
        There is nobody to answer to. What was whole may be stored all the same.
    """
    stored = _Storing(intent, services, association_id).run(events())
    _log_failures(stored, association_id)
    return stored


def _log_failures(stored: Stored, association_id: int) -> None:
    """Tell the operator once for each kind of failure, however many objects share it."""
    failures = Counter(item.detail for item in stored.outcomes if item.failure is not None)
    for detail, count in failures.most_common(MOST_LOGGED) if failures else ():
        logger.warning("association %d: %d objects were not stored: %s", association_id, count, detail)
    if stored.refusal is not None:
        logger.warning("association %d: its rest was not read: %s", association_id, stored.refusal)


class _Storing:
    """One request that is being stored."""

    def __init__(self, intent: Intent, services: StorageServices, association_id: int) -> None:
        self._intent = intent
        self._services = services
        self._association_id = association_id
        self._arriving: _Part | None = None
        self._whole: _Part | None = None
        """The newest one: where no other follows, it is made durable without the help of another thread."""
        self._outcomes: list[Future[Outcome]] = []

    def run(self, events: Iterator[Event]) -> Stored:
        """Take every part; returns when each is durable or refused."""
        refusal: RequestRefused | None = None
        with ExitStack() as at_end:
            at_end.callback(self._discard)
            finish_aside = _Aside(at_end)
            try:
                for event in events:
                    self._take(event, finish_aside)
            except RequestRefused as error:
                refusal = error
            last = () if self._whole is None else (self._whole.finish(),)
            outcomes = (*(future.result() for future in self._outcomes), *last)
        return Stored(outcomes=outcomes, refusal=refusal)

    def _take(self, event: Event, finish_aside: _Aside) -> None:
        if isinstance(event, PartBegins):
            if self._whole is not None:
                self._outcomes.append(finish_aside(self._whole))
                self._whole = None
            self._arriving = _Part(event, self._intent, self._open)
        elif self._arriving is None:
            raise ValueError("the content of a part came before its beginning")
        elif isinstance(event, PartContent):
            self._arriving.write(event.data)
        else:
            self._whole, self._arriving = self._arriving, None

    def _open(self, affected: AffectedInstance) -> ObjectSink:
        return self._services.receive(
            affected, caller=self._intent.caller, association_id=self._association_id
        )

    def _discard(self) -> None:
        for part in (self._arriving, self._whole):
            if part is not None:
                part.discard()


class _Aside:
    """Lets parts become durable while the next ones are read; few wait, for each is an open file."""

    def __init__(self, at_end: ExitStack) -> None:
        self._at_end = at_end
        self._pool: ThreadPoolExecutor | None = None
        self._unfinished: deque[Future[Outcome]] = deque()

    def __call__(self, part: _Part) -> Future[Outcome]:
        """Begin to finish a part; returns when there is room for another one."""
        if self._pool is None:
            pool = ThreadPoolExecutor(FINISHING, thread_name_prefix="stow")
            self._pool = self._at_end.enter_context(pool)
        future = self._pool.submit(part.finish)
        self._unfinished.append(future)
        if len(self._unfinished) > UNFINISHED:
            wait((self._unfinished.popleft(),))
        return future


class _Part:
    """One part on its way into the store."""

    def __init__(
        self, begins: PartBegins, intent: Intent, open_sink: Callable[[AffectedInstance], ObjectSink]
    ) -> None:
        self._intent = intent
        self._open = open_sink
        self._head = b""
        self._size = 0
        self._meta: FileMeta | None = None
        self._sink: ObjectSink | None = None
        self._error = _objection(begins)

    def write(self, data: bytes) -> None:
        """Take the next bytes; never raises for what the object, the store or the limit say."""
        self._size += len(data)
        if self._error is not None:
            return
        try:
            self._pass_on(data)
        except GroundglassError as error:
            self._error = error
            self.discard()

    def finish(self) -> Outcome:
        """Make the object durable, and say what became of it."""
        place, failure, detail = None, None, ""
        try:
            place = self._complete()
        except GroundglassError as error:
            failure, detail = failure_reason(error), f"{type(error).__name__}: {error}"
        finally:
            self.discard()
        return Outcome(
            sop_class_uid=self._meta.sop_class_uid if self._meta else "",
            sop_instance_uid=self._meta.sop_instance_uid if self._meta else "",
            place=place,
            failure=failure,
            detail=detail,
        )

    def discard(self) -> None:
        """Release what is held; what was made durable stays."""
        sink, self._sink, self._head = self._sink, None, b""
        if sink is not None:
            sink.discard()

    def _complete(self) -> Placed | None:
        if self._error is not None:
            raise self._error
        if self._sink is None:
            self._begin(whole=True)
        if self._sink is None:
            raise NotDicom("a part has no data set; send the object again")
        return self._sink.finish()

    def _pass_on(self, data: bytes) -> None:
        if self._size > self._intent.max_object_bytes:
            raise ObjectTooLarge(
                f"object is larger than {self._intent.max_object_bytes} bytes, the limit of this node"
            )
        if self._sink is not None:
            self._sink.write(data)
            return
        self._head = self._head + data if self._head else data
        self._begin(whole=False)

    def _begin(self, *, whole: bool) -> None:
        """Open the sink once the File Meta Information is here; the data set goes on without it."""
        meta = file_meta(self._head, whole=whole)
        if meta is None:
            return
        if not (is_valid_uid(meta.sop_class_uid) and is_valid_uid(meta.sop_instance_uid)):
            raise IdentityMissing("the File Meta Information names no SOP instance (0002,0002), (0002,0003)")
        self._meta = meta
        if meta.sop_class_uid not in STORAGE_SOP_CLASSES:
            raise UnsupportedSopClass("the object is of a SOP class that is not stored here")
        if meta.transfer_syntax_uid not in TRANSFER_SYNTAXES:
            raise UnsupportedTransferSyntax("the object is in a transfer syntax that is not stored here")
        self._sink = self._open(
            AffectedInstance(
                sop_class_uid=meta.sop_class_uid,
                sop_instance_uid=meta.sop_instance_uid,
                transfer_syntax_uid=meta.transfer_syntax_uid,
                study_instance_uid=self._intent.study_instance_uid,
            )
        )
        self._sink.write(self._head[meta.size :])
        self._head = b""


def _objection(begins: PartBegins) -> GroundglassError | None:
    """Return why a part cannot be a DICOM file as it lies, by its header section."""
    if begins.headers.get("content-transfer-encoding", "").lower() not in PLAIN_ENCODINGS:
        return NotDicom("a part is encoded for transfer; send it in binary")
    named = begins.headers.get("content-type", DICOM)
    try:
        other = content_type(named).type != DICOM
    except RequestRefused:
        other = True
    return NotDicom(f"a part is not {DICOM}") if other else None


REASONS: Final[tuple[tuple[type[GroundglassError], int], ...]] = (
    (UnsupportedSopClass, SOP_CLASS_NOT_SUPPORTED),
    (UnsupportedTransferSyntax, TRANSFER_SYNTAX_NOT_SUPPORTED),
)
"""What C-STORE refuses when an association is opened; of the rest, both services say the same."""


def failure_reason(error: GroundglassError) -> int:
    """Return the FailureReason (0008,1197) for an object that was not stored (PS3.18 annex I.2.2)."""
    for kind, reason in REASONS:
        if isinstance(error, kind):
            return reason
    try:
        return int(answer_to(error).status)
    except GroundglassError:
        return PROCESSING_FAILURE
