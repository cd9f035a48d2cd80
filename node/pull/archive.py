"""What this station needs of an archive, whatever it is spoken to in."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from node.domain.archives import ArchivedInstance, ArchivedSeries, ArchivedStudy, Sought
from node.pull.watch import Watch


class ArchiveSession(Protocol):
    """A connection on which an archive is searched."""

    def studies(self, sought: Sought, *, limit: int) -> list[ArchivedStudy]:
        """Return the studies that match.

        Raises
        ------
        DestinationUnavailable
        DestinationRefused
            The archive says no, or shows more than ``limit``.
        """
        ...

    def series(self, study_instance_uid: str) -> list[ArchivedSeries]:
        """Return the series of a study.

        Raises
        ------
        DestinationUnavailable, DestinationRefused
        """
        ...

    def instances(self, study_instance_uid: str, series_instance_uid: str) -> list[ArchivedInstance]:
        """Return the instances of a series.

        Raises
        ------
        DestinationUnavailable, DestinationRefused
        """
        ...


class ArchiveClient(Protocol):
    """An archive."""

    def session(self, watch: Watch | None = None) -> AbstractContextManager[ArchiveSession]:
        """Open a connection on which it is searched.

        Parameters
        ----------
        watch : Watch, optional
            May break the search off.

        Raises
        ------
        DestinationUnavailable, DestinationRefused
        BrokenOff
        """
        ...

    def retrieve(
        self,
        study_instance_uid: str,
        series_instance_uid: str,
        wanted: Sequence[ArchivedInstance],
        *,
        whole: bool,
        watch: Watch,
    ) -> str:
        """Have instances of a series come into the store.

        Parameters
        ----------
        study_instance_uid, series_instance_uid : str
        wanted : sequence of ArchivedInstance
        whole : bool
            Whether these are all of the series.
        watch : Watch
            May break the retrieval off.

        Returns
        -------
        str
            What the archive answered, in words; which objects came, the store tells.

        Raises
        ------
        DestinationUnavailable, DestinationRefused
        BrokenOff
        """
        ...

    def stop(self) -> None:
        """End what is on its way; called from another thread, once."""
        ...
