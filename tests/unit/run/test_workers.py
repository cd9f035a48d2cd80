from __future__ import annotations

import dataclasses
import threading
from datetime import timedelta
from queue import Empty, SimpleQueue

import pytest

from node.domain.job import Screening
from node.run.workers import Workers

SOON = 10.0
LONG = timedelta(hours=1)


class Jobs:
    """A queue of screenings, and what was done with them."""

    def __init__(self) -> None:
        self.waiting: SimpleQueue[Screening] = SimpleQueue()
        self.done: SimpleQueue[tuple[str, int]] = SimpleQueue()
        self.looks: SimpleQueue[str] = SimpleQueue()

    def claim(self, worker: str) -> Screening | None:
        self.looks.put(worker)
        try:
            return self.waiting.get_nowait()
        except Empty:
            return None

    def run(self, screening: Screening) -> None:
        self.done.put((threading.current_thread().name, screening.id))
        if screening.id < 0:
            raise RuntimeError("broken")


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


def test_runs_what_waits_and_survives_errors(jobs: Jobs, screening: Screening) -> None:
    for number in (-1, 2, 3):
        jobs.waiting.put(dataclasses.replace(screening, id=number))
    workers = Workers(names=["a"], claim=jobs.claim, run=jobs.run, idle=timedelta(milliseconds=10))
    workers.start()
    assert [jobs.done.get(timeout=SOON)[1] for _ in range(3)] == [-1, 2, 3]
    assert workers.stop(timedelta(seconds=SOON))


def test_an_idle_worker_is_woken(jobs: Jobs, screening: Screening) -> None:
    workers = Workers(names=["a"], claim=jobs.claim, run=jobs.run, idle=LONG)
    workers.start()
    assert jobs.looks.get(timeout=SOON) == "a"
    jobs.waiting.put(screening)
    workers.wake()
    assert jobs.done.get(timeout=SOON) == ("screening-a", 1)
    assert workers.stop(timedelta(seconds=SOON))


def test_an_idle_worker_looks_by_itself(jobs: Jobs, screening: Screening) -> None:
    workers = Workers(names=["a"], claim=jobs.claim, run=jobs.run, idle=timedelta(milliseconds=10))
    workers.start()
    jobs.looks.get(timeout=SOON)
    jobs.waiting.put(screening)
    assert jobs.done.get(timeout=SOON)[1] == 1
    assert workers.stop(timedelta(seconds=SOON))


def test_the_index_may_fail_for_a_while(jobs: Jobs, screening: Screening) -> None:
    looks = iter([OSError("locked"), None])

    def claim(worker: str) -> Screening | None:
        error = next(looks, None)
        if error is not None:
            raise error
        return jobs.claim(worker)

    jobs.waiting.put(screening)
    workers = Workers(names=["a"], claim=claim, run=jobs.run, idle=timedelta(milliseconds=10))
    workers.start()
    assert jobs.done.get(timeout=SOON)[1] == 1
    assert workers.stop(timedelta(seconds=SOON))


def test_two_workers_run_at_the_same_time(jobs: Jobs, screening: Screening) -> None:
    together = threading.Barrier(2, timeout=SOON)

    def run(_: Screening) -> None:
        together.wait()
        jobs.done.put((threading.current_thread().name, 0))

    for _ in range(2):
        jobs.waiting.put(screening)
    workers = Workers(names=["a", "b"], claim=jobs.claim, run=run, idle=LONG)
    workers.start()
    assert {jobs.done.get(timeout=SOON)[0] for _ in range(2)} == {"screening-a", "screening-b"}
    assert workers.stop(timedelta(seconds=SOON))


def test_stopping_lets_the_running_one_finish_and_claims_no_more(jobs: Jobs, screening: Screening) -> None:
    started, finish = threading.Event(), threading.Event()

    def run(item: Screening) -> None:
        started.set()
        assert finish.wait(SOON)
        jobs.run(item)

    for number in (1, 2):
        jobs.waiting.put(dataclasses.replace(screening, id=number))
    workers = Workers(names=["a"], claim=jobs.claim, run=run, idle=LONG)
    workers.start()
    assert started.wait(SOON)
    assert not workers.stop(timedelta(milliseconds=1))
    finish.set()
    assert workers.stop(timedelta(seconds=SOON))
    assert jobs.done.get(timeout=SOON)[1] == 1
    assert jobs.waiting.qsize() == 1
