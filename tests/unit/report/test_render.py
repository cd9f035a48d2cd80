from dataclasses import replace

import pytest
from pydicom.dataset import Dataset

from node.domain.errors import NotAReport
from node.domain.model import ModelStatus
from node.domain.result import Outcome, RunOutcome
from node.report.build import build_results
from node.report.render import WIDTH, report_text
from tests.unit.report.conftest import SCOUT_CHOICE, SERIES, Case, read, report_of, source


def test_a_positive_report_reads_from_top_to_bottom():
    lines = report_text(report_of(Case(version=2))).splitlines()
    assert lines[0].startswith("DEMONSTRATION MODEL: AI screening")
    assert lines[2].startswith("POSITIVE: flagged by AI")
    whole = "\n".join(lines)
    order = ["Study", "Outcome", "Warnings", "Numbers", "Positive slices (8)", "Series found", "Model"]
    places = [whole.index(f"\n{heading}") for heading in order]
    assert places == sorted(places)
    for part in (
        "Doe^Jane, ID P-17, HOSPITAL, born 1961-02-03, F",
        "CT thorax, 2026-03-04 10:15:00",
        "version 2, 2026-03-04 23:30:05, COMPLETE, UNVERIFIED",
        "2.25.11",
        "AI slice 11 at -175.0 mm",
        "62.5 %",
        f"{SERIES}.11",
        "Not fit for the model: A localizer.",
        "lungs close at both ends",
        "sha256 " + "ab" * 32,
        "NOT VALIDATED for this model",
        "not a probability of disease",
    ):
        assert part in whole


def test_lines_fit_a_terminal():
    text = report_text(report_of(Case()))
    assert max(map(len, text.splitlines())) <= WIDTH
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


def test_a_negative_report_says_that_no_slice_reaches_the_threshold():
    text = report_text(report_of(Case(outcome=Outcome.NEGATIVE, positive=0)))
    assert "NEGATIVE: not flagged by AI; COVID-19 not excluded. 0 of 20 selected slices" in text
    assert "No slice reaches the slice threshold." in text
    assert "Suspected" not in text


def test_a_report_without_analysis_shows_the_reason_and_no_scores():
    case = Case(outcome=Outcome.NOT_ANALYSED, run_outcome=RunOutcome.NOT_ATTEMPTED, choices=(SCOUT_CHOICE,))
    text = report_text(report_of(case))
    assert text.splitlines()[2].startswith("NOT ANALYSED")
    assert "Not Attempted" in text
    assert "model score over" not in text
    assert "No slice reaches" not in text


def test_selected_slices_that_were_not_scored_have_no_share():
    request = Case(outcome=Outcome.UNDETERMINED, positive=0).request()
    unscored = tuple(replace(item, probability=None) for item in request.finding.slices)
    request = replace(request, finding=replace(request.finding, slices=unscored))
    text = report_text(read(build_results(request)[-1]))
    assert "Slices selected (n)" in text
    assert "selected slices reach" not in text
    assert "model score" not in text


def test_a_validated_model_is_not_called_a_demonstration():
    text = report_text(report_of(Case(status=ModelStatus.VALIDATED, validated=True, warnings=())))
    assert "DEMONSTRATION" not in text
    assert "\nWarnings\n" not in text


def test_names_are_shown_in_their_own_script():
    case = Case(source={"SpecificCharacterSet": "ISO_IR 192", "PatientName": "Yamada^Tarou=山田^太郎"})
    assert "山田^太郎" in report_text(report_of(case))


def test_control_characters_never_reach_the_terminal():
    data_set = report_of(Case())
    data_set.PatientID = "P\x1b[2J"
    assert "\x1b" not in report_text(data_set)


def test_other_objects_are_refused():
    heatmap = read(build_results(Case().request())[0])
    for other in (heatmap, source("1.2.3", SERIES, 1), Dataset()):
        with pytest.raises(NotAReport):
            report_text(other)
