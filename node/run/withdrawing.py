"""The rejection notes of withdrawn results: one for each version, made from the row that withdrew it.

A note is made whatever came after the withdrawal. A stop at any point leaves the row as it was, and the next
tick makes the same note again, byte for byte: it states the time of the withdrawal, not its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import tzinfo

from node.dicom.read import read_dataset
from node.domain.errors import GroundglassError
from node.domain.result import ResultObject
from node.report.rejection import RejectionRequest, build_rejection
from node.report.request import Producer
from node.run.results import store_objects
from node.store.store import Store
from node.store.withdrawals import Withdrawn

log = logging.getLogger(__name__)


class Withdrawing:
    """Makes the rejection notes that are to be made.

    Parameters
    ----------
    store : Store
    producer : Producer
        What the notes say of this node.
    zone : tzinfo
        In which a note states its times where the withdrawn objects name no zone.
    made : callable
        Is called after notes were put on their way.
    """

    def __init__(self, store: Store, *, producer: Producer, zone: tzinfo, made: Callable[[], object]) -> None:
        self._store = store
        self._producer = producer
        self._zone = zone
        self._made = made
        self._told: set[int] = set()

    def run_once(self) -> int:
        """Make every note that is due; return how many were put on their way.

        One that cannot be made is logged once and tried again with each tick; it does not stop the others.
        """
        count = 0
        for item in self._store.withdrawals.to_note():
            try:
                count += self._note(item)
            except Exception as error:  # noqa: BLE001 -- whatever it is, the others are made
                self._tell(item, error)
        if count:
            self._made()
        return count

    def _note(self, item: Withdrawn) -> bool:
        note = self._build(item) if item.destinations else None
        written = self._store.withdrawals.noted(item.id, note)
        return written and note is not None

    def _tell(self, item: Withdrawn, error: Exception) -> None:
        if item.id in self._told:
            return
        self._told.add(item.id)
        unexpected = None if isinstance(error, GroundglassError) else error
        log.error(
            "the rejection note of withdrawal %d cannot be made: %s", item.id, error, exc_info=unexpected
        )

    def _build(self, item: Withdrawn) -> ResultObject:
        path = self._store.files.path
        built = build_rejection(
            RejectionRequest(
                withdrawn=[read_dataset(path(made.object_key)) for made in item.objects],
                title=item.title,
                reason=item.reason,
                version=item.version,
                model=item.model,
                made_at=item.at.astimezone(self._zone),
                producer=self._producer,
            )
        )
        (stored,) = store_objects(self._store.files, [built])
        return stored
