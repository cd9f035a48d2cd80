"""The part ``schedule`` of a recipe: how long, how fast and by which rules a network is fitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from trainer.errors import RecipeError

CHOICES: Final = {
    "optimiser": ("adamw", "adam", "nadam", "lbfgs"),
    "rate": ("cosine", "constant"),
    "loss": ("softmax", "sigmoid"),
    "stem": ("summed", "random"),
    "keep": ("average", "best"),
    "watch": ("auc", "accuracy"),
    "precision": ("f32", "bf16"),
}
"""Key -> the words that it takes."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long, how fast and by which rules a network is fitted."""

    epochs: int
    """Most passes over the training part; iterations of ``lbfgs``."""
    batch: int
    """Pictures a step, over all processes together."""
    accumulate: int
    """Pieces in which each process works through its share of a step; less memory, the same step."""
    optimiser: str
    """``adamw``, ``adam``, ``nadam``; or ``lbfgs``: the dense layer alone, behind a trunk that stays."""
    learning_rate: float
    """Peak, after the warm-up."""
    rate: str
    """``cosine`` to zero after the warm-up, or ``constant``."""
    weight_decay: float
    """AdamW's, on matrices and kernels only; factor of the ridge of ``lbfgs``."""
    warm_up_steps: int
    """Steps of linear rise."""
    loss: str
    """``softmax``: cross-entropy over the classes. ``sigmoid``: binary cross-entropy a finding, unknown ones
    left out."""
    class_weights: bool
    """Weigh each class by the inverse of its share of the training part."""
    label_smoothing: float
    """Share of the target spread over the classes."""
    mixup: float
    """Both parameters of the Beta distribution; 0 turns mixup off."""
    dropout: float
    """Before the head."""
    stem: str
    """What becomes of the first kernel of ImageNet's weights on one-channel images: ``summed`` over the
    colours, or ``random`` as in the code published with Rahimzadeh et al. 2021, which could not load it."""
    frozen_stages: int
    """Leading stages whose weights and batch norms stay as they were read."""
    cached_variants: int
    """Augmented variants a picture for which the frozen stages run once, beforehand; 0 runs them each
    time."""
    precision: str
    """``f32`` or ``bf16`` (autocast)."""
    keep: str
    """``average``: the moving average after the last epoch, nothing chosen. ``best``: the epoch at which the
    validation part was best."""
    ema: float
    """Decay of the exponential moving average of the weights, a step; 0: the weights themselves."""
    watch: str
    """Figure of the validation part by which ``best`` is chosen: ``auc`` or ``accuracy``."""
    patience: int
    """Epochs without a better figure after which fitting stops; 0: never."""
    folds: int
    """Folds by groups: they judge the recipe and choose the slice threshold. 0: one fit a seed, beside a
    validation part."""
    guard: int
    """Groups left out of training on each side of a validation run of a fold."""
    validation_share: float
    """Without folds: share of the training part's groups that are set aside for validation."""
    seeds: tuple[int, ...]
    """Each fold is fitted once a seed."""
    whole_seeds: tuple[int, ...]
    """Once a seed the whole training part is fitted, with as many steps as a fold; these networks become the
    members of the exported one. Empty: the folds' networks do."""


def check(schedule: Schedule) -> None:
    """Refuse what cannot be fitted.

    Raises
    ------
    RecipeError
        The message names the keys.
    """
    one = schedule
    rules = {
        "epochs must be at least 1": one.epochs >= 1,
        "accumulate must be at least 1": one.accumulate >= 1,
        "batch must be at least 2 a piece (batch norm)": one.batch >= 2 * one.accumulate,
        "folds must be 0 or at least 2": one.folds == 0 or one.folds >= 2,
        "ema must be in [0, 1)": 0 <= one.ema < 1,
        "label_smoothing and dropout must be in [0, 1)": max(one.label_smoothing, one.dropout) < 1,
        "no number may be negative": min(_numbers(one)) >= 0,
        "lbfgs takes softmax, keep = 'average', accumulate = 1 and no mixup, dropout or ema": one.optimiser
        != "lbfgs"
        or (
            (one.loss, one.keep, one.accumulate) == ("softmax", "average", 1)
            and not (one.mixup or one.dropout or one.ema)
        ),
        "cached_variants needs frozen_stages": one.cached_variants == 0 or one.frozen_stages > 0,
        "whole_seeds need folds": not one.whole_seeds or one.folds > 0,
        "validation_share must be above 0 and below 1 without folds": one.folds > 0
        or 0 < one.validation_share < 1,
        "folds judge a recipe: with keep = 'best' they would be chosen on too; set folds = 0": one.folds == 0
        or one.keep == "average",
        "patience needs keep = 'best'": one.patience == 0 or one.keep == "best",
        "loss = 'sigmoid' takes no folds, mixup or label_smoothing, and one seed": one.loss == "softmax"
        or not (one.folds or one.mixup or one.label_smoothing or len(one.seeds) > 1),
    }
    rules |= {
        f"{key} must be {' or '.join(words)}": getattr(one, key) in words for key, words in CHOICES.items()
    }
    broken = [rule for rule, holds in rules.items() if not holds]
    if broken:
        raise RecipeError("section [schedule]: " + "; ".join(broken))


def _numbers(schedule: Schedule) -> list[float]:
    return [value for value in vars(schedule).values() if isinstance(value, int | float)]
