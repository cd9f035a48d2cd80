"""Targets of two classes, of several, and of several findings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.domain.input_spec import OutputSpec
from trainer.cases.case import Case
from trainer.errors import EmptyClass, RecipeError
from trainer.feed.targets import Loss, class_name, require_every_output, targets_of

THREE = ("normal", "covid", "other-pneumonia")


def outputs(*classes: str) -> OutputSpec:
    return OutputSpec(probabilities="probabilities", cam="cam", classes=classes, positive_class=classes[-1])


def case(
    positive: bool = False,
    label: str | None = None,
    findings: tuple[tuple[str, float], ...] = (),
    source: str = "ct-cov19",
) -> Case:
    return Case(
        image=Path("a.png"),
        positive=positive,
        source=source,
        split="train",
        group="1",
        label=label,
        findings=findings,
    )


def test_two_classes_are_positive_and_not_whatever_the_order() -> None:
    cases = [case(True), case(False)]
    np.testing.assert_array_equal(targets_of(cases, outputs("no", "yes"), Loss.SOFTMAX), [[0, 1], [1, 0]])
    turned = OutputSpec(probabilities="p", cam="c", classes=("yes", "no"), positive_class="yes")
    np.testing.assert_array_equal(targets_of(cases, turned, Loss.SOFTMAX), [[1, 0], [0, 1]])


def test_ct_cov19_has_three_classes() -> None:
    cases = [case(True, "COV"), case(label="other"), case(label="Normal")]
    targets = targets_of(cases, outputs(*THREE), Loss.SOFTMAX)
    np.testing.assert_array_equal(targets, [[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    assert targets.dtype == np.float32


def test_a_label_that_is_no_class_is_named() -> None:
    cases = [case(True, "COV"), case(label="other")]
    with pytest.raises(RecipeError, match="other-pneumonia"):
        targets_of(cases, outputs("covid", "normal", "influenza"), Loss.SOFTMAX)
    with pytest.raises(RecipeError, match="no label"):
        targets_of([case(True)], outputs(*THREE), Loss.SOFTMAX)


def test_labels_of_other_sets_become_classes_by_their_own_words() -> None:
    cases = [case(label="PNEUMONIA/bacteria", source="kaggle-pneumonia")]
    names = outputs("normal", "pneumonia-virus", "pneumonia-bacteria")
    np.testing.assert_array_equal(targets_of(cases, names, Loss.SOFTMAX), [[0, 0, 1]])


def test_findings_stand_side_by_side_and_unknown_ones_are_nan() -> None:
    cases = [
        case(findings=(("Pleural Effusion", 1.0), ("Pneumonia", 0.0), ("Fracture", 1.0))),
        case(findings=(("Pneumonia", 1.0),)),
    ]
    for names in (("Pleural Effusion", "Pneumonia"), ("pleural-effusion", "pneumonia")):
        targets = targets_of(cases, outputs(*names), Loss.SIGMOID)
        np.testing.assert_array_equal(targets, [[1, 0], [np.nan, 1]])


def test_a_finding_that_no_case_tells_of_is_named() -> None:
    with pytest.raises(RecipeError, match=r"edema.*Pneumonia"):
        targets_of([case(findings=(("Pneumonia", 1.0),))], outputs("edema", "pneumonia"), Loss.SIGMOID)
    with pytest.raises(RecipeError, match="none"):
        targets_of([case()], outputs("edema", "pneumonia"), Loss.SIGMOID)


def test_an_empty_class_is_named() -> None:
    targets = targets_of([case(True)], outputs("non-covid", "covid"), Loss.SOFTMAX)
    with pytest.raises(EmptyClass, match="non-covid"):
        require_every_output(targets, outputs("non-covid", "covid"), Loss.SOFTMAX)
    targets = targets_of([case(findings=(("Edema", 1.0),))], outputs("edema"), Loss.SIGMOID)
    with pytest.raises(EmptyClass, match="every case"):
        require_every_output(targets, outputs("edema"), Loss.SIGMOID)
    both = np.array([[0, np.nan], [1, 1], [np.nan, 0]], dtype=np.float32)
    require_every_output(both, outputs("edema", "pneumonia"), Loss.SIGMOID)


@given(st.text(max_size=30))
def test_a_class_name_is_its_own_class_name(label: str) -> None:
    assert class_name(class_name(label)) == class_name(label)
