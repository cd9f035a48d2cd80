"""The golden replay: the stored phantom slices through today's preparation and today's engine.

It catches a changed preparation, swapped weights, a wrong precision or a broken accelerator before the next
patient does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from node.domain.errors import CanaryFailed
from node.domain.model import Precision
from node.domain.ports import Scorer
from node.imaging.prepare import prepare_stored
from node.infer.bundle import Bundle
from node.infer.golden_record import Golden

PREPARED_TOLERANCE = 1e-6
"""Absolute and relative; below one step of the 8-bit and 12-bit values by three orders of magnitude."""

Real = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Differences:
    """How far an engine's answer to the golden slices lies from the export's."""

    precision: Precision
    """Arithmetic of the engine."""
    probabilities: float
    """Largest difference of a probability."""
    maps: float
    """Largest difference of a map's value, each map divided by its maximum."""
    tolerance: float
    """What the export allows each of them at this precision."""

    @property
    def passed(self) -> bool:
        """Whether both are allowed."""
        return self.probabilities <= self.tolerance and self.maps <= self.tolerance


def replay(bundle: Bundle, scorer: Scorer[Real]) -> Differences:
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
    found = differences(bundle, scorer)
    for what, difference in (("probabilities", found.probabilities), ("maps", found.maps)):
        if not difference <= found.tolerance:
            raise CanaryFailed(
                f"{bundle.name} version {bundle.version}: {what} differ from the export's by "
                f"{difference:.3g}, allowed is {found.tolerance:.3g}; nothing is screened until the replay "
                "passes"
            )
    return found


def differences(bundle: Bundle, scorer: Scorer[Real], *, batch: int | None = None) -> Differences:
    """Prepare and score the golden slices and measure the distance to the stored answer.

    Parameters
    ----------
    bundle : Bundle
    scorer : Scorer
    batch : int, optional
        Slices in one request, at most as many as the configuration allows; the golden slices are repeated
        until they fill it. By default each slice is scored once, in as few requests as possible.

    Raises
    ------
    CanaryFailed
        The preparation differs, the answer has another shape, or the precision has no tolerance.
    EngineUnavailable, ScoresInvalid
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
    tolerance = tolerance_at(golden, precision)
    if tolerance is None:
        raise CanaryFailed(f"{bundle.name}: golden.npz has no tolerance for {precision.value}")
    size = min(batch or bundle.config.max_batch_size, bundle.config.max_batch_size)
    order = np.arange(max(len(prepared), batch or 0)) % len(prepared)
    probabilities, cam = _scores(scorer, prepared[order], size)
    return Differences(
        precision=precision,
        probabilities=_difference(bundle, "probabilities", probabilities, golden.probabilities[order]),
        maps=_difference(bundle, "maps", normalised(cam), normalised(golden.cam[order])),
        tolerance=tolerance,
    )


def tolerance_at(golden: Golden, precision: Precision) -> float | None:
    """Return the tolerance at a precision; None where the export measured none.

    Half precision has three bits more than bf16, so it is held to the tolerance of bf16.
    """
    measured = Precision.BF16 if precision is Precision.F16 else precision
    return golden.tolerances.get(measured)


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


def _difference(bundle: Bundle, what: str, found: Real, expected: Real) -> float:
    if found.shape != expected.shape:
        raise CanaryFailed(
            f"{bundle.name} version {bundle.version}: {what} of shape {found.shape}, "
            f"the export recorded {expected.shape}; put the exported folder back as a whole"
        )
    return float(np.abs(found - expected).max())
