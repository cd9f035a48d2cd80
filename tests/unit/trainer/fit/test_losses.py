"""Losses, optimisers, and what is refused before the first step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from node.domain.input_spec import OutputSpec
from tests.model_folder import tiny_spec
from trainer.cases.case import Case
from trainer.errors import EmptyClass
from trainer.feed.batches import Pictures
from trainer.fit.losses import loss_of
from trainer.fit.result import SeenScores, rows_of
from trainer.fit.scoring import mean_probability, validation_figures
from trainer.fit.steps import learning_rate, optimiser

NAN = float("nan")
FINDINGS = np.array([[1, 0], [0, NAN], [0, 1], [NAN, 0]], dtype=np.float32)


def outputs(*classes: str) -> OutputSpec:
    return OutputSpec(probabilities="p", cam="c", classes=classes, positive_class=classes[0])


def test_unknown_findings_take_no_part() -> None:
    scores = torch.tensor([[2.0, -1.0], [0.5, 9.0], [-3.0, 0.2], [7.0, 1.0]], requires_grad=True)
    losses = loss_of("sigmoid", FINDINGS, outputs("a", "b"), weighted=False)(
        scores, torch.from_numpy(FINDINGS)
    )
    whole = functional.binary_cross_entropy_with_logits
    assert losses[0].item() == pytest.approx(whole(scores[0], torch.tensor([1.0, 0.0])).item())
    assert losses[1].item() == pytest.approx(whole(scores[1, 0], torch.tensor(0.0)).item())
    losses.sum().backward()
    assert scores.grad is not None
    assert (scores.grad[1, 1].item(), scores.grad[3, 0].item()) == (0.0, 0.0)


def test_rare_findings_and_classes_weigh_more() -> None:
    rare = np.array([[1], [0], [0], [0]], dtype=np.float32)
    loss = loss_of("sigmoid", rare, outputs("a"), weighted=True)
    present, absent = loss(torch.zeros(2, 1), torch.tensor([[1.0], [0.0]])).tolist()
    assert present == pytest.approx(3 * absent)
    classes = np.array([[1, 0], [0, 1], [0, 1], [0, 1]], dtype=np.float32)
    weights = loss_of("softmax", classes, outputs("a", "b"), weighted=True)(torch.zeros(2, 2), torch.eye(2))
    assert weights[0].item() == pytest.approx(3 * weights[1].item())
    even = loss_of("softmax", classes, outputs("a", "b"), weighted=True)(
        torch.zeros(4, 2), torch.from_numpy(classes)
    )
    assert even.mean().item() == pytest.approx(np.log(2))


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_a_class_without_an_image_is_refused_by_name(kind: str) -> None:
    targets = np.array([[1, 0], [0, 0]], dtype=np.float32)
    with pytest.raises(EmptyClass, match="no case of normal"):
        loss_of(kind, targets, outputs("covid", "normal"), weighted=False)


def test_the_optimisers_are_those_of_the_papers() -> None:
    net = torch.nn.Linear(2, 2)
    nadam = optimiser(net, "nadam", 1e-4, 0.0)
    assert isinstance(nadam, torch.optim.NAdam)
    group = nadam.param_groups[0]
    assert (group["lr"], group["betas"], group["eps"]) == (1e-4, (0.9, 0.999), 1e-7)
    assert (group["momentum_decay"], group["weight_decay"]) == (4e-3, 0)
    adam = optimiser(net, "adam", 1e-5, 0.0)
    assert type(adam) is torch.optim.Adam
    assert {group["weight_decay"] for group in optimiser(net, "adamw", 1e-3, 0.1).param_groups} == {0.1, 0.0}
    assert [learning_rate(step, 10, 2, 1.0, "constant") for step in (0, 1, 2, 9)] == [0.5, 1.0, 1.0, 1.0]


def test_members_are_averaged_in_the_log_domain() -> None:
    one, other = np.array([[0.9, 0.1]]), np.array([[0.5, 0.5]])
    odds = np.sqrt(0.9 / 0.1)
    assert mean_probability([one, other])[0] == pytest.approx([odds / (1 + odds), 1 / (1 + odds)])
    sure = np.array([[1e-9, 1 - 1e-9], [1e-12, 1 - 1e-12], [0.0, 1.0]])
    assert np.all(np.diff(mean_probability([sure, sure])[:, 0]) < 0)


def test_findings_are_judged_where_they_are_known() -> None:
    scores = np.array([[0.9, 0.1], [0.2, 0.9], [0.4, 0.8], [0.0, 0.3]])
    area, accuracy = validation_figures(scores, FINDINGS, 0, "sigmoid")
    assert (area, accuracy) == (1.0, 1.0)
    area, accuracy = validation_figures(scores[:, :1], np.ones((4, 1), np.float32), 0, "sigmoid")
    assert np.isnan(area)


def test_a_case_of_which_the_finding_is_unknown_is_no_negative() -> None:
    spec = tiny_spec()
    other = 1 - spec.outputs.positive_index
    known = [
        Case(image=Path(str(row)), positive=False, source="chexpert", split="val", group="g") for row in "abc"
    ]
    targets = np.zeros((3, 2), np.float32)
    targets[:, spec.outputs.positive_index] = (1, np.nan, 0)
    targets[:, other] = 1
    pictures = Pictures(known, spec, targets, 0)
    seen = SeenScores(part=0, cases=tuple(known), pictures=pictures, scores=np.full((3, 2), 0.5))
    assert [(row["image"], row["positive"]) for row in rows_of([seen])] == [("val//a", 1), ("val//c", 0)]
