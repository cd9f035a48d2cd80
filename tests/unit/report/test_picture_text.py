"""What stands on pictures: no more certainty than was measured, and nobody's name."""

from __future__ import annotations

import dataclasses

import pytest

from node.decide.shown import on_sheet
from node.domain.model import ModelStatus
from node.domain.result import Finding, Outcome
from node.domain.wording import ENGLISH
from node.report import picture_text as words
from tests.unit.report.conftest import CASES, Case, choice
from tests.unit.report.test_radiographs import ANY_SLICE, REQUESTS

FINDINGS: dict[str, Finding] = {
    **{name: case.request().finding for name, case in CASES.items()},
    **{f"radiographs, {name}": request.finding for name, request in REQUESTS.items()},
}
SEEN = [name for name, finding in FINDINGS.items() if finding.slices]


def everything(finding: Finding) -> str:
    """Every text of the sheet and of the heatmaps."""
    said = [str(words.sheet_text(ENGLISH, finding, 3)), words.summary_comment(ENGLISH, finding)]
    said.append(words.summary_derivation(ENGLISH, finding))
    said += [
        words.tile_label(ENGLISH, finding, index, 1, is_mapped=True) for index in range(len(finding.slices))
    ]
    for index in on_sheet(finding):
        said.append(
            str(
                words.heatmap_caption(
                    ENGLISH,
                    finding,
                    index,
                    place="here",
                    grid=(7, 7),
                    cell_mm=None,
                    sides=words.sides(ENGLISH),
                )
            )
        )
    return "\n".join(said)


@pytest.mark.parametrize("name", SEEN)
def test_it_is_in_ascii_and_says_that_it_is_no_diagnosis(name: str) -> None:
    said = everything(FINDINGS[name])
    assert said.isascii()
    assert "not for diagnosis" in said
    assert "not a lesion outline" in said
    assert "not a probability of disease" in said


@pytest.mark.parametrize("name", [name for name in SEEN if name.startswith("radiographs")])
def test_of_radiographs_nothing_is_said_of_slices(name: str) -> None:
    assert not ANY_SLICE.search(everything(FINDINGS[name]))


def test_no_text_of_another_system_stands_in_pixels() -> None:
    case = Case(
        source={"PatientName": "Doe^Jane", "PatientID": "P-17"},
        choices=(choice(series_description="DOE JANE 1961", verdict_reason="of DOE JANE"),),
    )
    said = everything(case.request().finding).upper()
    assert not any(word in said for word in ("DOE", "JANE", "P-17"))


@pytest.mark.parametrize(
    ("status", "word"),
    [(ModelStatus.UNTRAINED, "UNTRAINED MODEL"), (ModelStatus.DEMONSTRATION, "DEMONSTRATION MODEL")],
)
def test_a_model_without_validation_is_named_in_the_title(status: ModelStatus, word: str) -> None:
    assert words.sheet_text(ENGLISH, Case(status=status).request().finding, 6).title.startswith(word)


@pytest.mark.parametrize(
    ("outcome", "flagged"),
    [(Outcome.POSITIVE, True), (Outcome.NEGATIVE, False), (Outcome.UNDETERMINED, False)],
)
def test_only_a_positive_study_is_flagged(outcome: Outcome, flagged: bool) -> None:
    assert words.is_flagged(Case(outcome=outcome).request().finding) is flagged


def test_the_heading_says_what_is_shown_and_what_is_not() -> None:
    assert words.sheet_text(ENGLISH, Case().request().finding, 6).tiles == (
        "Positive, highest scores first: 6 of 8"
    )
    negative = Case(outcome=Outcome.NEGATIVE, positive=0).request().finding
    assert "None is positive, so no map is drawn" in words.sheet_text(ENGLISH, negative, 6).tiles
    unscored = dataclasses.replace(
        negative,
        slices=tuple(dataclasses.replace(item, probability=None) for item in negative.slices),
    )
    assert words.sheet_text(ENGLISH, unscored, 6).tiles == "Selected, not scored: 6 of 20"
    assert words.tile_label(ENGLISH, unscored, 12, 1, is_mapped=False) == "1: not scored"
    assert "No slice was scored." in words.scout_text(ENGLISH, unscored).notes
    dark = tuple(dataclasses.replace(item, dark_count=0) for item in unscored.slices)
    assert words.scout_text(ENGLISH, dataclasses.replace(unscored, slices=dark)).ends == ("0", "1")


def test_counts_reason_and_every_warning_stand_on_the_sheet() -> None:
    """The last ones say that the series may be incomplete, or that objects of the study were kept aside."""
    warnings = tuple(f"Warning number {number}." for number in range(12))
    lines = words.sheet_text(ENGLISH, Case(warnings=warnings).request().finding, 6).lines
    assert lines[0].startswith("Slices: 40 received, 20 with open lungs selected, 20 scored, 8 positive.")
    assert "The share of positive slices decides." in lines[0]
    assert [line for line in lines if line.startswith("Warning: ")] == [
        f"Warning: {said}" for said in warnings
    ]
    assert lines[-1].startswith("Model covid-ct-lite0, version 1, demonstration.")


def test_a_caption_says_how_coarse_the_map_is_and_how_opaque() -> None:
    finding = Case().request().finding
    index = on_sheet(finding)[0]

    def caption(cell: float | None) -> str:
        made = words.heatmap_caption(
            ENGLISH, finding, index, place="here", grid=(7, 9), cell_mm=cell, sides=words.sides(ENGLISH)
        )
        assert made.strength == words.map_strength(finding, index) > 0
        assert f"{100 * made.strength:.0f} %" in made.notes[-1]
        return made.notes[-1]

    assert caption(21.7).startswith("One cell is about 22 mm.")
    assert caption(None).startswith("The map has 7 x 9 cells.")


def test_below_the_threshold_a_map_would_not_be_seen() -> None:
    finding = Case(positive=0, outcome=Outcome.NEGATIVE).request().finding
    assert words.map_strength(finding, on_sheet(finding)[0]) == 0


def test_a_slice_is_named_by_its_place_instance_and_frame() -> None:
    assert words.slice_place(ENGLISH, Case().request().finding, 2) == "Slice 3 of 40, instance 3, -195.0 mm"
    frames = Case(multi_frame=True).request().finding
    assert words.slice_place(ENGLISH, frames, 2) == "Slice 3 of 40, instance 1 frame 3, -195.0 mm"
