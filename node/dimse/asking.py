"""Associations on which a destination is asked what it has: storage commitment, and queries by UID."""

from __future__ import annotations

import queue
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at import

from node.dimse.commitment import (
    REQUEST,
    STORAGE_COMMITMENT,
    STORAGE_COMMITMENT_INSTANCE,
    CommitmentReport,
    CommitmentRequest,
    CommitmentStatus,
    MessageRefused,
    received_report,
    request_data_set,
    response,
)
from node.dimse.contexts import CONVERTIBLE, STUDY_ROOT_FIND
from node.dimse.entity import Timeouts
from node.dimse.messages import BoundedMessages
from node.dimse.scu import Remote, RequestingAssociation, open_association
from node.dimse.status import Meaning, query_meaning_of, request_meaning_of
from node.domain.errors import DestinationRefused, DestinationUnavailable

if TYPE_CHECKING:
    from pynetdicom.association import Association
    from pynetdicom.events import Event, EventHandlerType

MAX_MATCHES = 2000
"""Answers to one query: a series of results has some hundred objects. More is no answer to what was asked."""
PENDING = frozenset({0xFF00, 0xFF01})
"""Matches are continuing; the second one warns of optional keys (PS3.4 table C.4-1)."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """An object that is looked for by query."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, kw_only=True)
class Found:
    """What queries said."""

    present: frozenset[str]
    """SOP Instance UIDs that were shown."""
    unknown: frozenset[str]
    """SOP Instance UIDs about which no query succeeded."""
    problem: Meaning | None
    """Of the last query that failed."""


class _Reports:
    """What the peer reports on the association of the request, from the association's thread."""

    def __init__(self) -> None:
        self.transaction_uid = ""
        """Of the request; set before it is sent."""
        self._queue: queue.Queue[CommitmentReport | None] = queue.Queue()

    def take(self, event: Event) -> tuple[Dataset, None]:
        """Take a report; who waits for it has it once it is acknowledged."""
        report = received_report(event)
        if isinstance(report, MessageRefused):
            return response(report.status, report.comment), None
        messages = event.assoc.dimse
        if report.transaction_uid != self.transaction_uid or not isinstance(messages, BoundedMessages):
            # That of an earlier request goes to the listener, where it is recorded.
            return response(CommitmentStatus.PROCESSING_FAILURE, "not the transaction asked for here"), None
        messages.afterwards(lambda: self._queue.put(report))
        return response(CommitmentStatus.SUCCESS), None

    def end(self, _event: Event) -> None:
        """Let nobody wait on when the association has ended."""
        self._queue.put(None)

    def wait(self, seconds: float) -> CommitmentReport | None:
        """Return the report, or None when the time is over or the association has ended."""
        try:
            return self._queue.get(timeout=seconds)
        except queue.Empty:
            return None


class AskingAssociation(RequestingAssociation):
    """An open association on which a destination is asked. Made by `associate_to_ask`."""

    def __init__(self, association: Association, remote: Remote, reports: _Reports) -> None:
        super().__init__(association, remote)
        self._reports = reports

    @property
    def offers_commitment(self) -> bool:
        """Whether the peer accepted the Storage Commitment Push Model."""
        return self._accepts(STORAGE_COMMITMENT)

    @property
    def offers_find(self) -> bool:
        """Whether the peer accepted queries of the Study Root."""
        return self._accepts(STUDY_ROOT_FIND)

    def request_commitment(self, request: CommitmentRequest) -> Meaning:
        """Ask the peer to commit itself (N-ACTION); return what its answer to the request means.

        Raises
        ------
        DestinationUnavailable
            The association ended before the answer.
        """
        self._reports.transaction_uid = request.transaction_uid
        answer, _ = self._ready().send_n_action(
            request_data_set(request),
            REQUEST,
            STORAGE_COMMITMENT,
            STORAGE_COMMITMENT_INSTANCE,
            msg_id=self._next(),
        )
        return request_meaning_of(self._status(answer, "N-ACTION"))

    def await_report(self, *, seconds: float) -> CommitmentReport | None:
        """Return the peer's report of the request, or None when it does not come on this association.

        Parameters
        ----------
        seconds : float
            How long to wait.
        """
        return self._reports.wait(seconds)

    def look_for(self, wanted: Sequence[Wanted]) -> Found:
        """Look for objects by C-FIND at the IMAGE level, each by its unique keys (PS3.4 C.4.1.2).

        What is not shown so is looked for in the list of all instances of its series: some archives match
        SOP Instance UID in no other way.

        Raises
        ------
        DestinationUnavailable
            The association ended before the answer.
        DestinationRefused
            The peer answers with more matches than there can be.
        """
        present: set[str] = set()
        answered: set[str] = set()
        problem: Meaning | None = None
        for item in wanted:
            shown, failure = self._query(item, item.sop_instance_uid)
            if failure is None:
                answered.add(item.sop_instance_uid)
            present |= shown & {item.sop_instance_uid}
            problem = failure or problem
        for item, rest in _by_series(wanted, present):
            shown, failure = self._query(item, "")
            if failure is None:
                answered |= rest
            present |= shown & rest
            problem = failure or problem
        unknown = {item.sop_instance_uid for item in wanted} - present - answered
        return Found(present=frozenset(present), unknown=frozenset(unknown), problem=problem)

    def _query(self, item: Wanted, sop_instance_uid: str) -> tuple[set[str], Meaning | None]:
        """Return which instances of the item's series are shown, and what went wrong, if anything did."""
        identifier = Dataset()
        identifier.QueryRetrieveLevel = "IMAGE"
        identifier.StudyInstanceUID = item.study_instance_uid
        identifier.SeriesInstanceUID = item.series_instance_uid
        identifier.SOPInstanceUID = sop_instance_uid
        shown: set[str] = set()
        answers = self._ready().send_c_find(identifier, STUDY_ROOT_FIND, msg_id=self._next())
        for count, (answer, match) in enumerate(answers):
            status = self._status(answer, "C-FIND")
            if status not in PENDING:
                meaning = query_meaning_of(status)
                return shown, None if meaning.delivered else meaning
            if count == MAX_MATCHES:
                raise DestinationRefused(f"{self._remote} answers C-FIND with over {MAX_MATCHES} matches")
            shown.add(str(match.get("SOPInstanceUID", "")) if match is not None else "")
        raise DestinationUnavailable(f"{self._remote} did not end its answer to C-FIND")


@contextmanager
def associate_to_ask(
    remote: Remote, *, calling_ae_title: str, timeouts: Timeouts, commitment: bool, find: bool
) -> Iterator[AskingAssociation]:
    """Open an association on which a destination is asked; it is released at the end.

    Verification is proposed too, so that a peer that offers none of the services has something to accept.

    Parameters
    ----------
    remote : Remote
        Who is called.
    calling_ae_title : str
        Own AE title.
    timeouts : Timeouts
        How long to wait.
    commitment, find : bool
        Which services are proposed.

    Raises
    ------
    DestinationUnavailable
        There is no association.
    DestinationRefused
        The peer accepted no presentation context at all.
    """
    reports = _Reports()
    handlers: list[EventHandlerType] = [
        (evt.EVT_N_EVENT_REPORT, reports.take),
        (evt.EVT_RELEASED, reports.end),
        (evt.EVT_ABORTED, reports.end),
    ]
    contexts = _contexts(commitment=commitment, find=find)
    with open_association(remote, calling_ae_title, contexts, timeouts, handlers) as association:
        yield AskingAssociation(association, remote, reports)


def _contexts(*, commitment: bool, find: bool) -> list[PresentationContext]:
    wanted = [(STORAGE_COMMITMENT, commitment), (STUDY_ROOT_FIND, find), (Verification, True)]
    return [build_context(uid, list(CONVERTIBLE)) for uid, is_wanted in wanted if is_wanted]


def _by_series(wanted: Sequence[Wanted], present: set[str]) -> Iterator[tuple[Wanted, set[str]]]:
    """Yield, for each series with objects that are not present, one of them and all their UIDs."""
    missing: dict[tuple[str, str], list[Wanted]] = {}
    for item in wanted:
        if item.sop_instance_uid not in present:
            missing.setdefault((item.study_instance_uid, item.series_instance_uid), []).append(item)
    for items in missing.values():
        yield items[0], {item.sop_instance_uid for item in items}
