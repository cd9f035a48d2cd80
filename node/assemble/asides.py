"""Objects that came again under a known SOPInstanceUID: compared, concluded, confirmed by an authority."""

from __future__ import annotations

import logging
from datetime import datetime

from node.dicom.compare import Likeness, compare
from node.domain.errors import CodecsUnavailable, DicomError, GroundglassError, ObjectMissing
from node.domain.network import QuietTimes
from node.store.rows import Aside
from node.store.store import Store

LOGGER = logging.getLogger(__name__)


class Comparer:
    """Conclude what lies aside.

    Parameters
    ----------
    store : Store
    authorities : frozenset of str
        AE titles whose corrections are confirmed without an operator.
    """

    def __init__(self, store: Store, authorities: frozenset[str]) -> None:
        self._store = store
        self._authorities = authorities

    def compare_pending(self) -> int:
        """Compare every object that waits for it; return how many were concluded."""
        concluded = 0
        for aside in self._store.asides.to_compare():
            try:
                self._conclude(aside)
                concluded += 1
            except CodecsUnavailable as error:  # it would be the same for the next one
                LOGGER.warning("objects that came again are compared later: %s", error)
                break
            except GroundglassError:
                LOGGER.exception("aside %d could not be concluded", aside.id)
        return concluded

    def _conclude(self, aside: Aside) -> None:
        records, files = self._store.asides, self._store.files
        if aside.existing is None:
            records.unreadable(aside.id, "there is no object in force to compare it with")
            return
        try:
            outcome = compare(
                files.path(aside.existing.object_key), files.path(aside.object_key), self._store.codecs
            )
        except (DicomError, ObjectMissing) as error:
            records.unreadable(aside.id, str(error))
            return
        except CodecsUnavailable:  # says nothing of the object, which waits
            raise
        except Exception as error:  # its study would wait for ever, and its results with it
            LOGGER.exception("aside %d could not be compared", aside.id)
            records.unreadable(aside.id, f"the comparison failed ({type(error).__name__})")
            return
        if outcome.likeness is Likeness.SAME:
            records.same(aside.id)
        elif outcome.likeness is Likeness.CORRECTION:
            records.correction(aside.id, outcome.keywords)
        else:
            LOGGER.warning(
                "another object came under a known UID (aside %d, differs in %s); the first stays in force",
                aside.id,
                ", ".join(outcome.keywords),
            )
            records.other_pixels(aside.id)

    def confirm_by_authority(self, quiet: QuietTimes, now: datetime) -> int:
        """Confirm corrections that came from authorities alone, whole, and are no longer growing.

        A study that is held for any other reason stays with the operator.

        Returns
        -------
        int
            How many studies were released.
        """
        if not self._authorities:
            return 0
        confirmed, settled_since = 0, now - quiet.study
        for study_id in self._store.asides.confirmable(self._authorities, settled_since=settled_since):
            try:
                confirmed += self._store.asides.confirm_by_source(
                    study_id, self._authorities, settled_since=settled_since
                )
            except GroundglassError:
                LOGGER.exception("the correction of study %d could not be confirmed", study_id)
        return confirmed
