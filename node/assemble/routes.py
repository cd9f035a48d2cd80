"""Where a settled study goes."""

from __future__ import annotations

from node.decide.routing import Routing, SeriesSource
from node.domain.job import Assignment
from node.domain.study import Series, Study
from node.store.store import Store


class StudyRouter:
    """Assigns studies to models by what their series say of themselves.

    Parameters
    ----------
    store : Store
    routing : Routing
    """

    def __init__(self, store: Store, routing: Routing) -> None:
        self._store = store
        self._routing = routing

    def assign(self, study: Study) -> tuple[Assignment, ...]:
        """Return which models screen the study."""
        return self._routing.assign([self._source(series) for series in study.series])

    def assign_row(self, study_id: int) -> tuple[Assignment, ...]:
        """Return which models screen the study of a row.

        Raises
        ------
        UnknownSubject
        """
        return self.assign(self._store.studies.by_id(study_id))

    def _source(self, series: Series) -> SeriesSource:
        first = self._store.studies.first_instance(series.id)
        return SeriesSource(
            modality=series.modality,
            body_part_examined="" if first is None else first.header.body_part_examined,
            station_name="" if first is None else first.header.station_name,
            ae_title=series.calling_ae_title,
        )
