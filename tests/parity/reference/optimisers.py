"""What Keras 2.15's ``legacy`` optimisers, those of Keras 2.3, make of the stated gradients."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tensorflow as tf

from tests.parity.numbers import SCALES, gradients, weights_before


def optimiser(name: str) -> Any:
    """Return an optimiser with the settings of the papers."""
    legacy = tf.keras.optimizers.legacy
    if name == "nadam":  # epsilon 1e-7 and schedule decay 0.004 are its defaults
        return legacy.Nadam(learning_rate=1e-4)
    return legacy.Adam(learning_rate=1e-5, epsilon=1e-8)


def after(name: str, scale: float) -> list[float]:
    """Return the weights after all steps."""
    weights, made = tf.Variable(weights_before()), optimiser(name)
    for gradient in gradients(scale):
        made.apply_gradients([(tf.constant(gradient), weights)])
    return weights.numpy().tolist()


def write_optimisers(folder: Path, used: dict[str, str]) -> None:
    """Write ``optimisers.json``: all weights after 50 steps, by optimiser and size of the gradients."""
    ends = {name: {str(scale): after(name, scale) for scale in SCALES} for name in ("nadam", "adam")}
    (folder / "optimisers.json").write_text(json.dumps({"made with": used, **ends}) + "\n")
