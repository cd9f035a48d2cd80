"""Associations that this node opens: C-ECHO and C-STORE as a service class user.

Data sets go out as they lie in their files. Only when the peer did not accept the transfer syntax of one is
it given in another, without loss.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pynetdicom._globals import DEFAULT_MAX_LENGTH
from pynetdicom.presentation import PresentationContext, build_context, build_role
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at import

from node.dicom.pixel_file import IN_PROCESS
from node.dicom.scratch import scratch_file
from node.dicom.transcode import Transcoder, possible
from node.dicom.transfer_syntaxes import TARGETS
from node.dimse.certificates import client_context
from node.dimse.contexts import KINDS_PER_ASSOCIATION, Syntaxes, proposed_contexts
from node.dimse.entity import Entity, Timeouts, application_entity
from node.dimse.reactor import PromptUpperLayer
from node.dimse.sockets import CallingSocket
from node.dimse.status import Meaning, meaning_of
from node.dimse.tls import reason_of
from node.domain.errors import (
    CertificateError,
    DestinationRefused,
    DestinationUnavailable,
    DestinationUntrusted,
    DicomError,
    NotDicom,
)
from node.domain.network import TlsCall

if TYPE_CHECKING:
    from ssl import SSLContext

    from pynetdicom.association import Association
    from pynetdicom.events import EventHandlerType

logger = logging.getLogger(__name__)

MESSAGE_IDS = 65535  # MessageID (0000,0110) is US
TLS_ADVICE = "see ca_file, client_certificate and check_host_name of its entry, and what it asks for"
SLOWEST_LINE = 32 * 1024
"""Bytes a second: the response to an object is waited for as long as its last bytes may take to go out."""
MOST_ON_THE_WAY = 1 << 23
"""Bytes that wait for the line when the last one is handed over; of this node and in the system's buffers."""


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A peer to call."""

    ae_title: str
    host: str
    port: int
    tls: TlsCall | None = None
    """None: without TLS."""

    def __str__(self) -> str:
        return f"{self.ae_title} at {self.host}:{self.port}"


@dataclass(frozen=True, kw_only=True)
class StoredInstance:
    """A PS3.10 file to be sent, with what its File Meta Information says."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str

    @property
    def syntaxes(self) -> Syntaxes:
        """Return what must be negotiated for it."""
        return Syntaxes(sop_class_uid=self.sop_class_uid, transfer_syntax_uid=self.transfer_syntax_uid)


class StorageAssociation:
    """An open association on which objects are sent, one after the other.

    Made by `associate`.
    """

    def __init__(self, association: Association, remote: Remote, scratch: Path | None = None) -> None:
        self._association = association
        self._remote = remote
        self._scratch = scratch
        self._sent = 0
        self._dimse_seconds = association.dimse_timeout or 0.0

    def send(self, instance: StoredInstance) -> Meaning:
        """Send one object and return what the peer's answer means.

        Raises
        ------
        DestinationRefused
            The peer accepted no presentation context for it.
        DestinationUnavailable
            The association ended before the answer.
        """
        with self._content(instance) as path:
            return self._send(path)

    def _send(self, path: Path) -> Meaning:
        if not self._association.is_established:
            raise DestinationUnavailable(f"{self._remote} closed the association; the object is sent again")
        message_id = self._sent % MESSAGE_IDS + 1
        self._sent += 1
        # The library counts from when the last byte is handed over; its own reactors take all at once.
        size = path.stat().st_size
        bounded = isinstance(self._association.dul, PromptUpperLayer)
        late = min(size, MOST_ON_THE_WAY) if bounded else size
        self._association.dimse_timeout = self._dimse_seconds + late / SLOWEST_LINE
        answer = self._association.send_c_store(path, msg_id=message_id)
        silence = f"{self._remote} gave no answer to a C-STORE; the object is sent again"
        return meaning_of(status_of(self._association, answer, silence))

    def _content(self, instance: StoredInstance) -> AbstractContextManager[Path]:
        """Return the file as it lies, or transcoded when the peer takes only another transfer syntax."""
        accepted = {
            str(context.transfer_syntax[0])
            for context in self._association.accepted_contexts
            if context.abstract_syntax == instance.sop_class_uid
        }
        if instance.transfer_syntax_uid in accepted:
            return nullcontext(instance.path)
        for wanted in TARGETS:
            if wanted in accepted and possible(instance.transfer_syntax_uid, wanted):
                return _transcoded(instance.path, wanted, self._scratch)
        raise DestinationRefused(
            f"{self._remote} accepts no {instance.sop_class_uid} in {instance.transfer_syntax_uid}; "
            "enable this SOP class and transfer syntax there"
        )


@contextmanager
def _transcoded(path: Path, wanted: str, scratch: Path | None) -> Iterator[Path]:
    """Lend a file in another transfer syntax.

    The codecs run within this process: what is sent here is the node's own, or of who runs the command.

    Raises
    ------
    DestinationRefused
        It cannot be transcoded without loss.
    """
    with scratch_file(scratch) as file:
        try:
            file.writelines(Transcoder(IN_PROCESS).part10(path, wanted))
        except DicomError as error:
            raise DestinationRefused(
                f"the destination takes only other transfer syntaxes: {error}"
            ) from error
        file.flush()
        yield Path(file.name)


class RequestingAssociation:
    """An open association on which a peer is asked, one request after the other.

    Parameters
    ----------
    association : Association
        Established.
    remote : Remote
        Who is asked.
    """

    def __init__(self, association: Association, remote: Remote) -> None:
        self._association = association
        self._remote = remote
        self._asked = 0

    def _accepts(self, abstract_syntax: str) -> bool:
        """Whether the peer serves a SOP class on this association."""
        return any(
            context.abstract_syntax == abstract_syntax and context.as_scu
            for context in self._association.accepted_contexts
        )

    def _ready(self) -> Association:
        if not self._association.is_established:
            raise DestinationUnavailable(f"{self._remote} closed the association; it is asked again")
        return self._association

    def _next(self) -> int:
        """Return the next message ID."""
        self._asked += 1
        return self._asked

    def _status(self, answer: Dataset, service: str) -> int:
        silence = f"{self._remote} gave no answer to {service}; it is asked again"
        return status_of(self._association, answer, silence)


@contextmanager
def associate(
    remote: Remote,
    *,
    calling_ae_title: str,
    needed: Iterable[Syntaxes],
    timeouts: Timeouts,
    scratch: Path | None = None,
) -> Iterator[StorageAssociation]:
    """Open an association for objects to be sent; it is released at the end, or aborted after an exception.

    Parameters
    ----------
    remote : Remote
        Who is called.
    calling_ae_title : str
        Own AE title.
    needed : iterable of Syntaxes
        What the objects need.
    timeouts : Timeouts
        How long to wait.
    scratch : Path, optional
        Folder for what is transcoded; by default the system's.

    Raises
    ------
    DestinationUnavailable
        There is no association.
    DestinationRefused
        The peer accepted no presentation context at all.
    """
    with open_association(remote, calling_ae_title, proposed_contexts(needed), timeouts) as association:
        yield StorageAssociation(association, remote, scratch)


def echo(remote: Remote, *, calling_ae_title: str, timeouts: Timeouts) -> None:
    """Verify that a peer answers (C-ECHO, PS3.4 annex A).

    Raises
    ------
    DestinationUnavailable, DestinationRefused
    """
    with open_association(remote, calling_ae_title, [build_context(Verification)], timeouts) as association:
        answer = association.send_c_echo()
        status = status_of(association, answer, f"{remote} gave no answer to C-ECHO")
        if status != 0x0000:  # PS3.7 9.1.5.1.4
            raise DestinationRefused(f"{remote} answered C-ECHO with {status:04X}H")


def status_of(association: Association, answer: Dataset, silence: str) -> int:
    """Return the Status (0000,0900) of a response; an association without one is aborted.

    Raises
    ------
    DestinationUnavailable
        There is no response; ``silence`` says so.
    """
    if "Status" not in answer:
        # The library notices a peer's abort a moment later; until then it would wait for another answer.
        association.abort()
        raise DestinationUnavailable(silence)
    return int(answer.Status)


def read_instance(path: Path) -> StoredInstance:
    """Read what must be known of a PS3.10 file to send it.

    Raises
    ------
    NotDicom
        When it has no File Meta Information, or one that does not identify the object.
    """
    try:
        meta = read_file_meta_info(path)
        return StoredInstance(
            path=path,
            sop_class_uid=str(meta.MediaStorageSOPClassUID),
            sop_instance_uid=str(meta.MediaStorageSOPInstanceUID),
            transfer_syntax_uid=str(meta.TransferSyntaxUID),
        )
    except (InvalidDicomError, AttributeError, ValueError, EOFError) as error:
        raise NotDicom(f"{path.name} is not a DICOM file with File Meta Information (PS3.10 7.1)") from error


def batches(instances: Iterable[StoredInstance]) -> Iterator[list[StoredInstance]]:
    """Split instances, in order, so that the presentation contexts of a batch fit one association."""
    batch: list[StoredInstance] = []
    kinds: set[Syntaxes] = set()
    for instance in instances:
        if instance.syntaxes not in kinds and len(kinds) == KINDS_PER_ASSOCIATION:
            yield batch
            batch, kinds = [], set()
        batch.append(instance)
        kinds.add(instance.syntaxes)
    if batch:
        yield batch


@contextmanager
def open_association(
    remote: Remote,
    calling_ae_title: str,
    contexts: list[PresentationContext],
    timeouts: Timeouts,
    handlers: Sequence[EventHandlerType] = (),
    *,
    entity: Entity | None = None,
    roles: Iterable[str] = (),
) -> Iterator[Association]:
    """Open an association; it is released at the end, or aborted after an exception.

    Parameters
    ----------
    remote : Remote
        Who is called.
    calling_ae_title : str
        Own AE title.
    contexts : list of PresentationContext
        What is proposed.
    timeouts : Timeouts
        How long to wait.
    handlers : sequence of (event, callable)
        What the peer may ask here meanwhile.
    entity : Entity, optional
        By default one that takes nothing but answers.
    roles : iterable of str
        SOP classes of which the peer may send objects on this association (PS3.7 D.3.3.4).

    Raises
    ------
    DestinationUnavailable
        There is no association; as `DestinationUntrusted`, for want of TLS.
    DestinationRefused
        The peer accepted no presentation context at all.
    """
    entity = entity or application_entity(calling_ae_title, timeouts=timeouts)
    takes = list(roles)
    try:
        association = entity.associate(
            remote.host,
            remote.port,
            contexts=contexts,
            ae_title=remote.ae_title,
            evt_handlers=list(handlers),
            max_pdu=entity.maximum_pdu_size if takes else DEFAULT_MAX_LENGTH,
            ext_neg=[build_role(uid, scp_role=True) for uid in takes],
            tls_args=_tls_of(remote),
        )
    except (OSError, UnicodeError) as error:
        raise DestinationUnavailable(
            f"{remote} has no address; check its host and the name service"
        ) from error
    _require_established(association, remote)
    try:
        yield association
    except BaseException:
        association.abort()
        raise
    association.release()


def _tls_of(remote: Remote) -> tuple[SSLContext, str] | None:
    """Return how a peer is called over TLS, and under which name; certificates are read now."""
    if remote.tls is None:
        return None
    try:
        return client_context(remote.tls), remote.host
    except CertificateError as error:
        raise DestinationUntrusted(f"{remote} cannot be called over TLS: {error}") from error


def _require_established(association: Association, remote: Remote) -> None:
    if association.is_established:
        return
    answer = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        raise DestinationUnavailable(
            f"{remote} rejected the association: {answer.reason_str}; check the AE titles and addresses there"
        )
    if association.rejected_contexts:
        raise DestinationRefused(
            f"{remote} accepted none of the proposed presentation contexts; enable these SOP classes there"
        )
    place = association.dul.socket
    if isinstance(place, CallingSocket) and place.untrusted is not None:
        raise DestinationUntrusted(f"no TLS with {remote}: {reason_of(place.untrusted)}; {TLS_ADVICE}")
    raise DestinationUnavailable(f"{remote} does not answer; check host, port and whether it is running")
