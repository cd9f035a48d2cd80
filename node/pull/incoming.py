"""Objects that this node asked for go where those go that peers send by themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from node.dimse.admission import Caller
from node.dimse.services import AffectedInstance, ObjectSink, StorageServices
from node.domain.errors import StoreError
from node.domain.study import AssociationEnd


class IncomingObjects:
    """What comes from one archive.

    Parameters
    ----------
    services : StorageServices
        Where objects go.
    caller : Caller
        As whom the archive is known for them.
    """

    def __init__(self, services: StorageServices, caller: Caller) -> None:
        self._services = services
        self._caller = caller

    @contextmanager
    def association(self, study_instance_uid: str) -> Iterator[Callable[[AffectedInstance], ObjectSink]]:
        """Yield what opens a sink for an object; a series waits for its verdict until this ends.

        Parameters
        ----------
        study_instance_uid : str
            What was asked for: an object of another study is refused.
        """
        number = self._services.opened(self._caller)

        def open_sink(affected: AffectedInstance) -> ObjectSink:
            asked = replace(affected, study_instance_uid=study_instance_uid)
            return self._services.receive(asked, caller=self._caller, association_id=number)

        try:
            yield open_sink
        except BaseException:
            self._services.closed(number, AssociationEnd.ABORTED)
            raise
        self._services.closed(number, AssociationEnd.RELEASED)


class NothingComes:
    """The storage of who only searches. Implements `StorageServices`."""

    def opened(self, caller: Caller) -> int:  # noqa: ARG002 - the port's
        """Refuse.

        Raises
        ------
        StoreError
        """
        raise StoreError("nothing is fetched here; let the running node do it")

    def closed(self, association_id: int, end: AssociationEnd) -> None:
        """Nothing was opened."""

    def refused(self, caller: Caller, reason: str) -> None:
        """Nobody calls."""

    def receive(self, affected: AffectedInstance, *, caller: Caller, association_id: int) -> ObjectSink:  # noqa: ARG002 - the port's
        """Refuse.

        Raises
        ------
        StoreError
        """
        raise StoreError("nothing is fetched here; let the running node do it")
