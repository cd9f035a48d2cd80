"""Workers over a real queue: several studies, several workers, each study once."""

from __future__ import annotations

from datetime import timedelta
from queue import SimpleQueue

from node.dicom.write import PhantomLabels
from node.domain.job import Screening, ScreeningState
from node.infer.bundle import Bundle
from node.run.progress import ScreeningEnd
from node.run.workers import Workers
from tests.screening_ground import Ends, Ground, phantom_series

SOON = 60.0
LONG = timedelta(hours=1)


class Finished(Ends):
    """A listener that passes the end of each screening on."""

    def __init__(self) -> None:
        super().__init__()
        self.finished: SimpleQueue[tuple[int, ScreeningEnd]] = SimpleQueue()

    def ended(self, screening: Screening, end: ScreeningEnd, reason: str) -> None:
        self.finished.put((screening.study_id, end))


def receive_study(ground: Ground, number: int) -> None:
    """Receive ten slices of a study of its own."""
    labels = PhantomLabels(identity=f"study {number}", patient_id=f"P{number}")
    ground.receive(phantom_series(labels)[7:18])


def test_two_workers_share_a_queue_and_each_study_is_screened_once(
    ground: Ground, tiny_bundle: Bundle
) -> None:
    for number in range(4):
        receive_study(ground, number)
    ground.settle()
    ends = Finished()
    workers = Workers(
        names=["one", "two"],
        claim=lambda name: ground.store.screenings.claim(name, lease=timedelta(minutes=15)),
        run=ground.pipeline(tiny_bundle, ends).run,
        idle=LONG,
    )
    workers.start()
    done = [ends.finished.get(timeout=SOON) for _ in range(4)]
    assert sorted(study for study, _ in done) == sorted(item.id for item in ground.store.studies.list())
    assert {end for _, end in done} == {ScreeningEnd.STORED}

    receive_study(ground, 4)
    ground.settle()
    workers.wake()
    assert ends.finished.get(timeout=SOON)[1] is ScreeningEnd.STORED
    assert workers.stop(timedelta(seconds=SOON))
    assert ends.finished.empty()
    assert ground.store.screenings.counts() == {ScreeningState.DONE: 5}
