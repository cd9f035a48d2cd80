from __future__ import annotations

import dataclasses
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from node.dicom.slices import SliceSource, StoredPixels
from node.domain.input_spec import InputSpec
from node.domain.model import ModelIdentity, ModelStatus, Precision
from node.domain.result import Outcome, RunOutcome, SeriesChoice
from node.domain.study import InstanceHeader, SeriesState, Verdict
from node.imaging.geometry import slice_plane
from node.imaging.prepare import Framing
from node.imaging.selection import DarkCount, Plausibility
from node.run.findings import CtMethod, analysed, method, model_warnings, not_analysed, sentence
from node.run.looking import LookedAt
from node.run.scoring import Scored
from tests.model_folder import tiny_spec

UPRIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
MODEL = ModelIdentity(
    name="tiny",
    version=1,
    status=ModelStatus.VALIDATED,
    spec_sha256="0" * 64,
    weights_sha256="1" * 64,
    engine="openvino",
    engine_version="0",
    precision=Precision.F32,
    device="CPU",
)
CHOSEN = SeriesChoice(
    series_instance_uid="1.2.3",
    series_number=2,
    series_description="Thorax",
    modality="CT",
    instance_count=4,
    state=SeriesState.COMPLETE,
    verdict=Verdict.GEOMETRY,
    verdict_reason="Positions without gap.",
    chosen=True,
    eligible=True,
    reason="Chosen: lung kernel.",
)


def how(
    *, spec: InputSpec | None = None, minimum_slices: int | None = None, source_probe: str = "", **model: Any
) -> CtMethod:
    return method(
        spec or tiny_spec(),
        dataclasses.replace(MODEL, **model),
        minimum_slices=minimum_slices,
        source_probe=source_probe,
    )


def answer(probability: float, framing: Framing = Framing.LUNG_BOX) -> Scored:
    return Scored(probability=probability, cam=np.ones((8, 8), np.float32), box=(0, 8, 0, 8), framing=framing)


@pytest.fixture
def looked(make_header: Callable[..., InstanceHeader]) -> Callable[..., LookedAt]:
    """Return a series of five slices of which the three between are kept."""

    def make(
        *,
        reason: str | None = None,
        note: str | None = None,
        orientation: tuple[float, ...] = UPRIGHT,
        kept: tuple[int, ...] = (1, 2, 3),
    ) -> LookedAt:
        sources = tuple(
            SliceSource(
                header=make_header(sop_instance_uid=f"1.2.3.{index}", instance_number=index + 1),
                frame=1,
                plane=slice_plane((0, 0, 5 * index), orientation),
                position=5.0 * index,
                pixels=StoredPixels.__new__(StoredPixels),
            )
            for index in range(5)
        )
        return LookedAt(
            sources=sources,
            counts=tuple(DarkCount(count=100 * index, in_body=100 * index) for index in range(5)),
            pixel_digests=tuple("abcde"),
            profiles=(np.zeros(8, np.float32),) * 5,
            kept=kept,
            threshold=Fraction(200, 3),
            plausibility=Plausibility(reason=reason, runs=1, note=note),
        )

    return make


def test_a_positive_finding_keeps_all_slices(looked: Callable[..., LookedAt]) -> None:
    finding = analysed(how(), (CHOSEN,), looked(), [answer(0.5), answer(0.2), answer(0.1)])
    assert (finding.outcome, finding.run_outcome) == (Outcome.POSITIVE, RunOutcome.SUCCEEDED)
    assert (finding.received, finding.selected, finding.positive) == (5, 3, 1)
    assert [item.probability for item in finding.slices] == [None, 0.5, 0.2, 0.1, None]
    assert [item.positive for item in finding.slices] == [False, True, False, False, False]
    assert [item.dark_count for item in finding.slices] == [0, 100, 200, 300, 400]
    assert finding.selection_threshold == "200/3"


def test_below_the_share_it_is_negative(looked: Callable[..., LookedAt]) -> None:
    finding = analysed(how(), (CHOSEN,), looked(), [answer(0.49), answer(0.2), answer(0.1)])
    assert finding.outcome is Outcome.NEGATIVE


def test_an_implausible_selection_is_undetermined_whatever_else(looked: Callable[..., LookedAt]) -> None:
    finding = analysed(how(), (CHOSEN,), looked(reason="No lung was seen."), ())
    assert (finding.outcome, finding.reason) == (Outcome.UNDETERMINED, "No lung was seen.")
    assert finding.selected == 3
    assert all(item.probability is None for item in finding.slices)


def test_nothing_is_decided_where_nothing_was_scored(looked: Callable[..., LookedAt]) -> None:
    finding = analysed(how(), (CHOSEN,), looked(), ())
    assert (finding.outcome, finding.ratio) == (Outcome.UNDETERMINED, None)


def test_a_patient_of_unknown_age_is_told(looked: Callable[..., LookedAt]) -> None:
    found = looked()
    unknown = dataclasses.replace(
        found,
        sources=tuple(
            dataclasses.replace(item, header=dataclasses.replace(item.header, patient_age_years=None))
            for item in found.sources
        ),
    )
    told = "The patient's age is unknown; the model is made for 18 years or more."
    assert told in analysed(how(), (CHOSEN,), unknown, [answer(0.9)] * 3).warnings
    assert told not in analysed(how(), (CHOSEN,), found, [answer(0.9)] * 3).warnings


@pytest.mark.parametrize(
    ("kept", "cut"), [((1, 2, 3), False), ((0, 1, 2), True), ((2, 3, 4), True), ((0, 1, 2, 3, 4), True)]
)
def test_lungs_that_reach_an_end_of_the_series_are_told(
    looked: Callable[..., LookedAt], kept: tuple[int, ...], cut: bool
) -> None:
    finding = analysed(how(), (CHOSEN,), looked(kept=kept), [answer(0.9)] * len(kept))
    told = "The lungs reach the first or the last slice: a part of them may lie outside of the series."
    assert (told in finding.warnings) is cut


def test_too_few_selected_slices_are_undetermined(looked: Callable[..., LookedAt]) -> None:
    spec = tiny_spec()
    selection = dataclasses.replace(spec.selection, minimum_selected=4)
    strict = how(spec=tiny_spec(ct_selection=selection))
    finding = analysed(strict, (CHOSEN,), looked(), [answer(0.9)] * 3)
    assert finding.outcome is Outcome.UNDETERMINED


def test_an_incomplete_series_is_a_partial_success(looked: Callable[..., LookedAt]) -> None:
    partial = dataclasses.replace(
        CHOSEN, state=SeriesState.INCOMPLETE, verdict=Verdict.CAP, verdict_reason="The cap passed."
    )
    finding = analysed(how(), (partial,), looked(), [answer(0.9)] * 3)
    assert finding.run_outcome is RunOutcome.PARTIALLY_SUCCEEDED
    assert "The series may be incomplete: The cap passed." in finding.warnings


@pytest.mark.parametrize(
    ("status", "words"),
    [(ModelStatus.UNTRAINED, "untrained"), (ModelStatus.DEMONSTRATION, "demonstration"), (None, "")],
)
def test_the_models_status_limits_every_answer(status: ModelStatus | None, words: str) -> None:
    warnings = model_warnings(how(status=status or ModelStatus.VALIDATED))
    assert len(warnings) == (1 if status else 0)
    assert all(words in warning for warning in warnings)


def test_an_operating_point_that_is_not_validated_and_the_source_probe_are_told() -> None:
    spec = tiny_spec()
    point = dataclasses.replace(spec.operating_point, validated=False, chosen_on="pictures")
    warnings = model_warnings(
        how(spec=tiny_spec(operating_points=(point,)), source_probe="not usable on DICOM CT")
    )
    assert len(warnings) == 2
    assert "not validated" in warnings[0]
    assert "pictures" in warnings[0]
    assert warnings[1] == "Not usable on DICOM CT."


@pytest.mark.parametrize(
    ("orientation", "words"),
    [
        (UPRIGHT, None),
        ((-1.0, 0.0, 0.0, 0.0, -1.0, 0.0), "set upright"),
        ((0.0, 1.0, 0.0, -1.0, 0.0, 0.0), "decubitus"),
    ],
)
def test_a_corrected_orientation_is_told(
    looked: Callable[..., LookedAt], orientation: tuple[float, ...], words: str | None
) -> None:
    spec = tiny_spec()
    selection = dataclasses.replace(spec.selection, minimum_slices=3)
    finding = analysed(
        how(spec=tiny_spec(ct_selection=selection)),
        (CHOSEN,),
        looked(orientation=orientation),
        [answer(0.9)] * 3,
    )
    assert [words in warning for warning in finding.warnings if words] == ([True] if words else [])
    assert len(finding.warnings) == (1 if words else 0)


def test_few_slices_a_note_and_missing_lung_outlines_are_told(looked: Callable[..., LookedAt]) -> None:
    scored = [answer(0.9), answer(0.9, Framing.FULL_FRAME), answer(0.9)]
    finding = analysed(how(), (CHOSEN,), looked(note="Two runs."), scored)
    assert finding.warnings == (
        "The answer rests on 3 slices; 10 or more are usual.",
        "Two runs.",
        "On 1 of 3 scored slices no lung outline was found; they were scored whole.",
    )


def test_a_lowered_minimum_lowers_the_selected_one_too_and_is_part_of_the_rule() -> None:
    lowered = how(minimum_slices=1)
    assert (lowered.selection.minimum_slices, lowered.selection.minimum_selected) == (1, 1)
    raised = how(minimum_slices=50)
    assert (raised.selection.minimum_slices, raised.selection.minimum_selected) == (50, 3)
    assert len({how().rule_text, lowered.rule_text, raised.rule_text}) == 3


def test_what_was_not_analysed_has_no_numbers() -> None:
    finding = not_analysed(how(), (CHOSEN,), "Nothing fits.", run_outcome=RunOutcome.NOT_ATTEMPTED)
    assert (finding.outcome, finding.slices, finding.operating_point) == (Outcome.NOT_ANALYSED, (), None)
    assert finding.series_instance_uid is None


@pytest.mark.parametrize("text", ["no lung", "No lung.", " no lung. "])
def test_sentences(text: str) -> None:
    assert sentence(text) == "No lung."


@pytest.mark.parametrize(
    ("kept", "minimum", "score", "outcome"),
    [
        ((0, 1, 2), 5, 0.1, Outcome.UNDETERMINED),
        ((2, 3, 4), 5, 0.1, Outcome.UNDETERMINED),
        ((1, 2, 3), 5, 0.1, Outcome.NEGATIVE),
        ((0, 1, 2), 5, 0.9, Outcome.POSITIVE),
        ((0, 1, 2), 6, 0.1, Outcome.NEGATIVE),  # an operator has asked for an answer on fewer slices
    ],
)
def test_no_negative_answer_where_the_series_begins_or_ends_within_the_lungs(
    looked: Callable[..., LookedAt], kept: tuple[int, ...], minimum: int, score: float, outcome: Outcome
) -> None:
    spec = tiny_spec()
    selection = dataclasses.replace(spec.selection, minimum_slices=minimum)
    judged_by = how(spec=dataclasses.replace(spec, ct_selection=selection))
    finding = analysed(judged_by, (CHOSEN,), looked(kept=kept), [answer(score)] * 3)
    assert finding.outcome is outcome
    assert ("no negative answer" in finding.reason) is (outcome is Outcome.UNDETERMINED)
