"""One fitted network judged on a part that it did not see: the step that all cross-validations repeat."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from node.domain.input_spec import InputSpec
from trainer.cases.case import Case
from trainer.cases.readers import training_part
from trainer.errors import CheckpointError, EmptyClass
from trainer.feed.images import open_lung_cases
from trainer.feed.specification import specification
from trainer.fit.checkpoint import write_atomically
from trainer.fit.engine import Engine
from trainer.fit.finished import FinishedRun, read_run
from trainer.fit.member import Progress, Report
from trainer.fit.recipe import Recipe
from trainer.fit.run import fit_run, no_progress
from trainer.fit.scoring import Scores, score_run
from trainer.judge.metrics import auc, auc_interval, count
from trainer.nets.catalogue import build_net
from trainer.tables.points import SLICE_THRESHOLD
from trainer.tables.records import ImagesJudged, PatientsJudged, Sizes, read_images, text_of_record

Record = TypeVar("Record", ImagesJudged, PatientsJudged)


@dataclass(frozen=True, kw_only=True)
class Work:
    """What all fits of a cross-validation have in common."""

    out: Path
    """Folder of the cross-validation; one folder a network in it."""
    inits: Mapping[str, Path] = field(default_factory=dict)
    """Network -> file with published ImageNet weights."""
    parts: tuple[Path, ...] = ()
    """Finished runs of parts 1 and 2, for Deep-CXR-Net."""
    resume: bool = False
    """Go on with what ``out`` holds."""
    report: Report
    engine: Engine = field(default_factory=Engine)
    progress: Progress = no_progress


@dataclass(frozen=True, kw_only=True)
class Judging:
    """One network on one part, before it is done."""

    recipe: Recipe
    data: str
    """``KIND:PATH`` that it is fitted on."""
    run: str
    """``fold-K`` or ``seed-S``."""
    cases: tuple[Case, ...]
    """Of ``data``."""
    division: str
    """Where the parts of ``data`` come from, in words."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a fitted network is judged on."""

    suffix: str
    """Of the record's file name: empty for the part of the set that it was fitted on, else ``-on-SET``."""
    part: str
    cases: tuple[Case, ...]
    division: str
    """Where the part comes from, in words."""
    added: int = 0
    """Images of pneumonia from elsewhere among the cases."""
    source: str
    """``KIND:PATH`` and whatever else decides which cases these are."""


def held_out_part(cases: Sequence[Case]) -> tuple[str, tuple[Case, ...]]:
    """Return the part to judge by: ``test`` where there is one, else ``val``, else all cases.

    Raises
    ------
    EmptyClass
        There is a training part and nothing else, or one class is empty.
    """
    for part in ("test", "val", "all"):
        chosen = tuple(case for case in cases if case.split == part)
        if chosen:
            break
    else:
        raise EmptyClass("the data set holds a training part and nothing to judge by; give its top folder")
    if len({case.positive for case in chosen}) < 2:
        raise EmptyClass(f"the part {part} holds one class only; nothing can be judged by it")
    return part, chosen


def require_net(recipe: Recipe) -> None:
    """Make sure that a recipe's network can be built for its images, before hours of fitting.

    Raises
    ------
    RecipeError
    """
    spec = specification(recipe.specification, name=recipe.name, version=1, status="untrained")
    with torch.device("meta"):
        build_net(recipe.net, spec.input.channels, len(spec.outputs.classes), 0.0, None, size=spec.input.size)


def fitted(work: Work, judging: Judging) -> FinishedRun:
    """Fit a network, or read it where it is finished, and return the run.

    Raises
    ------
    TrainerError
    """
    folder = work.out / judging.recipe.net / judging.run

    def report(line: str) -> None:
        work.report(f"{judging.recipe.net}, {judging.run}: {line}")

    fit_run(
        judging.recipe,
        judging.data,
        folder,
        init=work.inits.get(judging.recipe.net),
        resume=work.resume,
        report=report,
        engine=work.engine,
        parts=work.parts,
        progress=work.progress,
    )
    return read_run(folder)


def spec_of(run: FinishedRun) -> InputSpec:
    """Return the input specification that a run is judged with."""
    return run.specification(run.recipe.name, 1, "untrained")


def digest_of(work: Work, judging: Judging, **more: object) -> str:
    """Return the SHA-256 of everything that decides a record."""
    init = work.inits.get(judging.recipe.net)
    document: dict[str, Any] = {
        "recipe": judging.recipe.as_json(),
        "data": judging.data,
        "init": None if init is None else init.name,
        "parts": [str(part) for part in work.parts],
        **more,
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def finished_record(work: Work, file: Path, made_with: str, read: Callable[[Path], Record]) -> Record | None:
    """Return a record that is there already, None where it is still to be made.

    Raises
    ------
    CheckpointError
        It is there without ``resume``, or was made with another recipe, other data or other weights.
    TableError
        It is malformed.
    """
    if not file.exists():
        return None
    if not work.resume:
        raise CheckpointError(f"{file} is there already; go on with --resume or choose another --out")
    record = read(file)
    if record.made_with != made_with:
        raise CheckpointError(
            f"{file} was made with another recipe, other data or other initial weights; choose another --out"
        )
    return record


def judge(work: Work, judging: Judging, target: Target, run: Callable[[], FinishedRun]) -> ImagesJudged:
    """Judge one network on one part and write scores and record; what is there already is read.

    Parameters
    ----------
    work : Work
    judging : Judging
    target : Target
    run : callable () -> FinishedRun
        Fits or reads the network; not called where the record is there.

    Raises
    ------
    TrainerError
    """
    stem = work.out / judging.recipe.net / f"{judging.run}{target.suffix}"
    file = stem.with_name(f"{stem.name}.images.json")
    made_with = digest_of(work, judging, judged_on=target.source)
    if (done := finished_record(work, file, made_with, read_images)) is not None:
        return done
    finished = run()
    spec = spec_of(finished)
    cases = open_lung_cases(target.cases, spec)
    scores = score_run(finished, spec, cases, work.engine.device())[:, spec.outputs.positive_index]
    positive, groups = np.array([case.positive for case in cases]), [case.group for case in cases]
    record = ImagesJudged(
        made_with=made_with,
        net=judging.recipe.net,
        run=judging.run,
        trained_on=judging.cases[0].source,
        judged_on=target.cases[0].source,
        part=target.part,
        division=target.division,
        added=target.added,
        learnt=Sizes.of(open_lung_cases(training_part(list(judging.cases)), spec)),
        judged=Sizes.of(cases),
        counts=count(scores, positive, SLICE_THRESHOLD),
        auc=auc(scores, positive),
        auc_interval=auc_interval(scores, positive, groups),
    )
    write_atomically(stem.with_name(f"{stem.name}.scores.csv"), _score_table(cases, scores).encode())
    write_atomically(file, text_of_record(record).encode())
    return record


def _score_table(cases: Sequence[Case], scores: Scores) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("image", "group", "positive", "score"))
    for case, score in zip(cases, scores, strict=True):
        image = f"{case.image.parent.name}/{case.image.name}"
        writer.writerow((image, case.group, int(case.positive), f"{score:.9g}"))
    return text.getvalue()
