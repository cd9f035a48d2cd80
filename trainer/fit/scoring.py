"""Scores of pictures by networks in torch, and the figures of a validation part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from node.domain.input_spec import InputSpec
from trainer.cases.case import Case
from trainer.feed.batches import BUDGET, Pictures, batches
from trainer.judge.metrics import auc

if TYPE_CHECKING:
    from trainer.fit.finished import FinishedRun

SCORING_BATCH = 32
WORKERS = 2
LEAST = float(np.finfo(np.float64).tiny)
"""Probabilities are kept this far from 0 before their logarithms are averaged; no two that differ meet."""

Scores = NDArray[np.float64]


@torch.no_grad()
def score_pictures(
    net: nn.Module,
    pictures: Pictures,
    spec: InputSpec,
    precision: str,
    *,
    loss: str = "softmax",
    indices: Sequence[int] | None = None,
    device: torch.device | str = "cpu",
) -> Scores:
    """Score pictures without augmentation.

    Parameters
    ----------
    net : nn.Module
        On ``device``; left in evaluation mode.
    pictures : Pictures
    spec : InputSpec
    precision : str
        ``f32`` or ``bf16``.
    loss : str
        ``softmax`` or ``sigmoid``: what makes probabilities of the scores.
    indices : sequence of int or None
        Which pictures; None: all.
    device : torch.device or str

    Returns
    -------
    float64 array, shape (indices, outputs)
    """
    net.eval()
    chosen = np.arange(len(pictures)) if indices is None else np.asarray(indices, dtype=np.int64)
    chunks = [chosen[start : start + SCORING_BATCH] for start in range(0, len(chosen), SCORING_BATCH)]
    kind = torch.device(device).type
    parts = [np.empty((0, len(spec.outputs.classes)))]
    for images, _ in batches(pictures, spec, None, chunks, (0,), workers=WORKERS):
        with torch.autocast(kind, torch.bfloat16, enabled=precision == "bf16"):
            scores: Tensor = net(images.to(device))
        wide = scores.cpu().double()  # not every device has float64
        parts.append((torch.sigmoid(wide) if loss == "sigmoid" else torch.softmax(wide, dim=1)).numpy())
    return np.concatenate(parts)


def mean_probability(parts: Sequence[Scores]) -> Scores:
    """Average members' class probabilities as the exported network does: in the log domain, then softmax.

    Parameters
    ----------
    parts : sequence of arrays, shape (n, classes)
    """
    logs = np.mean([np.log(np.maximum(part, LEAST)) for part in parts], axis=0)
    odds = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def score_run(
    run: FinishedRun, spec: InputSpec, cases: Sequence[Case], device: torch.device | str = "cpu"
) -> Scores:
    """Score cases with a finished run's members, averaged as they are served.

    Parameters
    ----------
    run : FinishedRun
    spec : InputSpec
        Of the run (``run.specification(...)``).
    cases : sequence of Case
        Nothing is left out: select slices with open lungs beforehand. Their labels play no part, and there
        may be none.
    device : torch.device or str
        The networks stay there.

    Returns
    -------
    float64 array, shape (cases, outputs)

    Raises
    ------
    PictureError
    """
    loss, once = run.recipe.schedule.loss, len(run.members) == 1
    unknown = np.full((len(cases), len(spec.outputs.classes)), np.nan, dtype=np.float32)
    pictures = Pictures(cases, spec, unknown, 0 if once else BUDGET)
    parts = [
        score_pictures(net.to(device), pictures, spec, "f32", loss=loss, device=device) for net in run.members
    ]
    return parts[0] if once else mean_probability(parts)


def validation_figures(
    scores: Scores, targets: NDArray[np.float32], positive: int, loss: str
) -> tuple[float, float]:
    """Return AUC and accuracy of a validation part; for findings the mean over those with both values.

    Parameters
    ----------
    scores : array, shape (n, outputs)
    targets : array, shape (n, outputs)
        NaN where a finding is unknown.
    positive : int
        Index of the positive class.
    loss : str

    Returns
    -------
    auc : float
        nan where a class is empty.
    accuracy : float
        Share of pictures whose most likely class is right, or of known findings on the right side of 0.5.
    """
    if loss == "softmax":
        truth = targets.argmax(axis=1)
        return auc(scores[:, positive], truth == positive), float((scores.argmax(axis=1) == truth).mean())
    known = ~np.isnan(targets)
    areas = [
        auc(scores[known[:, column], column], targets[known[:, column], column] > 0.5)
        for column in range(targets.shape[1])
    ]
    counted = [area for area in areas if not np.isnan(area)]
    right = ((scores >= 0.5) == (targets >= 0.5))[known]
    return (float(np.mean(counted)) if counted else float("nan")), float(right.mean())
