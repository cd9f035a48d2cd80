"""Where the studies of the demo stand, read from the index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from node.domain.delivery import Delivery, DeliveryState
from node.domain.job import Screening, ScreeningState
from node.domain.result import Finding
from node.domain.study import Study, StudyState
from node.store.store import Store

MAX_STUDIES = 10_000
OPEN_DELIVERIES = frozenset({DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.SENT})
LOST_DELIVERIES = frozenset({DeliveryState.REFUSED, DeliveryState.WITHHELD})


class Standing(StrEnum):
    """Where one study stands for the demo."""

    RECEIVING = "receiving"
    SCREENING = "screening"
    DELIVERING = "delivering"
    DELIVERED = "delivered"
    NOTHING_TO_SEND = "nothing-to-send"
    """No chest CT: a worklist row, no object."""
    HELD = "held"
    """Waits for an operator."""
    FAILED = "failed"
    """The screening failed."""
    NOT_DELIVERED = "not-delivered"
    """The PACS refused a result."""


SETTLED = frozenset(
    {
        Standing.DELIVERED,
        Standing.NOTHING_TO_SEND,
        Standing.HELD,
        Standing.FAILED,
        Standing.NOT_DELIVERED,
    }
)
BAD = frozenset({Standing.FAILED, Standing.NOT_DELIVERED})


@dataclass(frozen=True, kw_only=True)
class StudyView:
    """One study as it stands now."""

    study: Study
    screening: Screening | None
    """The latest one."""
    finding: Finding | None
    deliveries: tuple[Delivery, ...]

    @property
    def standing(self) -> Standing:
        """Where it stands."""
        return standing(
            self.study.state,
            self.screening.state if self.screening is not None else None,
            [delivery.state for delivery in self.deliveries],
        )


def standing(
    study: StudyState, screening: ScreeningState | None, deliveries: Sequence[DeliveryState]
) -> Standing:
    """Return where a study stands, given its state, its latest screening's and its deliveries'."""
    if study is not StudyState.SETTLED:
        return Standing.HELD if study is StudyState.HELD else Standing.RECEIVING
    if screening is ScreeningState.DONE:
        return _after_screening(deliveries)
    return Standing.FAILED if screening is ScreeningState.FAILED else Standing.SCREENING


def _after_screening(deliveries: Sequence[DeliveryState]) -> Standing:
    if not deliveries:
        return Standing.NOTHING_TO_SEND
    if not OPEN_DELIVERIES.isdisjoint(deliveries):
        return Standing.DELIVERING
    if not LOST_DELIVERIES.isdisjoint(deliveries):
        return Standing.NOT_DELIVERED
    return Standing.DELIVERED


def look(store: Store) -> list[StudyView]:
    """Return every study of the store as it stands now, in the order of arrival."""
    views = []
    for study in store.studies.list(MAX_STUDIES, 0):
        latest = store.screenings.latest(study.id)
        screening, finding = latest if latest is not None else (None, None)
        views.append(
            StudyView(
                study=study,
                screening=screening,
                finding=finding,
                deliveries=tuple(store.outbox.for_study(study.id)),
            )
        )
    return sorted(views, key=lambda view: view.study.id)


def indexed(store: Store, views: Sequence[StudyView]) -> set[str]:
    """Return the SOP Instance UIDs that the node holds, in the index or beside it."""
    held = {
        instance.header.sop_instance_uid
        for view in views
        for series in view.study.series
        for instance in store.studies.instances(series.id)
    }
    return held | {aside.header.sop_instance_uid for aside in store.asides.list()}
