"""``fit``: fit a recipe and judge it on what it did not see."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trainer.cli.options import Threads, use_threads
from trainer.fit.recipe import read_recipe
from trainer.fit.run import fit_run


def fit(
    *,
    data: Annotated[str, typer.Option(help="KIND:PATH; its training part is used.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; new, or with --resume one begun before.")],
    recipe: Annotated[Path, typer.Option(help="Recipe file.")] = Path(__file__).parents[1]
    / "recipes"
    / "default.toml",
    init: Annotated[Path | None, typer.Option(help="File with published ImageNet weights.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after the last whole epoch.")] = False,
    threads: Threads = 0,
) -> None:
    """Fit every fold of a recipe and judge it out of fold. Killed at any moment, --resume goes on exactly."""
    use_threads(threads)
    result = fit_run(read_recipe(recipe), data, out, init=init, resume=resume, report=typer.echo)
    typer.echo(
        f"AUC a fold: {', '.join(f'{value:.3f}' for value in result['fold_auc'])}; out of fold "
        f"{result['out_of_fold']['auc']:.3f}; slice threshold {result['operating_point']['slice_threshold']}"
    )
