"""One destination that takes result objects by C-STORE, and is asked whether it has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from node.deliver.dicom_proof import prove_on, unprovable
from node.dimse.asking import associate_to_ask
from node.dimse.entity import Timeouts
from node.dimse.scu import Remote, StorageAssociation, StoredInstance, associate, echo, read_instance
from node.domain.delivery import OutgoingObject, ProofReply, SendReply
from node.domain.errors import DestinationRefused, DestinationUnavailable, NotDicom
from node.domain.network import DicomDestination, Proof

REPORT_SECONDS = 2.0
"""How long a report of storage commitment is waited for on the association of its request."""


class DicomSender:
    """A destination of the settings.

    Parameters
    ----------
    destination : Destination
        Who takes the objects.
    calling_ae_title : str
        Own AE title.
    timeouts : Timeouts
        How long to wait for it.
    report_seconds : float
        How long a report of storage commitment is waited for on the association of its request; later it
        comes on one that the destination opens.
    scratch : Path, optional
        Folder for what is transcoded; by default the system's.
    """

    def __init__(
        self,
        destination: DicomDestination,
        *,
        calling_ae_title: str,
        timeouts: Timeouts,
        report_seconds: float = REPORT_SECONDS,
        scratch: Path | None = None,
    ) -> None:
        self._name = destination.name
        self._remote = Remote(
            ae_title=destination.ae_title,
            host=destination.host,
            port=destination.port,
            tls=destination.tls,
        )
        self._proof = destination.proof
        self._calling_ae_title = calling_ae_title
        self._timeouts = timeouts
        self._report_seconds = report_seconds
        self._scratch = scratch

    @property
    def name(self) -> str:
        """Return the destination's name in the settings."""
        return self._name

    def send(
        self, objects: Sequence[OutgoingObject], *, may_leave: Callable[[OutgoingObject], bool]
    ) -> list[SendReply]:
        """Send objects in one association; one reply, in order, for each that was sent or tried.

        Raises
        ------
        DestinationUnavailable
            Before any object was sent.
        """
        instances = [_instance(item) for item in objects]
        try:
            with associate(
                self._remote,
                calling_ae_title=self._calling_ae_title,
                needed=(instance.syntaxes for instance in instances),
                timeouts=self._timeouts,
                scratch=self._scratch,
            ) as association:
                return list(_send_all(association, objects, instances, may_leave))
        except DestinationRefused as error:
            return [_reply(item, retryable=False, detail=str(error)) for item in objects]

    def prove(
        self, objects: Sequence[OutgoingObject], *, transaction_uid: str, asked: int
    ) -> list[ProofReply]:
        """Ask whether the destination has what it accepted; one reply, in order, for each object.

        By storage commitment (PS3.4 annex J), or by C-FIND with the unique keys of each object; by the
        setting ``auto`` the first time by commitment where it is offered, then by C-FIND.

        Raises
        ------
        DestinationUnavailable
            Nothing could be asked, or there was no answer.
        """
        if self._proof is Proof.NONE:
            return unprovable(objects, "not asked, by the setting proof = none")
        try:
            with associate_to_ask(
                self._remote,
                calling_ae_title=self._calling_ae_title,
                timeouts=self._timeouts,
                commitment=self._proof is not Proof.FIND,
                find=self._proof is not Proof.COMMITMENT,
            ) as association:
                return prove_on(
                    association,
                    objects,
                    wanted=self._proof,
                    transaction_uid=transaction_uid,
                    asked=asked,
                    report_seconds=self._report_seconds,
                )
        except DestinationRefused as error:
            return unprovable(objects, str(error))

    def echo(self) -> None:
        """Verify that the destination answers (C-ECHO).

        Raises
        ------
        DestinationUnavailable, DestinationRefused
        """
        echo(self._remote, calling_ae_title=self._calling_ae_title, timeouts=self._timeouts)


def _send_all(
    association: StorageAssociation,
    objects: Sequence[OutgoingObject],
    instances: Sequence[StoredInstance],
    may_leave: Callable[[OutgoingObject], bool],
) -> Iterator[SendReply]:
    """Send one after the other; what one meets does not concern the next, but for the association's end.

    What was not tried gets no reply: it has used up no attempt, and goes before the object that met the end.
    """
    for item, instance in zip(objects, instances, strict=True):
        if not may_leave(item):
            continue
        try:
            _require_whole(instance)
            meaning = association.send(instance)
        except OSError as error:
            yield _reply(item, retryable=True, detail=f"its file cannot be read: {error.strerror}")
        except (DestinationRefused, NotDicom) as error:
            yield _reply(item, retryable=False, detail=str(error))
        except DestinationUnavailable as error:
            yield _reply(item, retryable=True, detail=str(error))
            return
        else:
            yield SendReply(
                delivery_id=item.delivery_id,
                delivered=meaning.delivered,
                retryable=meaning.retryable,
                detail=meaning.text,
            )


def _require_whole(instance: StoredInstance) -> None:
    """Look at a file before its message is begun, which a damaged one would end in the middle.

    Raises
    ------
    NotDicom
        It is damaged, or another object.
    OSError
        It cannot be read.
    """
    if read_instance(instance.path) != instance:
        raise NotDicom(f"{instance.path.name} is not the object of the index; restore it from a backup")


def _instance(item: OutgoingObject) -> StoredInstance:
    return StoredInstance(
        path=item.path,
        sop_class_uid=item.sop_class_uid,
        sop_instance_uid=item.sop_instance_uid,
        transfer_syntax_uid=item.transfer_syntax_uid,
    )


def _reply(item: OutgoingObject, *, retryable: bool, detail: str) -> SendReply:
    return SendReply(delivery_id=item.delivery_id, delivered=False, retryable=retryable, detail=detail)
