"""SIGKILL at random moments while four associations send and screenings run: each series is answered once."""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.forked_node import ForkedNode
from tests.faults.whole_ground import PHANTOM, RUNNING, VERSIONS, WAITING, Modality
from tests.journey.hospital import Hospital
from tests.journey.orthanc import wait_for
from tests.journey.test_killed import Scanner, index

KILLS = int(os.environ.get("GROUNDGLASS_WHOLE_KILLS", "25"))
SEED = int(os.environ.get("GROUNDGLASS_SEED", "2026"))
LONGEST_SECONDS = (0.3, 2.0)
"""While a series comes in, as often as until its results have gone out."""
SECONDS_A_STUDY = 10
GIVEN_UP = """
    SELECT studies.study_instance_uid FROM screenings JOIN studies ON studies.id = screenings.study_id
    WHERE screenings.state = 'failed' AND NOT EXISTS
        (SELECT * FROM screenings AS later WHERE later.study_id = studies.id AND later.id > screenings.id)
"""
"""A screening during which the node was killed as often as one is tried: an operator asks for it again."""
pytestmark = [pytest.mark.faults, pytest.mark.heavy]


@pytest.fixture
def hospital(tmp_path: Path) -> Iterator[Hospital]:
    place = Hospital(tmp_path / "hospital", quiet=0.5, node=ForkedNode)
    try:
        place.open()
        yield place
    finally:
        place.close()


def under_way(hospital: Hospital, scanners: list[Scanner]) -> Counter[str]:
    """Return what the node is doing."""
    with index(hospital) as database:
        _screenings, deliveries, _series = database.execute(WAITING).fetchone()
        (running,) = database.execute(RUNNING).fetchone()
    sending = any(scanner.is_alive() for scanner in scanners)
    return Counter(receives=int(sending), screens=int(running > 0), delivers=int(deliveries > 0))


def test_every_series_is_answered_once_however_often_the_node_is_killed(
    hospital: Hospital, tmp_path: Path, figure: Callable[[str, object], None]
) -> None:
    chance = random.Random(SEED)
    modality, hits = Modality(tmp_path), Counter[str]()
    for _ in range(KILLS):
        modality.scan()
        scanners = modality.send(hospital.node.port)
        time.sleep(chance.uniform(0, chance.choice(LONGEST_SECONDS)))  # the moment is what is tried
        hits += under_way(hospital, scanners)
        hospital.node.kill()
        modality.note(scanners)
        hospital.node.start()
    modality.note(modality.send(hospital.node.port))
    assert len(modality.acknowledged) == len(modality.studies) * PHANTOM.slices

    def is_settled() -> bool:
        with index(hospital) as database:
            answered = [study for query in (VERSIONS, GIVEN_UP) for study, *_ in database.execute(query)]
            return set(answered) == set(modality.studies) and database.execute(WAITING).fetchone() == (
                0,
                0,
                0,
            )

    patience = SECONDS_A_STUDY * len(modality.studies)
    wait_for(is_settled, seconds=patience, what="every result to be delivered")
    with index(hospital) as database:
        given_up = [study for (study,) in database.execute(GIVEN_UP)]
    for study in given_up:
        hospital.node.run("reprocess", study, "--by", "tester", "--reason", "the node was killed too often")
    wait_for(is_settled, seconds=patience, what="the results that were asked for again")
    with index(hospital) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = database.execute("SELECT sop_instance_uid, object_key, sha256 FROM instances").fetchall()
        versions = database.execute(VERSIONS).fetchall()
    assert {uid for uid, _key, _sha256 in rows} == modality.acknowledged.keys()
    for _uid, key, sha256 in rows:
        path = hospital.node.folder / "data" / "objects" / key[:2] / f"{key}.dcm"
        assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    assert {study for study, _made, _current in versions} == set(modality.studies)
    for study, made, current in versions:
        assert current == 1
        assert len(hospital.pacs.instances(study, "SR")) == made, "each version has gone out once"
    figure("kills of the whole node while four associations send and screenings run", KILLS)
    for what, times in hits.items():
        figure(f"of them while the node {what}", times)
    figure(
        "of the series given up after three kills during the screening, and asked for again", len(given_up)
    )
    figure("series", len(versions))
    figure("series with exactly one result in force, delivered and proven", len(versions))
    figure("instances acknowledged, indexed and whole", len(rows))
