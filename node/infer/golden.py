"""The golden replay: the stored phantom slices through today's preparation and today's engine.

It catches a changed preparation, swapped weights, a wrong precision or a broken accelerator before the next
patient does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from node.domain.errors import CanaryFailed
from node.domain.ports import Scorer
from node.imaging.prepare import prepare_stored
from node.infer.bundle import Bundle

PREPARED_TOLERANCE = 1e-6
"""Absolute and relative; below one step of the 8-bit and 12-bit values by three orders of magnitude."""

Real = NDArray[np.float32]


def replay(bundle: Bundle, scorer: Scorer[Real]) -> None:
    """Prepare and score the golden slices and compare with the stored answer.

    Parameters
    ----------
    bundle : Bundle
    scorer : Scorer
        The engine that will screen patients, at its precision.

    Raises
    ------
    CanaryFailed
        The preparation, the probabilities or the maps differ by more than their tolerance.
    EngineUnavailable
        The engine gave no answer.
    ScoresInvalid
        The answer is not a set of scores.
    """
    golden = bundle.golden
    prepared = np.stack([prepare_stored(v, bundle.spec).tensor for v in golden.slices])
    if not np.allclose(prepared, golden.prepared, rtol=PREPARED_TOLERANCE, atol=PREPARED_TOLERANCE):
        difference = float(np.abs(prepared - golden.prepared).max())
        raise CanaryFailed(
            f"{bundle.name} version {bundle.version}: the preparation differs from the export's by up to "
            f"{difference:.3g}; install the node that the model was made for"
        )
    precision = scorer.identity.precision
    tolerance = golden.tolerances.get(precision)
    if tolerance is None:
        raise CanaryFailed(f"{bundle.name}: golden.npz has no tolerance for {precision.value}")
    probabilities, cam = _scores(scorer, prepared, bundle.config.max_batch_size)
    _compare(bundle, "probabilities", probabilities, golden.probabilities, tolerance)
    _compare(bundle, "maps", normalised(cam), normalised(golden.cam), tolerance)


def normalised(cam: Real) -> Real:
    """Return each map divided by its maximum; a map of zeros stays as it is.

    Parameters
    ----------
    cam : float32 array, shape (slices, grid rows, grid columns)
        Not negative.
    """
    peak = cam.max(axis=(1, 2), keepdims=True)
    scaled: Real = np.divide(cam, peak, out=np.zeros_like(cam), where=peak > 0)
    return scaled


def _scores(scorer: Scorer[Real], prepared: Real, batch: int) -> tuple[Real, Real]:
    answers = [scorer.score(prepared[start : start + batch]) for start in range(0, len(prepared), batch)]
    return np.concatenate([item[0] for item in answers]), np.concatenate([item[1] for item in answers])


def _compare(bundle: Bundle, what: str, found: Real, expected: Real, tolerance: float) -> None:
    if found.shape != expected.shape:
        raise CanaryFailed(
            f"{bundle.name} version {bundle.version}: {what} of shape {found.shape}, "
            f"the export recorded {expected.shape}; put the exported folder back as a whole"
        )
    difference = float(np.abs(found - expected).max())
    if not difference <= tolerance:
        raise CanaryFailed(
            f"{bundle.name} version {bundle.version}: {what} differ from the export's by {difference:.3g}, "
            f"allowed is {tolerance:.3g}; nothing is screened until the replay passes"
        )
