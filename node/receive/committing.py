"""Storage commitment of this node: requests taken at once, decided on and reported in their time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from node.decide.commitment import Decision, Step, decide
from node.dimse.admission import Caller
from node.dimse.asking import associate_to_ask
from node.dimse.commitment import CommitmentReport, CommitmentRequest, FailedInstance, ReferencedInstance
from node.dimse.entity import Timeouts
from node.dimse.reporting import report_commitment
from node.dimse.scu import Remote
from node.domain.commitment import (
    COMMITTED,
    AskedInstance,
    CommitmentWaits,
    Ground,
    InstanceFacts,
    OpenRequest,
    RequestEvent,
    RequestState,
)
from node.domain.errors import DeliveryError, DestinationRefused
from node.domain.ports import Clock, UidSource
from node.receive.commitment import take_relayed
from node.receive.verifying import Verifier
from node.store.commitments_asked import LONGEST_PAUSE, CommitmentRecords
from node.store.object_files import LocalObjectFiles

logger = logging.getLogger(__name__)

BATCH = 64
"""Requests looked at in one run at most."""
TURN = 10.0
"""Seconds after which no other request is begun in one run."""
AT_ONCE = 4096
"""Decisions that are written together: others that write wait so long."""
SOONEST = timedelta(seconds=5)
"""Before a request is looked at again, and then after as long as it has been here."""
MOST_DOUBLINGS = 16
REPORT_WAIT = timedelta(minutes=10)
"""Before an archive that has taken a request and not reported on it is asked once more."""
WHILE_ASSOCIATED = timedelta(seconds=60)
"""A report that goes out on the association of the request is not sent on another one meanwhile."""


@dataclass(frozen=True, kw_only=True)
class Requester:
    """A peer that asks for commitment, and where it takes reports."""

    ae_title: str
    remote: Remote | None
    """None where it takes them on the association of the request alone."""
    same_association: bool
    """Whether it waits for the report there."""


@dataclass(frozen=True, kw_only=True)
class Archive:
    """Who is asked in turn to commit itself."""

    name: str
    """Of the destination in the settings."""
    remote: Remote
    report_seconds: float
    """How long its report is waited for on the association of the request."""


@dataclass(frozen=True, kw_only=True)
class Calling:
    """How this node calls others."""

    ae_title: str
    timeouts: Timeouts


@dataclass(frozen=True, kw_only=True)
class _Planned:
    """What is to be done about one instance."""

    facts: InstanceFacts
    decision: Decision

    @property
    def uid(self) -> str:
        return self.facts.asked.sop_instance_uid


class Committing:
    """Decides on what peers ask this node to keep, and tells them.

    Every step is written down before the next one: after a crash it goes on where it was. What it was reading
    it reads again; what it had reported and not noted it reports again, which changes nothing for the peer.

    Parameters
    ----------
    records : CommitmentRecords
    files : LocalObjectFiles
    clock : Clock
    uids : UidSource
        Of the transactions with the archive.
    calling : Calling
    archive : Archive or None
        Who commits itself first; without one, this node's own promise to remove nothing is the ground.
    requesters : iterable of Requester
        Who takes reports where; whoever is not named takes them on the association of the request.
    waits : CommitmentWaits
    """

    def __init__(
        self,
        *,
        records: CommitmentRecords,
        files: LocalObjectFiles,
        clock: Clock,
        uids: UidSource,
        calling: Calling,
        archive: Archive | None,
        requesters: Iterable[Requester],
        waits: CommitmentWaits,
    ) -> None:
        self._records = records
        self._verifier = Verifier(records=records, files=files, clock=clock)
        self._clock = clock
        self._uids = uids
        self._calling = calling
        self._archive = archive
        self._requesters = {item.ae_title: item for item in requesters}
        self._waits = waits
        self._reports_first = False
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Let whatever runs end soon; what is undecided is taken up by who looks at it next."""
        self._stopped.set()

    def requested(self, request: CommitmentRequest, *, caller: Caller) -> None:
        """Take a request; it is on disk when this returns. Implements ``CommitmentProvider``.

        Raises
        ------
        TransactionInUse, TooManyRequests, StoreError
        """
        asked = [
            AskedInstance(sop_class_uid=item.sop_class_uid, sop_instance_uid=item.sop_instance_uid)
            for item in request.references
        ]
        self._records.ask(request.transaction_uid, caller.calling_ae_title, asked)
        logger.info("%s asks for the commitment of %d instances", caller.calling_ae_title, len(asked))

    def report_now(
        self, request: CommitmentRequest, *, caller: Caller, waits: Callable[[], bool]
    ) -> CommitmentReport | None:
        """Return the report of a request, where the caller waits for it and everything is decided.

        Raises
        ------
        StoreError
        """
        if not self._requester(caller.calling_ae_title).same_association:
            return None
        number = self._records.number(request.transaction_uid, caller.calling_ae_title)
        open_request = self._records.get(number)
        left = True
        while left and self._goes_on() and waits():
            self._records.wait(number, self._clock.now() + WHILE_ASSOCIATED)  # left alone by the tick
            left = self.look_at(open_request, set(), goes_on=waits)
        report = self._report(open_request)
        if report is not None:
            self._records.wait(number, self._clock.now() + WHILE_ASSOCIATED)
        elif left:
            self._records.wait(number, self._clock.now())
        return report

    def reported(self, report: CommitmentReport, *, caller: Caller) -> None:
        """Take note of a report that was acknowledged on the association of its request.

        Raises
        ------
        StoreError
        """
        number = self._records.number(report.transaction_uid, caller.calling_ae_title)
        request = self._records.get(number)
        if self._report(request) == report:  # else it was asked for again meanwhile, and decided otherwise
            self._ended(request, RequestEvent.REPORT, "on the association of the request")

    def run_once(self) -> None:
        """Decide on what is due, and report what is decided; for a tick.

        No request keeps others waiting: one whose files take long to read goes on in a later run, and who
        cannot be reached is called once, for time limits of many calls would add up. Once a run has lasted
        long it begins nothing; where that leaves reports waiting, the next run begins with them.
        """
        unreachable: set[str] = set()
        end = self._clock.monotonic() + TURN
        steps = {RequestState.OPEN: self._look_in_turn, RequestState.DECIDED: self._tell}
        for state in reversed(steps) if self._reports_first else steps:
            self._each(state, partial(steps[state], unreachable=unreachable), until=end)
        self._reports_first = not self._reports_first and self._clock.monotonic() > end

    def _each(self, state: RequestState, step: Callable[[OpenRequest], None], *, until: float) -> None:
        """Take a step with the requests that are due."""
        for request in self._records.due(state, limit=BATCH):
            if not self._goes_on() or self._clock.monotonic() > until:
                return
            try:
                if request.received_at > self._clock.now():
                    self._records.bring_back(request.id)
                else:
                    step(request)
            except Exception:  # one request must not keep every other one waiting, tick after tick
                logger.exception("request for storage commitment %d is looked at again", request.id)
                self._records.wait(request.id, self._clock.now() + self._pause(request))

    def _look_in_turn(self, request: OpenRequest, unreachable: set[str]) -> None:
        if self.look_at(request, unreachable):
            self._records.wait(request.id, self._clock.now())  # behind those that are due

    def _goes_on(self) -> bool:
        return not self._stopped.is_set()

    def look_at(
        self, request: OpenRequest, unreachable: set[str], *, goes_on: Callable[[], bool] = lambda: True
    ) -> bool:
        """Decide on what can be decided of a request now.

        Parameters
        ----------
        request : OpenRequest
        unreachable : set of str
            Names of those that did not answer just now; one that does not is added.
        goes_on : callable
            Whether to go on; asked between any two files.

        Returns
        -------
        bool
            Whether files are left to be read.
        """
        planned = self._planned(request)
        if planned[Step.VERIFY]:
            keys = {item.uid: item.facts.object_key or "" for item in planned[Step.VERIFY]}
            if not self._verifier.verify(request.id, keys, lambda: self._goes_on() and goes_on()):
                return True
            planned = self._planned(request)
        for part in _parts(planned[Step.FAIL]):
            self._records.fail(request.id, {item.uid: item.decision.reason for item in part})
        for part in _parts(planned[Step.COMMIT]):
            self._records.commit(request.id, [item.uid for item in part])
        if planned[Step.RELAY] and self._archive is not None:
            self._relay(request, self._archive, planned[Step.RELAY], unreachable)
        if self._records.state(request.id) is RequestState.OPEN:
            self._records.wait(request.id, self._next_look(request))
        return False

    def _planned(self, request: OpenRequest) -> dict[Step, list[_Planned]]:
        """Return what is to be done about each instance that is not decided on."""
        here = self._clock.now() - request.received_at
        ground = Ground.KEEP if self._archive is None else Ground.RELAY
        planned: dict[Step, list[_Planned]] = {step: [] for step in Step}
        for facts in self._records.undecided(request.id):
            decision = decide(
                facts,
                ground,
                arrival_over=here >= self._waits.arrival,
                relay_over=here >= self._waits.relay,
            )
            planned[decision.step].append(_Planned(facts=facts, decision=decision))
        return planned

    def _relay(
        self, request: OpenRequest, archive: Archive, planned: Sequence[_Planned], unreachable: set[str]
    ) -> None:
        """Ask the archive; its report comes at once, or to the listener, which is waited for."""
        asked_at = self._records.relaying_since(request.id)
        waits = asked_at is not None and timedelta(0) <= self._clock.now() - asked_at < REPORT_WAIT
        if waits or archive.name in unreachable:
            return
        transaction_uid = self._uids.uid()
        references = tuple(_reference(item.facts.asked) for item in planned)
        wanted = CommitmentRequest(transaction_uid=transaction_uid, references=references)
        self._records.relaying(request.id, transaction_uid, archive.name)
        try:
            report = self._ask(archive, wanted)
        except DeliveryError as error:
            logger.warning("%s cannot be asked for a commitment: %s", archive.name, error)
            self._records.not_relayed(transaction_uid)
            unreachable.add(archive.name)
            return
        if report is not None:
            take_relayed(self._records, report, destinations=[archive.name])

    def _ask(self, archive: Archive, wanted: CommitmentRequest) -> CommitmentReport | None:
        with associate_to_ask(
            archive.remote,
            calling_ae_title=self._calling.ae_title,
            timeouts=self._calling.timeouts,
            commitment=True,
            find=False,
        ) as association:
            if not association.offers_commitment:
                raise DestinationRefused(f"{archive.remote} offers no storage commitment; enable it there")
            meaning = association.request_commitment(wanted)
            if not meaning.delivered:
                raise DestinationRefused(f"{archive.remote} answered N-ACTION with {meaning.text}")
            return association.await_report(seconds=archive.report_seconds)

    def _tell(self, request: OpenRequest, unreachable: set[str]) -> None:
        """Report to who has asked; when it does not work, again later."""
        on_its_own = self._requester(request.calling_ae_title).same_association
        report = None if on_its_own and self._just_decided(request) else self._report(request)
        if report is not None:
            self._send(request, report, unreachable)

    def _send(self, request: OpenRequest, report: CommitmentReport, unreachable: set[str]) -> None:
        remote = self._requester(request.calling_ae_title).remote
        if remote is None:
            detail = "it has no address in [[commitment.requesters]], and took no report when it asked"
            self._abandon(request, detail)
            return
        if request.calling_ae_title in unreachable:
            self._records.wait(request.id, self._clock.now() + self._pause(request))
            return
        try:
            report_commitment(
                remote, report, calling_ae_title=self._calling.ae_title, timeouts=self._calling.timeouts
            )
        except DeliveryError as error:
            now = self._clock.now()
            if now - request.received_at >= self._waits.report:
                self._abandon(request, str(error))
                return
            logger.warning("a storage commitment is not reported yet: %s", error)
            self._records.not_reported(request.id, now + self._pause(request), str(error))
            unreachable.add(request.calling_ae_title)
            return
        logger.info(
            "reported to %s: %d instances committed, %d not",
            request.calling_ae_title,
            len(report.committed),
            len(report.failed),
        )
        self._ended(request, RequestEvent.REPORT, "")

    def _just_decided(self, request: OpenRequest) -> bool:
        """Whether the association of a request may be about to report it."""
        return timedelta(0) <= self._clock.now() - request.changed_at < WHILE_ASSOCIATED

    def _pause(self, request: OpenRequest) -> timedelta:
        return min(SOONEST * (1 << min(request.attempts, MOST_DOUBLINGS)), LONGEST_PAUSE)

    def _abandon(self, request: OpenRequest, detail: str) -> None:
        logger.error("%s will not be told of a commitment: %s", request.calling_ae_title, detail)
        self._ended(request, RequestEvent.ABANDON, detail)

    def _ended(self, request: OpenRequest, event: RequestEvent, detail: str) -> None:
        self._records.ended(request.id, event, detail, received_at=request.received_at)

    def _report(self, request: OpenRequest) -> CommitmentReport | None:
        """Return what is to be reported; None while it is not decided, as when it was asked for again."""
        outcomes = self._records.outcomes(request.id)
        if not outcomes:
            return None
        return CommitmentReport(
            transaction_uid=request.transaction_uid,
            committed=tuple(_reference(item) for item, what in outcomes.items() if what == COMMITTED),
            failed=tuple(
                FailedInstance(reference=_reference(item), reason=what)
                for item, what in outcomes.items()
                if what != COMMITTED
            ),
        )

    def _next_look(self, request: OpenRequest) -> datetime:
        """Return when to look again: after as long as it has been here, and when a wait is over."""
        now = self._clock.now()
        pause = min(max(now - request.received_at, SOONEST), LONGEST_PAUSE)
        ends = (request.received_at + wait for wait in (self._waits.arrival, self._waits.relay))
        return min([now + pause, *(end for end in ends if end > now)])

    def _requester(self, ae_title: str) -> Requester:
        unnamed = Requester(ae_title=ae_title, remote=None, same_association=True)
        return self._requesters.get(ae_title, unnamed)


def _reference(item: AskedInstance) -> ReferencedInstance:
    return ReferencedInstance(sop_class_uid=item.sop_class_uid, sop_instance_uid=item.sop_instance_uid)


def _parts(planned: Sequence[_Planned]) -> Iterator[Sequence[_Planned]]:
    for first in range(0, len(planned), AT_ONCE):
        yield planned[first : first + AT_ONCE]
