"""The protocols of Deep-CT-Net and Deep-CXR-Net: one published or made split, several seeds, other sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from types import MappingProxyType
from typing import Final

import numpy as np

from trainer.cases.case import GROUPED_BY, Case
from trainer.cases.readers import read_cases, split_argument
from trainer.errors import DataError, EmptyClass
from trainer.fit.recipe import Recipe
from trainer.tables.judging import Judging, Target, Work, fitted, held_out_part, judge, require_net

SPLIT_KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "covid-ct": "covid-ct",
        "ct-cov19": "ct-cov19",
        "covid-chestxray": "covid-chestxray-70-30",
    }
)
"""Kind as it is asked for -> kind that has a training part."""
ADDED: Final = 100
"""Radiographs of other pneumonias that the paper adds to the test part (section 3.2)."""
ADDED_KIND: Final = "kaggle-pneumonia"
ADDED_SEED: Final = 0


def cross_validate_seeds(
    work: Work,
    recipe: Recipe,
    data: str,
    *,
    nets: Sequence[str],
    seeds: Sequence[int],
    cross: Sequence[str],
    pneumonias: str | None,
) -> None:
    """Fit networks on a set's training part once a seed; judge them on its held-out part and on other sets.

    Parameters
    ----------
    work : Work
    recipe : Recipe
        Its network and seeds are replaced.
    data : str
        ``KIND:PATH``, one of `SPLIT_KINDS`.
    nets : sequence of str
    seeds : sequence of int
    cross : sequence of str
        ``KIND:PATH`` each, judged on as they are.
    pneumonias : str or None
        ``kaggle-pneumonia:PATH``; a hundred of its test part join the negatives of ``data``.

    Raises
    ------
    TrainerError
    """
    kind, root = split_argument(data)
    fitted_on = f"{SPLIT_KINDS[kind]}:{root}"
    cases = tuple(read_cases(fitted_on))
    targets = [_own_target(fitted_on, cases, pneumonias), *map(_other_target, cross)]
    for net in nets:
        for seed in seeds:
            schedule = recipe.schedule
            whole = (seed,) if schedule.whole_seeds else ()
            one = replace(recipe, net=net, schedule=replace(schedule, seeds=(seed,), whole_seeds=whole))
            require_net(one)
            judging = Judging(
                recipe=one, data=fitted_on, run=f"seed-{seed}", cases=cases, division=targets[0].division
            )
            _one_seed(work, judging, targets)


def _one_seed(work: Work, judging: Judging, targets: Sequence[Target]) -> None:
    run = cache(lambda: fitted(work, judging))
    for target in targets:
        record = judge(work, judging, target, run)
        work.report(
            f"{record.net}, {record.run}: AUC {record.auc:.3f} on the part {record.part} of "
            f"{record.judged_on} ({record.judged.covid_images} and {record.judged.other_images} images)"
        )


def _own_target(data: str, cases: Sequence[Case], pneumonias: str | None) -> Target:
    part, held_out = held_out_part(cases)
    added = () if pneumonias is None else _added(pneumonias)
    return Target(
        suffix="",
        part=part,
        cases=(*held_out, *added),
        division=_division(cases[0].source),
        added=len(added),
        source=f"{data} {part} {pneumonias}",
    )


def _division(source: str) -> str:
    grouped = GROUPED_BY[source].split(" (")[0]
    if source == "covid-chestxray":
        return f"made here, 70 to 30, by {grouped}"
    return f"the published ones; what counts as a patient: {grouped}"


def _other_target(argument: str) -> Target:
    cases = tuple(read_cases(argument))
    part, held_out = held_out_part(cases)
    source = cases[0].source
    published = "all images" if part == "all" else f"the published part {part}"
    return Target(
        suffix=f"-on-{source}",
        part=part,
        cases=held_out,
        division=f"{published} of {source}",
        source=f"{argument} {part}",
    )


def _added(argument: str) -> tuple[Case, ...]:
    """Return a hundred pneumonias of a test part, drawn by chance, as negatives.

    Raises
    ------
    DataError
        Another kind, or too few.
    """
    kind, _ = split_argument(argument)
    if kind != ADDED_KIND:
        raise DataError(f"{argument} is of kind {kind}; pneumonias are added from {ADDED_KIND}:PATH")
    found = [case for case in read_cases(argument) if case.split == "test" and case.positive]
    if len(found) < ADDED:
        raise EmptyClass(f"{argument} has {len(found)} pneumonias in its test part, fewer than {ADDED}")
    order = np.random.default_rng(ADDED_SEED).permutation(len(found))[:ADDED]
    return tuple(replace(found[index], positive=False) for index in sorted(order.tolist()))
