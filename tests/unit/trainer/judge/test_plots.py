"""Pictures: the same bytes for the same input, nothing written where there is nothing to draw."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from trainer.errors import EmptyClass
from trainer.judge.calibration import reliability
from trainer.judge.plots import confusion_png, learning_curves_png, pr_png, reliability_png, roc_png
from trainer.judge.sample import Sample

RNG = np.random.default_rng(3)
POSITIVE = RNG.random(60) < 0.5
SAMPLE = Sample(
    name="a set named $x_1$ & <b>",
    scores=np.clip(RNG.normal(0.4, 0.2, 60) + 0.2 * POSITIVE, 0, 1),
    positive=POSITIVE,
    groups=[str(index // 3) for index in range(60)],
)
ROWS = [{"epoch": n, "loss": 1 / n, "validation_auc": 0.5 + n / 20} for n in (1, 2, 4)]


def roc(file: Path) -> None:
    roc_png([SAMPLE], file, "ROC")


def pr(file: Path) -> None:
    pr_png([SAMPLE, SAMPLE], file, "Precision and recall")


def matrix(file: Path) -> None:
    confusion_png([[5, 1, 0], [2, 9, 1], [0, 0, 0]], ["covid", "other-pneumonia", "normal"], file, "All", 4)


def diagram(file: Path) -> None:
    bins = reliability(SAMPLE.scores, SAMPLE.positive)
    reliability_png({"before": bins, "after": bins}, file, "Reliability", 20)


def curves(file: Path) -> None:
    learning_curves_png(ROWS, file, "fold-0-seed-1")


@pytest.mark.parametrize("draw", [roc, pr, matrix, diagram, curves])
def test_a_picture_is_the_same_every_time(draw: Callable[[Path], None], tmp_path: Path) -> None:
    first, again = tmp_path / "first.png", tmp_path / "again.png"
    draw(first)
    with mpl.rc_context({"font.size": 20, "axes.grid": False}):
        draw(again)
    assert first.read_bytes() == again.read_bytes()
    with Image.open(first) as image:
        assert min(image.size) > 400
        assert set(image.info) <= {"dpi"}
        assert len(np.unique(np.asarray(image.convert("L")))) > 10


@pytest.mark.parametrize("draw", [roc_png, pr_png])
def test_one_class_has_no_curve(draw: Callable[..., None], tmp_path: Path) -> None:
    one_class = Sample(name="x", scores=np.ones(3), positive=np.ones(3, dtype=bool), groups=["a", "b", "c"])
    with pytest.raises(EmptyClass, match="one class only"):
        draw([one_class], tmp_path / "x.png", "x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "rows",
    [ROWS[:1], [{"epoch": 1.0, "loss": math.nan}], [{"epoch": 1.0, "loss": 0.5, "validation_accuracy": 0.5}]],
)
def test_short_and_broken_logs_are_drawn(rows: list[dict[str, float]], tmp_path: Path) -> None:
    learning_curves_png(rows, tmp_path / "curves.png", "whole-seed-1")
    assert (tmp_path / "curves.png").is_file()
