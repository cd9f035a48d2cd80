"""Objects that this node asked for go where those go that peers send by themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from node.dimse.admission import Caller
from node.dimse.services import AffectedInstance, ObjectSink, StorageServices
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
    def association(self) -> Iterator[Callable[[AffectedInstance], ObjectSink]]:
        """Yield what opens a sink for an object; a series waits for its verdict until this ends."""
        number = self._services.opened(self._caller)

        def open_sink(affected: AffectedInstance) -> ObjectSink:
            return self._services.receive(affected, caller=self._caller, association_id=number)

        try:
            yield open_sink
        except BaseException:
            self._services.closed(number, AssociationEnd.ABORTED)
            raise
        self._services.closed(number, AssociationEnd.RELEASED)
