"""What is asked for and fetched: decisions that no archive is needed for."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.domain.archives import ArchiveCount, ArchivedSeries, ArchivedStudy, Poll, PolledStudy, Sought
from node.domain.study import Series, SeriesState
from node.pull.rules import (
    Silence,
    Watching,
    days_of,
    distinct,
    expectation_of,
    is_looked_at,
    is_polled,
    is_sought,
    may_be_asked,
    missing_at,
    queries_of,
    series_sought,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
WATCHING = Watching(
    every=timedelta(seconds=30),
    missing_after=timedelta(seconds=60),
    for_long=timedelta(days=1),
    fetch=True,
)
seconds = st.integers(min_value=0, max_value=10**6)


def a_study(uid: str = "1.2", **changes: object) -> ArchivedStudy:
    return ArchivedStudy(
        **{
            "study_instance_uid": uid,
            "study_date": "20260301",
            "study_description": "",
            "modalities": (),
            "patient_id": "",
            "accession_number": "",
            "instance_count": None,
            **changes,
        }
    )


def a_series(**changes: object) -> ArchivedSeries:
    return ArchivedSeries(
        **{
            "study_instance_uid": "1.2",
            "series_instance_uid": "1.2.1",
            "modality": "CT",
            "body_part_examined": "",
            "series_description": "",
            "instance_count": None,
            **changes,
        }
    )


def a_rule(**changes: object) -> Poll:
    return Poll(
        **{
            "name": "chest",
            "archive": "pacs",
            "modalities": ("CT",),
            "body_parts": (),
            "descriptions": (),
            "days_back": 1,
            "every": timedelta(minutes=5),
            **changes,
        }
    )


def here(count: int, silent: float = 300.0, **changes: object) -> Silence:
    return Silence(
        **{
            "last_arrival_at": NOW - timedelta(seconds=silent),
            "here": count,
            "carried_now": False,
            "being_fetched": False,
            "missed_at": None,
            **changes,
        }
    )


def said(count: int, polls: int = 2, ago: float = 0.0, archive: str = "pacs") -> ArchiveCount:
    asked_at = NOW - timedelta(seconds=ago)
    return ArchiveCount(archive=archive, count=count, polls=polls, asked_at=asked_at)


def test_a_query_is_made_for_each_study_and_holds_what_was_given() -> None:
    sought = Sought(study_instance_uids=("1.2", "1.3"), modality="CT")
    assert queries_of(sought) == [
        {"StudyInstanceUID": "1.2", "ModalitiesInStudy": "CT"},
        {"StudyInstanceUID": "1.3", "ModalitiesInStudy": "CT"},
    ]
    assert queries_of(Sought(patient_id="P")) == [{"PatientID": "P"}]


@pytest.mark.parametrize(
    ("sought", "narrows"),
    [({}, False), ({"modality": "CT"}, False), ({"patient_id": "*"}, False), ({"patient_id": "P*"}, True)],
)
def test_a_whole_archive_is_never_sought(sought: dict[str, str], narrows: bool) -> None:
    assert Sought(**sought).narrows is narrows


@pytest.mark.parametrize(
    ("sought", "study", "expected"),
    [
        ({"study_instance_uids": ("1.2",)}, {}, True),
        ({"study_instance_uids": ("1.3",)}, {}, False),
        ({"patient_id": "P1"}, {"patient_id": "P1 "}, True),
        ({"patient_id": "P1"}, {"patient_id": "P2"}, False),
        ({"patient_id": "P1"}, {}, True),  # the archive does not tell
        ({"patient_id": "P*"}, {"patient_id": "P2"}, True),
        ({"accession_number": "A"}, {"accession_number": "B"}, False),
        ({"modality": "CT"}, {"modalities": ("MR", "SR")}, False),
        ({"modality": "CT"}, {"modalities": ("CT", "SR")}, True),
    ],
)
def test_an_archive_that_ignores_a_key_makes_nothing_be_fetched(
    sought: dict[str, object], study: dict[str, object], expected: bool
) -> None:
    assert is_sought(a_study(**study), Sought(**sought)) is expected


def test_series_of_another_modality_stay_there() -> None:
    ct, sr, unknown = (a_series(modality=modality) for modality in ("CT", "SR", ""))
    assert series_sought([ct, sr, unknown], "CT") == [ct, unknown]
    assert series_sought([ct, sr], "") == [ct, sr]
    assert distinct([ct, None, ct], lambda item: item.series_instance_uid) == [ct]


@pytest.mark.parametrize(
    ("rule", "study", "series", "expected"),
    [
        ({}, "", {}, True),
        ({}, "", {"modality": "MR"}, False),
        ({"body_parts": ("chest*", "")}, "", {"body_part_examined": "CHESTABDOMEN"}, True),
        ({"body_parts": ("chest*", "")}, "", {"body_part_examined": ""}, True),
        ({"body_parts": ("chest*", "")}, "", {"body_part_examined": "HEAD"}, False),
        ({"descriptions": ("*thorax*",)}, "CT Thorax nativ", {}, True),
        ({"descriptions": ("*thorax*",)}, "CT", {"series_description": "THORAX 1.0"}, True),
        ({"descriptions": ("*thorax*",)}, "CT", {"series_description": "[t]horax"}, False),
        ({"body_parts": ("CHEST",), "descriptions": ("*lung*",)}, "Lung", {}, False),
    ],
)
def test_a_rule_means_series_by_their_words(
    rule: dict[str, object], study: str, series: dict[str, str], expected: bool
) -> None:
    assert is_polled(a_rule(**rule), a_study(study_description=study), a_series(**series)) is expected


def test_a_rule_looks_at_days_around_today() -> None:
    # Tomorrow too: the archive's clock and the scanner's are not this one.
    assert days_of(a_rule(days_back=2), date(2026, 3, 1)) == "20260227-20260302"


@given(count=st.integers(0, 500), more=st.integers(1, 500), silent=seconds, missed=st.none() | seconds)
def test_nothing_is_fetched_twice_or_while_it_arrives(
    count: int, more: int, silent: int, missed: int | None
) -> None:
    missed_at = None if missed is None else NOW - timedelta(seconds=missed)
    counts = [said(count + more), said(count, archive="mirror")]
    asked = missing_at(here(count, silent, missed_at=missed_at), counts, WATCHING, NOW)
    spaced = missed is None or missed >= max(60, silent / 2)
    assert (asked is not None) is (silent >= 60 and spaced)
    assert asked is None or asked.archive == "pacs"
    for standing in ({"carried_now": True}, {"being_fetched": True}):
        assert missing_at(here(count, silent, **standing), counts, WATCHING, NOW) is None


def test_only_what_was_said_twice_and_is_more_is_fetched() -> None:
    assert missing_at(here(5), [said(9, polls=1)], WATCHING, NOW) is None
    assert missing_at(here(5), [said(5), said(4)], WATCHING, NOW) is None
    assert missing_at(here(5), [said(6), said(7, archive="full")], WATCHING, NOW).archive == "full"


@given(silent=seconds, ago=seconds)
def test_a_series_is_asked_about_the_less_often_the_longer_it_is_silent(silent: int, ago: int) -> None:
    assert may_be_asked(here(5, silent), said(5, ago=ago), WATCHING, NOW) is (ago >= max(30, silent / 8))
    assert may_be_asked(here(5, silent), None, WATCHING, NOW)
    assert may_be_asked(here(5), said(5, ago=-60), WATCHING, NOW)  # the clock was set back


@given(count=st.integers(0, 500), shown=st.integers(0, 500), polls=st.integers(1, 3), ago=seconds)
def test_a_count_is_evidence_when_it_was_given_twice_and_after_the_last_image(
    count: int, shown: int, polls: int, ago: int
) -> None:
    series = Series(
        id=1,
        study_id=1,
        series_instance_uid="1.2.1",
        modality="CT",
        series_number=1,
        series_description="",
        state=SeriesState.RECEIVING,
        verdict=None,
        verdict_reason="",
        instance_count=count,
        first_arrival_at=NOW,
        last_arrival_at=NOW - timedelta(seconds=1000),
        calling_ae_title="CT1",
        not_before=None,
    )
    found = expectation_of(said(shown, polls, ago), series)
    if shown == 0 or shown < count:
        assert found == ()
        return
    (item,) = found
    assert (item.listed, item.missing) == (shown, shown - count)
    assert item.final is (shown == count and polls >= 2 and ago < 1000)
    assert expectation_of(None, series) == ()


def seen(**changes: object) -> PolledStudy:
    fields = {"instance_count": None, "counted": 3, "seen_at": NOW, "grown_at": NOW}
    return PolledStudy(**{**fields, **changes})


@pytest.mark.parametrize(
    ("told", "known", "expected"),
    [
        (None, None, True),
        (5, seen(instance_count=5, counted=None), False),
        (6, seen(instance_count=5, counted=None), True),
        (None, seen(instance_count=5, counted=None), True),
        (5, seen(), True),
        (None, seen(counted=None), True),  # looked at before it was counted
        (None, seen(), True),  # grown at the last look
        (None, seen(grown_at=NOW - timedelta(seconds=60)), False),
        (None, seen(grown_at=NOW - timedelta(seconds=60), seen_at=NOW - timedelta(seconds=60)), True),
        (None, seen(seen_at=NOW + timedelta(days=1)), True),  # the clock was set back
    ],
)
def test_a_study_is_looked_at_when_it_may_have_grown(
    told: int | None, known: PolledStudy | None, expected: bool
) -> None:
    assert is_looked_at(a_study(instance_count=told), known, NOW) is expected


@given(every=st.integers(1, 3600), growing=st.integers(0, 20))
def test_looks_at_a_study_that_has_ceased_to_grow_become_rare(every: int, growing: int) -> None:
    known, counted, looks = None, 0, []
    for number in range(2 * 86400 // every if every > 600 else 300):
        now = NOW + timedelta(seconds=every * number)
        if not is_looked_at(a_study(), known, now):
            continue
        looks.append(number)
        before, counted = counted, min(number, growing) + 1
        grown_at = known.grown_at if known is not None and before == counted else now
        known = seen(counted=counted, seen_at=now, grown_at=grown_at)
    assert looks[: growing + 2] == list(range(growing + 2)), "each poll, until it was the same twice"
    assert counted == growing + 1
    assert len(looks) <= growing + 2 + 9
