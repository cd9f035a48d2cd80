"""One destination that takes result objects by STOW-RS."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Final

from node.deliver.multipart import multipart
from node.deliver.one_by_one import send_one_by_one
from node.deliver.stow_answers import is_list, names, stored
from node.dicom.pixel_file import IN_PROCESS
from node.dicom.scratch import scratch_file
from node.dicom.transcode import Transcoder
from node.dicom.transfer_syntaxes import DEFLATED_LITTLE_ENDIAN, EXPLICIT_LITTLE_ENDIAN
from node.domain.delivery import OutgoingObject, ProofReply, ProofStanding, SendReply
from node.domain.errors import DestinationRefused, DestinationUnavailable, DicomError
from node.domain.identity import derived_uid, is_valid_uid
from node.domain.network import Proof, StowDestination
from node.domain.ports import Clock
from node.http.credentials import SecretReader
from node.http.session import Answer, HttpSession, http_session

JSON: Final = {"Accept": "application/dicom+json"}
NOT_OFFERED: Final = frozenset({403, 404, 405, 410})
"""By these a server without QIDO-RS or WADO-RS, or one that forbids them, answers a search."""


class StowSender:
    """A DICOMweb server of the settings.

    Each object is a request of its own: a stop holds at once, and an object that the server does not like
    hinders no other one.

    Parameters
    ----------
    destination : StowDestination
    clock : Clock
    secrets : SecretReader
    scratch : Path, optional
        Folder for what is inflated; by default the system's.
    """

    def __init__(
        self,
        destination: StowDestination,
        *,
        clock: Clock,
        secrets: SecretReader,
        scratch: Path | None = None,
    ) -> None:
        self._scratch = scratch
        self._destination = destination
        self._clock = clock
        self._secrets = secrets

    @property
    def name(self) -> str:
        """Return the destination's name in the settings."""
        return self._destination.name

    def send(
        self, objects: Sequence[OutgoingObject], *, may_leave: Callable[[OutgoingObject], bool]
    ) -> list[SendReply]:
        """Send objects over one connection; one reply, in order, for each that was sent or tried.

        Raises
        ------
        DestinationUnavailable
            Before any object was sent.
        """
        with self._session() as http:
            return send_one_by_one(objects, partial(_send_one, http, self._scratch), may_leave=may_leave)

    def prove(
        self, objects: Sequence[OutgoingObject], *, transaction_uid: str, asked: int
    ) -> list[ProofReply]:
        """Look whether the server has what it accepted: by QIDO-RS, and where it finds nothing by WADO-RS.

        Raises
        ------
        DestinationUnavailable
            Nothing could be asked.
        """
        del transaction_uid, asked
        if self._destination.proof is Proof.NONE:
            return [ProofReply.unprovable(item, "the settings ask for no proof") for item in objects]
        with self._session() as http:
            return list(_look_for_all(http, objects))

    def echo(self) -> None:
        """Verify that a DICOMweb server answers, by a search for an instance that nobody has.

        A server that searches nothing is sent a request to store without any instance.

        Raises
        ------
        DestinationUnavailable, DestinationRefused
        """
        nobody = derived_uid("nobody")
        with self._session() as http:
            answer = http.call(
                "GET", f"/instances?SOPInstanceUID={nobody}&limit=1", headers=JSON, expected=NOT_OFFERED
            )
            if is_list(answer):
                return
            body = multipart(None, nobody)
            answer = http.call("POST", "/studies", headers={**body.headers(), **JSON}, content=body.content())
        if answer.retryable:
            raise DestinationRefused(f"{answer.text}: correct `url`, or see the server's log")

    def _session(self) -> AbstractContextManager[HttpSession]:
        return http_session(self._destination.access, clock=self._clock, secrets=self._secrets)


def _send_one(http: HttpSession, scratch: Path | None, item: OutgoingObject) -> SendReply:
    """Send one object (PS3.18 section 10.5.1), as it lies.

    A server must take Explicit VR Little Endian (PS3.18 section 8.7.3), and need not take what is deflated:
    where it did not, the object is sent again inflated.
    """
    try:
        reply = _send_file(http, item, item.path)
        if not reply.delivered and item.transfer_syntax_uid == DEFLATED_LITTLE_ENDIAN:
            with scratch_file(scratch) as file:
                file.writelines(Transcoder(IN_PROCESS).part10(item.path, EXPLICIT_LITTLE_ENDIAN))
                file.flush()
                reply = _send_file(http, item, Path(file.name))
    except (OSError, DicomError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        return SendReply(
            delivery_id=item.delivery_id,
            delivered=False,
            retryable=True,
            detail=f"its file cannot be read: {reason}",
        )
    return reply


def _send_file(http: HttpSession, item: OutgoingObject, path: Path) -> SendReply:
    """Send a file part by part."""
    body = multipart(path, item.sop_instance_uid)
    answer = http.call("POST", "/studies", headers={**body.headers(), **JSON}, content=body.content())
    return stored(answer, item.delivery_id, item.sop_instance_uid)


def _look_for_all(http: HttpSession, objects: Sequence[OutgoingObject]) -> Iterator[ProofReply]:
    """Look for one after the other; what was found counts, though the server is lost later."""
    lost = ""
    for number, item in enumerate(objects):
        if not lost:
            try:
                yield _look_for(http, item)
                continue
            except DestinationUnavailable as error:
                if number == 0:
                    raise
                lost = str(error)
        yield ProofReply.about(item, ProofStanding.ASKED, "", lost)


def _look_for(http: HttpSession, item: OutgoingObject) -> ProofReply:
    if not (is_valid_uid(item.study_instance_uid) and is_valid_uid(item.series_instance_uid)):
        return ProofReply.unprovable(item, "its study's UID is malformed, so nothing can be looked for")
    series = f"/studies/{item.study_instance_uid}/series/{item.series_instance_uid}/instances"
    found = http.call(
        "GET", f"{series}?SOPInstanceUID={item.sop_instance_uid}", headers=JSON, expected=NOT_OFFERED
    )
    if names(found, item.sop_instance_uid):
        return ProofReply.about(item, ProofStanding.PROVEN, "QIDO-RS", "found there")
    described = http.call(
        "GET", f"{series}/{item.sop_instance_uid}/metadata", headers=JSON, expected=NOT_OFFERED
    )
    if names(described, item.sop_instance_uid):
        return ProofReply.about(item, ProofStanding.PROVEN, "WADO-RS", "its metadata were read back")
    return _absent(item, found, described)


def _absent(item: OutgoingObject, found: Answer, described: Answer) -> ProofReply:
    """Return what it means that neither answer shows the object."""
    if found.retryable or described.retryable:
        return ProofReply.about(item, ProofStanding.ASKED, "", f"{found.text}; {described.text}")
    if not is_list(found):
        return ProofReply.unprovable(
            item, f"neither QIDO-RS ({found.text}) nor WADO-RS ({described.text}) tells"
        )
    return ProofReply.about(item, ProofStanding.MISSING, "QIDO-RS", "not found there")
