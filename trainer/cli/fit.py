"""``fit``: fit a recipe and judge it on what it did not see."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from trainer.cli.options import Threads, use_threads
from trainer.fit.engine import Engine, is_first_process
from trainer.fit.member import Progress
from trainer.fit.recipe import read_recipe
from trainer.fit.run import fit_run, no_progress

RECIPES = Path(__file__).parents[1] / "recipes"


def recipe_file(recipe: str) -> Path:
    """Return the file of a recipe: a path, or the name of one that comes with the trainer."""
    shipped = RECIPES / f"{recipe}.toml"
    return shipped if shipped.is_file() and Path(recipe).name == recipe else Path(recipe)


RecipeName = Annotated[
    str,
    typer.Option(
        help="Recipe file, or one of "
        + ", ".join(sorted(file.stem for file in RECIPES.glob("*.toml")))
        + " (trainer/recipes)."
    ),
]


def fit(
    *,
    data: Annotated[str, typer.Option(help="KIND:PATH; its training part is used.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; new, or with --resume one begun before.")],
    recipe: RecipeName = "default",
    init: Annotated[Path | None, typer.Option(help="File with published ImageNet weights.")] = None,
    part: Annotated[
        list[Path] | None,
        typer.Option(help="Finished run of Deep-CXR-Net's part 1, then of part 2; for part 3."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after the last whole epoch.")] = False,
    accelerator: Annotated[str, typer.Option(help="cpu, cuda, mps or auto.")] = "cpu",
    devices: Annotated[int, typer.Option(min=1, help="Devices, or processes on cpu.")] = 1,
    workers: Annotated[int, typer.Option(min=1, help="Threads a process that prepare pictures.")] = 2,
    threads: Threads = 0,
) -> None:
    """Fit a recipe and judge it on what it did not see. Killed at any moment, --resume goes on exactly."""
    use_threads(threads)
    with shown_progress() as progress:
        result = fit_run(
            read_recipe(recipe_file(recipe)),
            data,
            out,
            init=init,
            resume=resume,
            report=typer.echo,
            engine=Engine(accelerator=accelerator, devices=devices, workers=workers),
            parts=part or [],
            progress=progress,
        )
    if not is_first_process():
        return
    active = result["operating_points"][result["active_point"]]
    threshold = f"slice threshold {active['slice_threshold']:g} ({result['active_point']})"
    if "fold_auc" in result:
        folds = ", ".join(f"{value:.3f}" for value in result["fold_auc"])
        typer.echo(f"AUC a fold: {folds}; out of fold {_number(result['out_of_fold']['auc'])}; {threshold}")
    elif "findings" in result:
        for name, one in result["findings"].items():
            typer.echo(
                f"{name}: AUC {_number(one['auc'])} on {one['images']} images, {one['present']} with it"
            )
    else:
        chosen = ", epochs chosen by this part and so too favourable" if result["epochs_chosen_on"] else ""
        typer.echo(f"Validation AUC {_number(result['validation']['auc'])}{chosen}; {threshold}")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """Show a progress bar where a person looks on; nothing in a pipe or a log."""
    if not sys.stderr.isatty() or not is_first_process():
        yield no_progress
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading")

        def show(what: str, done: int, steps: int) -> None:
            if done == 1:
                bar.reset(task)
            bar.update(task, description=what, completed=done, total=steps)

        yield show
