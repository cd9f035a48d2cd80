"""The five folds of COVID-CTset (Rahimzadeh et al. 2021): every network fitted and judged on each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from trainer.cases import covid_ctset_folds
from trainer.cases.case import Case
from trainer.cases.readers import read_cases
from trainer.fit.checkpoint import write_atomically
from trainer.fit.recipe import Recipe
from trainer.tables.judging import (
    Judging,
    Target,
    Work,
    digest_of,
    finished_record,
    fitted,
    held_out_part,
    judge,
    require_net,
    spec_of,
)
from trainer.tables.patients import judged_patients, raw_series
from trainer.tables.records import PatientsJudged, read_patients, text_of_record

KIND = "covid-ctset"
PUBLISHED = "the published lists"
AS_LISTED = ", as they are: patients who stand on both sides were not looked for"
MADE = "made here by patients, in the sizes of the paper's table 2, since the published lists are not there"


def cross_validate_folds(
    work: Work,
    recipe: Recipe,
    root: Path,
    *,
    nets: Sequence[str],
    folds: Sequence[int],
    patients: Path | None,
    as_listed: bool = False,
) -> None:
    """Fit and judge networks on folds of COVID-CTset; records are written below ``work.out`` one by one.

    Parameters
    ----------
    work : Work
    recipe : Recipe
        Its network is replaced.
    root : Path
        Of the data set.
    nets : sequence of str
        Names in the catalogue.
    folds : sequence of int
        From 1 to 5.
    patients : Path or None
        Raw folders, for whole patients.
    as_listed : bool
        Take published lists even where they put a patient on both sides.

    Raises
    ------
    TrainerError
    """
    recipes = [replace(recipe, net=net) for net in nets]
    for one in recipes:
        require_net(one)
    series = None if patients is None else raw_series(patients)
    published = f"{PUBLISHED}{AS_LISTED if as_listed else ''}"
    division = published if covid_ctset_folds.has_lists(root) else MADE
    for fold in folds:
        data = f"{KIND}-fold{fold}{'-as-listed' if as_listed else ''}:{root}"
        cases = tuple(read_cases(data))
        for one in recipes:
            judging = Judging(recipe=one, data=data, run=f"fold-{fold}", cases=cases, division=division)
            _one_fold(work, judging, series, patients)


def _one_fold(
    work: Work, judging: Judging, series: dict[str, list[Case]] | None, patients: Path | None
) -> None:
    run = cache(lambda: fitted(work, judging))
    part, held_out = held_out_part(judging.cases)
    target = Target(
        suffix="", part=part, cases=held_out, division=judging.division, source=f"{judging.data} {part}"
    )
    record = judge(work, judging, target, run)
    right = record.counts.true_positive + record.counts.true_negative
    work.report(
        f"{record.net}, {record.run}: {right} of {len(held_out)} images of the part {part} "
        f"right, AUC {record.auc:.3f}"
    )
    if series is None:
        return
    file = work.out / judging.recipe.net / f"{judging.run}.patients.json"
    made_with = digest_of(work, judging, patients=str(patients))
    if finished_record(work, file, made_with, read_patients) is None:
        finished, flags = run(), {case.group: case.positive for case in held_out}
        judged = judged_patients(finished, spec_of(finished), series, flags, work.engine.device())
        record_of_patients = PatientsJudged(
            made_with=made_with, net=judging.recipe.net, run=judging.run, patients=tuple(judged)
        )
        write_atomically(file, text_of_record(record_of_patients).encode())
