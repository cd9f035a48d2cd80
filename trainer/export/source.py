"""What is exported: networks, where they come from, and their input specification."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from torch import nn

from node.domain.input_spec import InputSpec, SelectionRule
from node.domain.model import ModelStatus
from node.domain.result import OperatingPoint
from trainer.errors import BundleError
from trainer.feed.specification import specification
from trainer.fit.finished import FinishedRun, read_run
from trainer.fit.recipe import read_recipe
from trainer.imports.importing import Imported, load_imported
from trainer.judge.calibration import Calibration, apply_temperature, read_calibration

CTSET_RECIPE: Final = Path(__file__).parents[1] / "recipes" / "ctset-paper.toml"
"""Has the specification and the operating points that the authors' networks were published with."""
CTSET: Final = "covid-ctset"
"""What the authors' networks were fitted on."""
STATUSES: Final = (ModelStatus.UNTRAINED, ModelStatus.DEMONSTRATION)
"""What a trainer may claim; a validation is no training."""
SIGMOID: Final = "sigmoid"


@dataclass(frozen=True, kw_only=True)
class Target:
    """What the bundle shall be called."""

    name: str
    version: int
    status: str
    selection: str | None = None
    """Rule by which slices are selected, for imported networks; None: ``in-body``."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Networks to export."""

    net: str
    """Name in the catalogue."""
    members: tuple[nn.Module, ...]
    """Served together, in evaluation mode."""
    spec: InputSpec
    """With the operating points as the calibrated scores need them."""
    trained_on: str
    """Kind of the data set."""
    origin: FinishedRun | Imported
    calibration: Calibration | None

    @property
    def temperature(self) -> float:
        """Of the scores; 1 where nothing was calibrated."""
        return 1.0 if self.calibration is None else self.calibration.temperature


def read_source(path: Path, target: Target) -> Source:
    """Read the folder of a finished run, or a file that ``import-keras`` wrote.

    Raises
    ------
    BundleError
        The networks cannot be served, or the target asks for what they do not have.
    CheckpointError, RecipeError
        A file is missing or damaged, or its recipe malformed.
    """
    if target.status not in STATUSES:
        raise BundleError(f"status {target.status!r} is not one that an export gives: {', '.join(STATUSES)}")
    return _run(path, target) if path.is_dir() else _imported(path, target)


def _run(folder: Path, target: Target) -> Source:
    if target.selection is not None:
        raise BundleError("the run's recipe says how slices are selected; leave --selection out")
    finished = read_run(folder)
    if finished.recipe.schedule.loss == SIGMOID:
        raise BundleError(
            f"{finished.recipe.name} gives several findings side by side, and a bundle one class among "
            "several; it serves as a part of Deep-CXR-Net (fit --part), not by itself"
        )
    calibration = read_calibration(folder)
    spec = finished.specification(target.name, target.version, target.status)
    return Source(
        net=finished.recipe.net,
        members=finished.members,
        spec=spec if calibration is None else recalibrated(spec, calibration.temperature),
        trained_on=str(finished.record["source"]),
        origin=finished,
        calibration=calibration,
    )


def recalibrated(spec: InputSpec, temperature: float) -> InputSpec:
    """Return a specification whose thresholds decide on divided log odds as the old ones did before."""
    return replace(
        spec, operating_points=tuple(_moved(point, temperature) for point in spec.operating_points)
    )


def _moved(point: OperatingPoint, temperature: float) -> OperatingPoint:
    if not 0 < point.slice_threshold < 1:
        return point
    return replace(
        point,
        slice_threshold=float(apply_temperature(np.array(point.slice_threshold), temperature)),
        chosen_on=f"{point.chosen_on}; moved with the scores by the temperature {temperature:.4g}",
    )


def _imported(file: Path, target: Target) -> Source:
    net, imported = load_imported(file)
    recipe = read_recipe(CTSET_RECIPE)
    parts = _with_size(recipe.specification, imported.side)
    if target.selection is not None:
        if target.selection not in set(SelectionRule):
            raise BundleError(f"--selection is one of {', '.join(SelectionRule)}, not {target.selection!r}")
        parts["selection"] = dict(parts["selection"]) | {"rule": target.selection}
    spec = specification(
        parts,
        name=target.name,
        version=target.version,
        status=target.status,
        points=recipe.points,
        active=recipe.active,
    )
    return Source(
        net=imported.net, members=(net,), spec=spec, trained_on=CTSET, origin=imported, calibration=None
    )


def _with_size(parts: Mapping[str, Any], side: int) -> dict[str, Any]:
    return dict(parts) | {"input": dict(parts["input"]) | {"size": [side, side]}}
