"""Initial networks: published weights, and the fitted parts that Deep-CXR-Net is made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from torch import nn

from node.domain.input_spec import InputSpec
from trainer.errors import RecipeError
from trainer.fit.checkpoint import sha256_of
from trainer.fit.finished import read_run
from trainer.fit.recipe import Recipe
from trainer.nets.catalogue import build_net
from trainer.nets.deep_cxr_net import FINDINGS, DeepCxrNet

PARTS: Final = ("deep-cxr-net-part1", "deep-cxr-net-part2")
"""Networks of the frozen parts, in their order."""


def initial_net(recipe: Recipe, spec: InputSpec, init: Path | None, parts: Sequence[Path]) -> nn.Module:
    """Build a recipe's network with its initial weights.

    Parameters
    ----------
    recipe : Recipe
    spec : InputSpec
    init : Path or None
        File with published ImageNet weights.
    parts : sequence of Path
        Finished runs of parts 1 and 2, for ``deep-cxr-net`` and for nothing else.

    Raises
    ------
    RecipeError
        Parts are missing, too many or do not fit.
    WeightsError, CheckpointError
    """
    net = build_net(
        recipe.net,
        spec.input.channels,
        len(spec.outputs.classes),
        recipe.schedule.dropout,
        init,
        size=spec.input.size,
        stem=recipe.schedule.stem,
    )
    if not isinstance(net, DeepCxrNet):
        if parts:
            raise RecipeError(f"{recipe.net} is not made of parts; leave --part out")
        return net
    if len(parts) != len(PARTS):
        raise RecipeError(
            f"{recipe.net} needs the runs of parts 1 and 2, fitted beforehand: --part RUN1 --part RUN2"
        )
    for folder, wanted, module in zip(
        parts, PARTS, (net.likelihoods.part1, net.likelihoods.part2), strict=True
    ):
        module.load_state_dict(_only_member(folder, wanted, spec).state_dict())
    return net


def _only_member(folder: Path, wanted: str, spec: InputSpec) -> nn.Module:
    run = read_run(folder)
    found = run.specification(run.recipe.name, 1, "untrained")
    problems = {
        f"is a run of {run.recipe.net}, not {wanted}": run.recipe.net != wanted,
        f"has {len(run.members)} networks, wanted is one": len(run.members) != 1,
        "was fitted for another input than this recipe's": found.input != spec.input,
        f"gives other findings than {', '.join(FINDINGS)}": wanted == PARTS[0]
        and found.outputs.classes != FINDINGS,
    }
    for problem, holds in problems.items():
        if holds:
            raise RecipeError(f"{folder} {problem}; fit the part with its own recipe")
    return run.members[0]


def digests_of(parts: Sequence[Path]) -> dict[str, str]:
    """Return the SHA-256 of each weights file of the parts, by the part's number and the member."""
    return {
        f"part {number}, {file.parent.name}": sha256_of(file)
        for number, folder in enumerate(parts, start=1)
        for file in sorted(folder.glob("*/weights.pt"))
    }
