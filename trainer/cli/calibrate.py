"""``calibrate``: the temperature of a run's scores, or how far a bundle's are from frequencies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from trainer.errors import DataError
from trainer.judge.calibration import (
    FILE,
    PREVALENCE_WARNING,
    Calibration,
    read_run_scores,
    reliability,
    write_calibration,
)
from trainer.judge.calibration import calibrate as find_temperature
from trainer.judge.plots import reliability_png
from trainer.judge.runner import read_bundle
from trainer.judge.scored import score_sets

PICTURE = "reliability.png"


def calibrate(
    *,
    run: Annotated[
        Path | None,
        typer.Option(help=f"Run folder: its held-out scores; writes {FILE} and {PICTURE} into it."),
    ] = None,
    bundle: Annotated[Path | None, typer.Option(help="Model folder: measures and draws only.")] = None,
    on: Annotated[str | None, typer.Option("--on", help="KIND:PATH, with --bundle.")] = None,
    plot: Annotated[
        Path | None, typer.Option(help=f"Picture with --bundle; ./{PICTURE} if left out.")
    ] = None,
    precision: Annotated[str, typer.Option(help="f32 or bf16, with --bundle.")] = "f32",
) -> None:
    """Find the temperature that brings scores nearest to frequencies, on images not fitted on.

    export applies the calibration of a run. A bundle's own scores are only measured: what was found on one
    set does not hold for another prevalence.
    """
    if run is not None and bundle is None and on is None:
        _calibrate_run(run)
    elif run is None and bundle is not None and on is not None:
        _measure_bundle(bundle, on, precision, plot or Path(PICTURE))
    else:
        raise typer.BadParameter("give either --run RUN, or --bundle BUNDLE with --on KIND:PATH")


def _calibrate_run(run: Path) -> None:
    held_out = read_run_scores(run)
    found = find_temperature(
        held_out.scores, held_out.positive, held_out.groups, f"{held_out.name} of the run"
    )
    write_calibration(run, found)
    _draw(found, held_out.scores, held_out.positive, run / PICTURE, f"Reliability: {held_out.name}")
    _print(found)
    typer.echo(f"Written: {run / FILE}, {run / PICTURE}; export applies it.")


def _measure_bundle(bundle: Path, on: str, precision: str, plot: Path) -> None:
    read = read_bundle(bundle)
    (scored,) = score_sets(read.model, read.spec, precision, [on], everything=False)
    if scored.kind == "dicom":
        raise DataError("the slices of dicom have no labels to calibrate by; with labels: dicom-labelled")
    found = find_temperature(scored.scores, scored.positive, scored.groups, on)
    _draw(
        found, scored.scores, scored.positive, plot, f"Reliability: {read.spec.model.name} on {scored.kind}"
    )
    _print(found)
    typer.echo(f"Drawn: {plot}. Nothing was changed in the bundle.")


def _draw(
    found: Calibration, scores: NDArray[np.floating], positive: NDArray[np.bool_], file: Path, title: str
) -> None:
    lines = {
        "before": reliability(scores, positive),
        f"after, T = {found.temperature:.2f}": reliability(found.apply(scores), positive),
    }
    reliability_png(lines, file, title, found.groups)


def _print(found: Calibration) -> None:
    low, high = found.temperature_interval
    typer.echo(
        f"Temperature {found.temperature:.3f} [{low:.3f}, {high:.3f}] on {found.found_on}: {found.images} "
        f"images, {found.groups} groups, {found.prevalence:.1%} positive."
    )
    for name, key in (("ECE", "ece"), ("Brier", "brier"), ("NLL", "nll")):
        typer.echo(
            f"{name:>5}: {getattr(found.before, key):.4f} before, {getattr(found.after, key):.4f} after"
        )
    typer.echo(
        "Both are of the images that the temperature was found on: after is too favourable for others."
    )
    if found.doubt:
        typer.echo(f"Warning: {found.doubt}.")
    typer.echo(f"Warning: {PREVALENCE_WARNING}")
