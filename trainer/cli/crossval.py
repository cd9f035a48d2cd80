"""``crossval``: the papers' protocols on their data sets, and their tables with one's own figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from trainer.cases.readers import FOLDS, split_argument
from trainer.cli.fit import RecipeName, recipe_file, shown_progress
from trainer.cli.options import Threads, use_threads
from trainer.errors import DataError
from trainer.fit.engine import Engine
from trainer.fit.recipe import read_recipe
from trainer.nets.catalogue import NETS
from trainer.tables.ctset_sheets import ctset_sheets
from trainer.tables.deep_ct_sheets import deep_ct_sheets
from trainer.tables.folds import KIND, cross_validate_folds
from trainer.tables.judging import Work
from trainer.tables.output import Format, text_of_sheets, write_confusions, write_sheets
from trainer.tables.records import read_records
from trainer.tables.seeds import SPLIT_KINDS, cross_validate_seeds

KINDS = (KIND, *SPLIT_KINDS)


Data = Annotated[str, typer.Option(help=f"KIND:PATH; KIND is one of {', '.join(KINDS)}.")]
Out = Annotated[Path, typer.Option(help="Folder of all runs, records and tables.")]
Nets = Annotated[
    list[str] | None, typer.Option(help="Network in place of the recipe's; may be given several times.")
]
OnlyFolds = Annotated[
    list[int] | None,
    typer.Option(min=1, max=FOLDS[-1], help="covid-ctset: only this fold; may be given several times."),
]
Seeds = Annotated[
    list[int] | None, typer.Option(min=0, help="Other sets: one fit a seed; else the recipe's seeds.")
]
AsListed = Annotated[
    bool,
    typer.Option("--as-listed", help="covid-ctset: go on where published lists put a patient on both sides."),
]
Patients = Annotated[
    str | None, typer.Option(help="covid-ctset:PATH of the raw folders, to judge whole patients.")
]
Cross = Annotated[
    list[str] | None, typer.Option(help="Other sets: KIND:PATH to judge the fitted networks on too.")
]
Pneumonias = Annotated[
    str | None,
    typer.Option(help="covid-chestxray: kaggle-pneumonia:PATH; 100 of its test part join the negatives."),
]
Inits = Annotated[
    list[str] | None, typer.Option(help="NET=FILE with published ImageNet weights of a network.")
]
Parts = Annotated[
    list[Path] | None, typer.Option(help="Finished run of Deep-CXR-Net's part 1, then of part 2.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on; what is finished is not done again.")]


def crossval(
    *,
    data: Data,
    recipe: RecipeName,
    out: Out,
    net: Nets = None,
    fold: OnlyFolds = None,
    as_listed: AsListed = False,
    seed: Seeds = None,
    patients: Patients = None,
    cross: Cross = None,
    pneumonias: Pneumonias = None,
    init: Inits = None,
    part: Parts = None,
    resume: Resume = False,
    form: Annotated[Format, typer.Option("--format", help="As what tables are printed.")] = Format.MARKDOWN,
    accelerator: Annotated[str, typer.Option(help="cpu, cuda, mps or auto.")] = "cpu",
    workers: Annotated[int, typer.Option(min=1, help="Threads that prepare pictures.")] = 2,
    threads: Threads = 0,
) -> None:
    """Fit and judge by a paper's protocol; write and print its tables with what was measured beside."""
    use_threads(threads)
    kind, root = split_argument(data)
    own = {"--fold": fold, "--as-listed": as_listed, "--patients": patients}
    _require(kind, own, {"--seed": seed, "--cross": cross}, pneumonias)
    chosen = read_recipe(recipe_file(recipe))
    nets = tuple(dict.fromkeys(net or [chosen.net]))
    with shown_progress() as progress:
        work = Work(
            out=out,
            inits=dict(_net_and_file(text) for text in init or ()),
            parts=tuple(part or ()),
            resume=resume,
            report=_say,
            engine=Engine(accelerator=accelerator, workers=workers),
            progress=progress,
        )
        if kind == KIND:
            raw = None if patients is None else _raw_folders(patients)
            folds = sorted(set(fold or FOLDS))
            cross_validate_folds(
                work, chosen, root, nets=nets, folds=folds, patients=raw, as_listed=as_listed
            )
        else:
            seeds = tuple(dict.fromkeys(seed or chosen.schedule.seeds))
            cross_validate_seeds(
                work, chosen, data, nets=nets, seeds=seeds, cross=cross or (), pneumonias=pneumonias
            )
    records = read_records(out)
    sheets = ctset_sheets(records) if kind == KIND else deep_ct_sheets(records)
    write_sheets(sheets, out / "tables")
    write_confusions(records, out / "tables")
    typer.echo(text_of_sheets(sheets, form), nl=False)


def _say(line: str) -> None:
    """Report on the way; the tables alone go to standard output."""
    typer.echo(line, err=True)


def _require(
    kind: str, of_folds: Mapping[str, object], of_seeds: Mapping[str, object], pneumonias: str | None
) -> None:
    """Refuse a kind without protocol, and options that belong to another one's."""
    if kind not in KINDS:
        raise DataError(f"there is no protocol for {kind}; crossval knows {', '.join(KINDS)}. Otherwise: fit")
    foreign = dict(of_seeds if kind == KIND else of_folds)
    foreign["--pneumonias"] = pneumonias is not None and kind != "covid-chestxray"
    if wrong := [name for name, given in foreign.items() if given]:
        raise DataError(f"{', '.join(wrong)} does not belong to the protocol of {kind}; leave it out")


def _raw_folders(argument: str) -> Path:
    kind, root = split_argument(argument)
    if kind != KIND:
        raise DataError(f"--patients {argument} is of kind {kind}; wanted is {KIND}:PATH")
    return root


def _net_and_file(text: str) -> tuple[str, Path]:
    name, equals, file = text.partition("=")
    if not equals or not file or name not in NETS:
        raise DataError(f"--init {text!r} is not NET=FILE; NET is one of {', '.join(NETS)}")
    return name, Path(file)
