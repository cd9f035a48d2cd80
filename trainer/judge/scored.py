"""Data sets with the scores that a bundle gives them; no more tensors at a time than a chunk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from node.domain.input_spec import InputSpec
from trainer.cases.case import Case, with_known_truth
from trainer.cases.readers import held_out, read_cases
from trainer.errors import EmptyClass
from trainer.feed.images import prepared_image
from trainer.judge.runner import OpenVinoNet
from trainer.judge.series import LookedSeries, in_series, look_at_series

CHUNK: Final = 64
"""Prepared images in memory at a time."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """One data set with its scores."""

    argument: str
    """``KIND:PATH`` as given."""
    kind: str
    """Source of the cases (`Case.source`)."""
    cases: tuple[Case, ...]
    scores: NDArray[np.float32]
    """Shape (cases,): probability of the positive class."""
    unknown: int = 0
    """Images that were left out because it is not known whether they are positive."""
    probabilities: NDArray[np.float32] | None = None
    """Shape (cases, classes); None where only ``scores`` are known."""
    series: tuple[LookedSeries, ...] = ()
    """The whole series; their selected slices come first among ``cases``, in this order."""

    @property
    def positive(self) -> NDArray[np.bool_]:
        """Shape (cases,)."""
        return np.array([case.positive for case in self.cases], dtype=bool)

    @property
    def groups(self) -> list[str]:
        """The patients, or the nearest thing to them, one a case."""
        return [case.group for case in self.cases]

    def scores_of_series(self) -> list[NDArray[np.float32]]:
        """Return the scores of each series' selected slices."""
        ends = np.cumsum([len(one.kept) for one in self.series], dtype=np.intp)
        return [self.scores[end - len(one.kept) : end] for one, end in zip(self.series, ends, strict=True)]


def score_sets(
    model: bytes,
    spec: InputSpec,
    precision: str,
    arguments: Sequence[str],
    everything: bool,
    *,
    weights: bytes = b"",
) -> list[Scored]:
    """Score data sets with a network in OpenVINO.

    Parameters
    ----------
    model : bytes
        The ONNX file, or OpenVINO's description of a network.
    spec : InputSpec
    precision : str
        ``f32`` or ``bf16``.
    arguments : sequence of str
        ``KIND:PATH`` each.
    everything : bool
        Score training parts too, instead of held-out parts only.
    weights : bytes
        The weights of a network in OpenVINO's own format.

    Raises
    ------
    DataError
        A set cannot be read, or holds nothing outside its training part.
    """
    if not arguments:
        return []  # a network of hundreds of layers takes seconds to compile
    net = OpenVinoNet(model, spec, precision, weights)
    return [_score_set(net, spec, argument, everything) for argument in arguments]


def _score_set(net: OpenVinoNet, spec: InputSpec, argument: str, everything: bool) -> Scored:
    cases = read_cases(argument)
    kind = cases[0].source
    judged = cases if everything else held_out(cases)
    if not judged:
        raise EmptyClass(f"{argument} holds nothing outside its training part; score it with --everything")
    cases = with_known_truth(judged)
    if not cases:
        raise EmptyClass(f"of none of the {len(judged)} images of {argument} it is known what they show")
    series = look_at_series(cases, spec)
    chosen = [
        *(case for one in series for case in one.selected),
        *(case for case in cases if not in_series(case)),
    ]
    if not chosen:
        raise EmptyClass(f"no slice with open lungs was found in any series of {argument}")
    parts = []
    for start in range(0, len(chosen), CHUNK):
        tensors = np.stack([prepared_image(case, spec) for case in chosen[start : start + CHUNK]])
        parts.append(net(tensors)[0])
    probabilities = np.concatenate(parts)
    return Scored(
        argument=argument,
        kind=kind,
        cases=tuple(chosen),
        unknown=len(judged) - len(cases),
        scores=probabilities[:, spec.outputs.positive_index],
        probabilities=probabilities,
        series=tuple(series),
    )
