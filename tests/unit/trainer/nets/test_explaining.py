"""Grad-CAM in closed form against autograd, for every network of the catalogue (``tests/parity``)."""

from __future__ import annotations

import pytest
import torch

from tests.parity.explaining import largest_difference, shaken, side_of, table
from trainer.export.graph import ServedNet, gradcam_by_autograd
from trainer.nets.catalogue import NETS


@pytest.mark.parametrize("name", sorted(NETS))
def test_served_maps_are_those_of_autograd(name: str) -> None:
    (row,) = table((name,)).rows
    assert row.holds


def test_another_gradient_would_show() -> None:
    served = ServedNet([shaken("tiny")], 0)
    images = torch.rand(2, 3, side_of("tiny"), side_of("tiny"))
    wanted = gradcam_by_autograd(served, images)
    with torch.no_grad():
        served.heads[0].head.weight[0, 0] += 0.1
    assert (served(images)[1] - wanted).abs().max() > 1e-3 * wanted.max()
    assert largest_difference("tiny") < 1e-4
