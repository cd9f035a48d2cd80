"""The whole node, with screenings and a PACS: its clock is set, its disk fills, and a second one starts."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.faults.failing_disk import fill
from tests.faults.forked_node import ForkedNode
from tests.faults.whole_ground import VERSIONS, WAITING, Modality
from tests.journey.hospital import Hospital
from tests.journey.orthanc import wait_for

HOUR, DAY = 3600.0, 86400.0
JUMPS = (DAY, -DAY, HOUR, -HOUR, 30.0, -30.0, 365 * DAY, 0.0)
"""What the node's clock shows more than the machine's, one after the other."""
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
