"""When a study settles: no series that a model reads is open or growing."""

from __future__ import annotations

from datetime import datetime

from node.decide.routing import KINDS
from node.domain.network import QuietTimes
from node.domain.study import SeriesState, Study, Verdict


def due_to_settle(study: Study, quiet: QuietTimes, now: datetime) -> bool:
    """Whether a receiving study of which nothing waits for a comparison may be screened now.

    Only series that a model reads count: presentation states and dose reports trickle in for hours. A study
    without CT and radiographs settles by all of its series. What an operator has declared complete waits for
    no quiet time.

    Parameters
    ----------
    study : Study
        With its series.
    quiet : QuietTimes
    now : datetime
    """
    counting = [series for series in study.series if series.modality in KINDS] or list(study.series)
    if not counting or any(series.state is SeriesState.RECEIVING for series in counting):
        return False
    if any(series.verdict is Verdict.BY_HAND for series in counting):
        return True
    return now - max(series.last_arrival_at for series in counting) >= quiet.study
