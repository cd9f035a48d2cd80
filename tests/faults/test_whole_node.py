"""The whole node, with screenings and a PACS: its clock is set, its disk fills, and a second one starts."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from tests.faults.failing_disk import fill
from tests.faults.forked_node import ForkedNode
from tests.faults.whole_ground import PHANTOM, VERSIONS, WAITING, Modality
from tests.journey.hospital import Hospital
from tests.journey.orthanc import wait_for
from tests.journey.test_killed import index
from tests.station.receiving_node import wait_until

HOUR, DAY = 3600.0, 86400.0
JUMPS = (DAY, -DAY, HOUR, -HOUR, 30.0, -30.0, 365 * DAY, 0.0)
"""What the node's clock shows more than the machine's, one after the other."""
STEPS = (DAY, -DAY, HOUR, -HOUR, 0.7, -0.7)
"""By how much it is set in each state: by an operator, by one who takes it for local time, by NTP."""
STEPS_AT_A_RESTART = (DAY, -DAY)
STATES = {
    "it is received": "SELECT count(*) FROM series",
    "all of it was received": f"SELECT count(*) / {PHANTOM.slices} FROM instances",
    "it has settled": "SELECT count(*) FROM screenings",
    "it is screened": "SELECT count(*) FROM screenings WHERE state != 'queued'",
    "its results are delivered": "SELECT count(*) FROM result_versions",
}
"""What of a study, and of those before it, the index counts as soon as it has come so far."""
CHANGES_OF_SUMMER_TIME = (datetime(2026, 10, 25, 1, tzinfo=UTC), datetime(2027, 3, 28, 1, tzinfo=UTC))
"""In Berlin: the end of one, the beginning of the next."""
BEFORE = 0.5
"""Seconds before it, at which the study begins to come in."""
SECONDS = 60.0
MEBIBYTES = 32
ROOM = (0, 64, 256, 512, 768, 1024, 1280, 1536, 2048, 3072)
"""KiB that are left: a series has 400, and its results have several hundred."""
pytestmark = [pytest.mark.faults, pytest.mark.heavy]

Figure = Callable[[str, object], None]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Hospital]]:
    """Return a function that opens a hospital; keywords are those of its node."""
    places: list[Hospital] = []

    def start(**how: object) -> Hospital:
        places.append(Hospital(tmp_path / "hospital", quiet=0.5, node=partial(ForkedNode, **how)))
        places[-1].open()
        return places[-1]

    yield start
    for place in places:
        place.close()


def answered(hospital: Hospital, modality: Modality) -> bool:
    """Whether every study has its result and nothing waits."""
    versions = hospital.node.rows(VERSIONS)
    return len(versions) == len(modality.studies) and hospital.node.rows(WAITING) == [(0, 0, 0)]


def check_once(hospital: Hospital, modality: Modality) -> None:
    """Check that everything acknowledged is indexed, and each version of a result went out once."""
    assert hospital.node.rows("PRAGMA integrity_check") == [("ok",)]
    indexed = {uid for (uid,) in hospital.node.rows("SELECT sop_instance_uid FROM instances")}
    assert indexed == modality.acknowledged.keys()
    for study, made, current in hospital.node.rows(VERSIONS):
        assert current == 1
        assert len(hospital.pacs.instances(study, "SR")) == made


def test_a_clock_that_is_set_while_a_study_is_received_and_screened_delays_nothing(
    opened: Callable[..., Hospital], tmp_path: Path, figure: Figure
) -> None:
    hospital, modality, chance = opened(), Modality(tmp_path), random.Random(2026)
    for seconds in JUMPS:
        modality.scan()
        scanners = modality.send(hospital.node.port)
        threading.Event().wait(chance.uniform(0, 1))  # the moment is what is tried
        hospital.node.move_clock(seconds)
        modality.note(scanners)
        wait_for(lambda: answered(hospital, modality), seconds=SECONDS, what=f"results, moved by {seconds}")
    check_once(hospital, modality)
    figure("jumps of the clock of the whole node, with a study received and screened meanwhile", len(JUMPS))


def counted(hospital: Hospital, query: str) -> int:
    """Return what a query of the index counts."""
    with index(hospital) as database:
        return int(database.execute(query).fetchone()[0])


@pytest.mark.parametrize("restarted", [False, True])
def test_a_clock_that_is_set_in_any_state_delays_nothing(
    opened: Callable[..., Hospital],
    tmp_path: Path,
    figure: Figure,
    monkeypatch: pytest.MonkeyPatch,
    restarted: bool,
) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    hospital, modality = opened(), Modality(tmp_path)
    moved, times = 0.0, 0
    for state, query in STATES.items():
        for seconds in STEPS_AT_A_RESTART if restarted else STEPS:
            modality.scan()
            scanners = modality.send(hospital.node.port)
            wait_until(lambda query=query: counted(hospital, query) == len(modality.studies), state)
            if restarted:
                hospital.node.kill()
            moved, times = moved + seconds, times + 1
            hospital.node.move_clock(moved)
            modality.note(scanners)
            if restarted:
                hospital.node.start()
                modality.note(modality.send(hospital.node.port))
            what = f"results, moved by {seconds} while {state}"
            wait_for(lambda: answered(hospital, modality), seconds=SECONDS, what=what)
    check_once(hospital, modality)
    how = "while the node was down" if restarted else "while it ran"
    figure(f"steps of the clock in {len(STATES)} states of a study, {how}", times)


def test_a_change_of_summer_time_while_a_study_is_received_and_screened_delays_nothing(
    opened: Callable[..., Hospital], tmp_path: Path, figure: Figure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    hospital, modality = opened(), Modality(tmp_path)
    for change in CHANGES_OF_SUMMER_TIME:
        modality.scan()
        hospital.node.move_clock((change - datetime.now(UTC)).total_seconds() - BEFORE)
        modality.note(modality.send(hospital.node.port))
        wait_for(lambda: answered(hospital, modality), seconds=SECONDS, what=f"results, {change}")
    check_once(hospital, modality)
    for study, hour in zip(modality.studies, ("02", "03"), strict=True):
        [report] = hospital.reports(study)
        assert report.ContentTime[:2] == hour, "in the time that holds after the change"
    figure("changes of summer time while a study is received and screened", len(modality.studies))


def test_a_second_node_on_the_store_is_refused_and_the_first_goes_on(
    opened: Callable[..., Hospital], tmp_path: Path
) -> None:
    hospital, modality = opened(), Modality(tmp_path)
    modality.scan()
    scanners = modality.send(hospital.node.port)
    second = hospital.node.run("serve", check=False)
    assert second.returncode != 0
    assert "another" in second.stderr
    modality.note(scanners)
    wait_for(lambda: answered(hospital, modality), seconds=SECONDS, what="the result")
    check_once(hospital, modality)


def test_a_full_disk_under_the_whole_node_loses_nothing_and_all_resumes_by_itself(
    opened: Callable[..., Hospital], tmp_path: Path, figure: Figure
) -> None:
    hospital, modality = opened(mebibytes=MEBIBYTES), Modality(tmp_path)
    ballast = hospital.node.data / "ballast"
    unanswered = 0
    for room in ROOM:
        modality.scan()
        fill(ballast, keep=room << 10)
        modality.note(modality.send(hospital.node.port))
        threading.Event().wait(2.0)  # for the screening to begin, where the series came in
        unanswered += not answered(hospital, modality)
        ballast.unlink()
        modality.note(modality.send(hospital.node.port))
        assert modality.unsent == [], "there is room again"
        wait_for(lambda: answered(hospital, modality), seconds=SECONDS, what=f"results, {room} KiB left")
        check_once(hospital, modality)
    assert unanswered > 0
    figure("full disks under the whole node, with a study received and screened", len(ROOM))
    figure("of them with the study unanswered until there was room", unanswered)
