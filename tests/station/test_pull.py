"""Studies are fetched from an archive: by C-MOVE, C-GET and WADO-RS, whole, and no more than is missing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from node.dicom.part10 import data_set_offset
from node.domain.archives import PullCause, PullState
from node.domain.expectation import Source
from node.domain.identity import derived_uid
from node.domain.study import AssociationEnd
from node.fetching import counts_of_archives
from tests.station.pull_ground import GET, MOVE, STUDIES, WEB, Hospital, hospital
from tests.station.receiving_node import wait_until

SLICES = 4


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    with hospital(tmp_path_factory.mktemp("hospital"), slices=SLICES) as running:
        yield running


def study_uid(study: str) -> str:
    return derived_uid("test", "study", study)


def data_set_of(path: Path) -> bytes:
    with path.open("rb") as stream:
        offset = data_set_offset(stream)
    return path.read_bytes()[offset:]


@pytest.mark.parametrize(("archive", "study"), [(MOVE, "1"), (GET, "2"), (WEB, "3")])
def test_a_study_comes_whole_and_no_more_of_it_than_is_missing(
    ward: Hospital, archive: str, study: str
) -> None:
    node, uids = ward.node, ward.of_study(study)
    ward.send(*uids[1:3])
    progress = node.pull(ward.settings, archive, study_instance_uids=(study_uid(study),))
    assert (progress.pull.state, progress.series, progress.expected, progress.here) == (
        PullState.DONE,
        1,
        SLICES,
        SLICES,
    )
    stored = node.stored()
    assert all(stored[uid].endswith(data_set_of(ward.files[uid])) for uid in uids)
    associations = node.ends()
    assert associations == [AssociationEnd.RELEASED] * len(associations)
    again = node.pull(ward.settings, archive, study_instance_uids=(study_uid(study),))
    assert (again.pull.state, again.here) == (PullState.DONE, SLICES)
    assert node.ends() == associations  # nothing was asked for


@pytest.mark.parametrize("archive", [GET, WEB])
def test_studies_are_found_by_their_keys(ward: Hospital, archive: str) -> None:
    keys = {"patient_id": "P2", "modality": "CT", "study_date": "20240101-20240103"}
    found = ward.node.pull(ward.settings, archive, **keys)
    assert (found.pull.state, found.studies, found.here) == (PullState.DONE, 1, SLICES)
    for sought in ({"patient_id": "nobody"}, {"patient_id": "P1", "modality": "MR"}, {"study_date": "2023"}):
        nothing = ward.node.pull(ward.settings, archive, **sought)
        assert nothing.pull.state in {PullState.DONE, PullState.FAILED}
        assert nothing.series == 0
    few = ward.settings.pull.model_copy(update={"max_studies": 1})
    many = ward.node.pull(ward.settings.model_copy(update={"pull": few}), archive, patient_id="P?")
    assert (many.pull.state, many.series) == (PullState.FAILED, 0)
    assert "more than 1 matches" in many.pull.detail


def test_an_archive_that_is_away_is_asked_again(ward: Hospital) -> None:
    progress = ward.node.pull(ward.settings, "away", patient_id="P1")
    assert (progress.pull.state, progress.pull.attempts) == (PullState.SEARCHING, 1)
    assert progress.pull.due_at > datetime.now(UTC)
    assert "does not answer" in progress.pull.detail
    contacts = {item.archive: item.failures for item in ward.node.store.archives.contacts()}
    assert contacts["away"] == 1


def test_an_archive_that_is_turned_away_is_named(tmp_path: Path) -> None:
    with hospital(tmp_path, slices=1, peers=()) as ward:
        sought = {"study_instance_uids": (study_uid("1"),)}
        first = ward.node.pull(ward.settings, MOVE, **sought)
        assert "1 of 1 instances did not come" in first.problem
        assert first.next_at is not None
        wait_until(lambda: bool(ward.node.store.intake.refused_callers()), "the record of the refusal")
        second = ward.node.pull(ward.settings, MOVE, **sought)
        assert "; lately GROUNDGLASS at 127.0.0.1 was refused here: " in second.problem
        assert ward.node.pull(ward.settings, GET, **sought).pull.state is PullState.DONE


def test_a_rule_fetches_what_is_new_once(ward: Hospital) -> None:
    ticks = ward.node.fetching(ward.settings)
    assert ticks["poll chest"]() == len(STUDIES)
    assert ticks["poll chest"]() == 0
    ticks[f"fetch {GET}"]()
    assert set(ward.node.stored()) == set(ward.files)
    asked = [item for item in ward.node.store.pulls.list() if item.pull.request.cause is PullCause.POLL]
    assert [item.pull.state for item in asked] == [PullState.DONE] * len(STUDIES)


def test_what_a_series_lacks_is_counted_and_fetched_by_itself(tmp_path: Path) -> None:
    with hospital(tmp_path, slices=SLICES) as ward:
        node, ticks = ward.node, ward.node.fetching(ward.settings)
        expectations = counts_of_archives(ward.settings, node.store)
        ward.send(*ward.of_study("1")[2:])

        def said() -> tuple[int, int, bool] | None:
            (series,) = node.store.studies.get(study_uid("1")).series
            found = expectations([series])[series.id]
            assert all(item.source is Source.ARCHIVE for item in found)
            return next(((item.listed, item.missing, item.final) for item in found), None)

        assert said() is None
        assert ticks["count"]() == 0
        assert said() == (SLICES, 2, False)
        let_it_be_asked(ward)
        assert ticks["count"]() == 1  # it said the same twice
        ticks[f"fetch {MOVE}"]()
        assert set(node.stored()) == set(ward.of_study("1"))
        (progress,) = node.store.pulls.list()
        assert (progress.pull.state, progress.pull.request.cause) == (PullState.DONE, PullCause.MISSING)
        assert said() == (SLICES, 0, False)  # it was asked before the last image came
        let_it_be_asked(ward)
        ticks["count"]()
        assert said() == (SLICES, 0, True)


def let_it_be_asked(ward: Hospital) -> None:
    """Let the archive have said what it said an hour ago."""
    earlier = (datetime.now(UTC) - timedelta(hours=1)).replace(tzinfo=None).isoformat(sep=" ")
    with ward.node.store.database.write() as connection:
        connection.exec_driver_sql(f"UPDATE archive_counts SET asked_at = '{earlier}'")
