"""What a network shall answer for each case: classes that exclude one another, or findings side by side."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from node.domain.input_spec import OutputSpec
from trainer.cases.case import Case
from trainer.errors import EmptyClass, RecipeError

Targets = NDArray[np.float32]


class Loss(StrEnum):
    """How a network's outputs are read."""

    SOFTMAX = "softmax"
    """One of several classes."""
    SIGMOID = "sigmoid"
    """One finding an output, each for itself; what is not known of a case is left out of the loss."""


CLASS_OF_LABEL: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {"ct-cov19": MappingProxyType({"COV": "covid", "other": "other-pneumonia", "Normal": "normal"})}
)
"""Source -> the set's own label -> class. Labels of all other sources become classes by `class_name`."""


def class_name(label: str) -> str:
    """Return a label or finding as classes are written: lower case, words joined by hyphens.

    ``Pleural Effusion`` becomes ``pleural-effusion``.
    """
    return re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")


def targets_of(cases: Sequence[Case], outputs: OutputSpec, loss: Loss) -> Targets:
    """Return what the outputs shall be.

    Parameters
    ----------
    cases : sequence of Case
    outputs : OutputSpec
        Two classes: the positive one is ``Case.positive``. More: ``Case.label`` by `CLASS_OF_LABEL`. With
        ``Loss.SIGMOID`` each class names a finding of ``Case.findings``, in `class_name`'s writing or
        the set's own.
    loss : Loss

    Returns
    -------
    float32 array, shape (cases, classes)
        One-hot for ``Loss.SOFTMAX``; 0, 1, or NaN where unknown for ``Loss.SIGMOID``.

    Raises
    ------
    RecipeError
        A label is none of the classes, or a class is a finding that no case has; they are named.
    """
    if loss is Loss.SIGMOID:
        return _findings(cases, outputs.classes)
    if len(outputs.classes) == 2:
        positive = outputs.positive_index
        columns = [positive if case.positive else 1 - positive for case in cases]
    else:
        columns = _labels(cases, outputs.classes)
    return np.eye(len(outputs.classes), dtype=np.float32)[columns]


def require_every_output(targets: Targets, outputs: OutputSpec, loss: Loss) -> None:
    """Make sure that there is something to learn for each output.

    Parameters
    ----------
    targets : float32 array, shape (cases, classes)
        Of the cases that are fitted.
    outputs : OutputSpec
    loss : Loss

    Raises
    ------
    EmptyClass
        A class has no case, or a finding has none with it or none without it.
    """
    for column, name in enumerate(outputs.classes):
        if not (targets[:, column] == 1).any():
            raise EmptyClass(f"no case of {name} is among the {len(targets)} to be fitted: nothing to learn")
        if loss is Loss.SIGMOID and not (targets[:, column] == 0).any():
            raise EmptyClass(f"{name} is present in every case that tells: nothing to learn")


def _labels(cases: Sequence[Case], classes: Sequence[str]) -> list[int]:
    names = [_class_of(case) for case in cases]
    if unknown := sorted({name or "(no label)" for name in names} - set(classes)):
        raise RecipeError(
            f"outputs.classes are {', '.join(classes)}, but the cases of {cases[0].source} have the class "
            f"{', '.join(unknown)}; name these in the recipe, or use two classes"
        )
    return [classes.index(str(name)) for name in names]


def _class_of(case: Case) -> str | None:
    if case.label is None:
        return None
    return CLASS_OF_LABEL.get(case.source, {}).get(case.label) or class_name(case.label)


def _findings(cases: Sequence[Case], classes: Sequence[str]) -> Targets:
    wanted = {class_name(name): column for column, name in enumerate(classes)}
    targets = np.full((len(cases), len(classes)), np.nan, dtype=np.float32)
    for row, case in enumerate(cases):
        for finding, value in case.findings:
            column = wanted.get(class_name(finding))
            if column is not None:
                targets[row, column] = value
    if missing := [classes[int(column)] for column in np.flatnonzero(np.isnan(targets).all(axis=0))]:
        known = sorted({finding for case in cases for finding, _ in case.findings})
        raise RecipeError(
            f"no case tells whether there is {', '.join(missing)}; the findings of {cases[0].source} are: "
            f"{', '.join(known) or 'none'}"
        )
    return targets
