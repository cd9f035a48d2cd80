"""Fifty steps of the recipes' optimisers against Keras' with the same gradients (``tests/parity``)."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from tests.parity.numbers import STEPS, gradients, weights_before
from tests.parity.optimising import TOLERANCE, Weights, rows_of

GIVEN = json.loads((Path(__file__).parents[3] / "parity" / "answers" / "optimisers.json").read_text())


def test_weights_end_where_those_of_keras_do() -> None:
    rows = rows_of(GIVEN, "Keras")
    assert sum(row.tolerance is not None for row in rows) == 4
    assert [row for row in rows if not row.holds] == []


def test_another_momentum_decay_would_show() -> None:
    net = Weights()
    other = torch.optim.NAdam(net.parameters(), lr=1e-4, eps=1e-7, momentum_decay=8e-3)
    for gradient in gradients(1.0):
        net.values.grad = torch.from_numpy(gradient)
        other.step()
    assert len(gradients(1.0)) == STEPS
    difference = (net.values.detach() - torch.tensor(GIVEN["nadam"]["1.0"])).abs().max()
    assert difference > 3 * TOLERANCE
    assert (net.values.detach() - torch.from_numpy(weights_before())).abs().max() > 1e-3
