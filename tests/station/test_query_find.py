"""C-FIND against a running node."""

from __future__ import annotations

import pytest

from tests.conftest import ct_header
from tests.station.finding_ground import Archive, answering, values


@pytest.fixture
def archive(tmp_path):
    with answering(tmp_path / "node") as running:
        yield running


def fill(archive: Archive) -> None:
    for study in (1, 2, 3):
        for number in (1, 2):
            archive.add(
                ct_header(
                    number,
                    study_instance_uid=f"1.2.{study}",
                    series_instance_uid=f"1.2.{study}.1",
                    sop_instance_uid=f"1.2.{study}.1.{number}",
                    accession_number=f"A{study}",
                )
            )


def test_studies_are_found(archive):
    fill(archive)
    found = archive.find(
        "STUDY",
        StudyInstanceUID="",
        NumberOfStudyRelatedInstances="",
        ModalitiesInStudy="",
        PatientName="doe*",
    )
    assert values(found, "StudyInstanceUID") == ["1.2.1", "1.2.2", "1.2.3"]
    assert values(found, "NumberOfStudyRelatedInstances") == ["2"] * 3
