"""A temperature that is known is found again; what calibrate reads, writes and refuses."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from node.dicom.write import write_phantom
from node.imaging.phantom import ThoraxPhantom
from tests.model_folder import write_model_folder
from trainer.cli.app import app
from trainer.errors import CheckpointError, DataError, EmptyClass
from trainer.judge.calibration import (
    apply_temperature,
    best_temperature,
    calibrate,
    fit_of,
    logit,
    read_calibration,
    read_run_scores,
    reliability,
    write_calibration,
)

TRUTH = np.random.default_rng(7).uniform(0.02, 0.98, 2000)
HAPPENED = np.random.default_rng(8).random(2000) < TRUTH


@settings(max_examples=25, deadline=None)
@given(st.floats(0.2, 8))
def test_a_known_temperature_is_found_again(temperature: float) -> None:
    overconfident = 1 / (1 + np.exp(-logit(TRUTH) * temperature))
    assert best_temperature(overconfident, HAPPENED) == pytest.approx(temperature, rel=0.1)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.floats(0.1, 10))
def test_the_order_of_scores_stays(scores: list[float], temperature: float) -> None:
    after = apply_temperature(np.array(scores), temperature)
    order = np.argsort(scores, kind="stable")
    assert (np.diff(after[order]) >= -1e-12).all()
    assert ((after >= 0.5) == (np.array(scores) >= 0.5)).all()


@settings(deadline=None)
@given(st.integers(0, 10**6))
def test_the_temperature_is_the_best_of_a_grid(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, positive = rng.random(60), rng.random(60) < 0.5
    weights = rng.integers(0, 4, 60).astype(float)
    found = best_temperature(scores, positive, weights)

    def loss(temperature: float) -> float:
        signs = np.where(positive, -1, 1)
        return float(weights @ np.log1p(np.exp(signs * logit(scores) / temperature)))

    assert loss(found) <= min(loss(other) for other in np.geomspace(0.021, 49, 60)) + 1e-4


def test_calibration_brings_scores_nearer_to_frequencies() -> None:
    scores, happened = apply_temperature(TRUTH[:1000], 1 / 3), HAPPENED[:1000]
    groups = [str(index // 4) for index in range(len(scores))]
    found = calibrate(scores, happened, groups, "invented scores")
    low, high = found.temperature_interval
    assert low < 3 < high
    assert high - low < 1.5
    assert found.after.nll < found.before.nll
    assert found.after.ece < found.before.ece / 3
    assert found.after.brier < found.before.brier
    assert (found.images, found.groups) == (1000, 250)


def test_reliability_counts_every_image_once() -> None:
    bins = reliability(np.array([0.0, 0.05, 0.1, 0.95, 1.0]), np.array([0, 0, 1, 1, 1], dtype=bool))
    assert [one.count for one in bins] == [2, 1, 0, 0, 0, 0, 0, 0, 0, 2]
    assert bins[-1].positive_share == 1.0
    assert bins[-1].interval[0] == pytest.approx(0.3424, abs=1e-4)  # Wilson, 2 of 2
    fit = fit_of(np.array([0.0, 0.05, 0.1, 0.95, 1.0]), np.array([0, 0, 1, 1, 1], dtype=bool))
    assert fit.ece == pytest.approx((2 * 0.025 + 0.9 + 2 * 0.025) / 5)
    assert fit.brier == pytest.approx((0.0025 + 0.81 + 0.0025) / 5)


@pytest.mark.parametrize(
    ("scores", "doubt"),
    [([0.9, 0.8, 0.2, 0.1], "no better than chance"), ([0.1, 0.2, 0.7, 0.8], "without error")],
)
def test_a_temperature_without_meaning_is_not_written(
    scores: list[float], doubt: str, tmp_path: Path
) -> None:
    found = calibrate(np.array(scores), np.array([False, False, True, True]), ["a", "b", "c", "d"], "x")
    assert doubt in found.doubt
    with pytest.raises(DataError, match=doubt):
        write_calibration(tmp_path, found)
    assert read_calibration(tmp_path) is None


def test_one_class_alone_is_refused() -> None:
    with pytest.raises(EmptyClass, match="no negative image"):
        calibrate(np.array([0.5, 0.6]), np.array([True, True]), ["a", "b"], "this set")


def held_out(run: Path, name: str = "out_of_fold.csv") -> Path:
    run.mkdir(exist_ok=True)
    scores = apply_temperature(TRUTH[:200], 0.5)
    with (run / name).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["image", "group", "fold", "positive", "score"])
        for index, score in enumerate(scores):
            writer.writerow([f"{index}.png", index // 5, index % 2, int(HAPPENED[index]), score])
    return run


def test_calibrating_a_run_writes_what_export_reads(tmp_path: Path) -> None:
    run = held_out(tmp_path / "run")
    assert read_calibration(run) is None
    answer = CliRunner().invoke(app, ["calibrate", "--run", str(run)], catch_exceptions=False)
    assert answer.exit_code == 0
    assert "prevalence" in answer.output
    found = read_calibration(run)
    assert found is not None
    assert found.temperature == pytest.approx(2, rel=0.4)
    assert json.loads((run / "calibration.json").read_text())["warning"]
    assert (run / "reliability.png").read_bytes().startswith(b"\x89PNG")
    np.testing.assert_allclose(found.apply(np.array([0.9])), apply_temperature([0.9], found.temperature))


def test_out_of_fold_scores_come_before_those_of_a_validation_part(tmp_path: Path) -> None:
    held_out(tmp_path, "validation.csv")
    assert read_run_scores(tmp_path).name == "validation.csv"
    held_out(tmp_path)
    assert read_run_scores(tmp_path).name == "out_of_fold.csv"


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="neither"):
        read_run_scores(tmp_path)
    (tmp_path / "out_of_fold.csv").write_text("image,score\na,0.5\n", encoding="utf-8")
    with pytest.raises(CheckpointError, match="damaged"):
        read_run_scores(tmp_path)
    good = calibrate(TRUTH[:50], HAPPENED[:50], [str(index) for index in range(50)], "x")
    write_calibration(tmp_path, good)
    assert read_calibration(tmp_path) == good
    for text in ("{", "{}", json.dumps(good.as_json() | {"temperature": 0})):
        (tmp_path / "calibration.json").write_text(text, encoding="utf-8")
        with pytest.raises(CheckpointError, match="calibrate again"):
            read_calibration(tmp_path)


def test_a_bundle_is_measured_and_left_alone(sars_root: Path, tmp_path: Path) -> None:
    bundle = write_model_folder(tmp_path, [np.full((64, 64), 1000, np.uint16)])
    before = {file: file.read_bytes() for file in bundle.rglob("*") if file.is_file()}
    picture = tmp_path / "picture.png"
    answer = CliRunner().invoke(
        app,
        [
            *("calibrate", "--bundle", str(bundle), "--on", f"sars-cov2-ct:{sars_root}"),
            *("--plot", str(picture)),
        ],
        catch_exceptions=False,
    )
    assert "Nothing was changed" in answer.output
    assert picture.is_file()
    assert {file: file.read_bytes() for file in bundle.rglob("*") if file.is_file()} == before


def test_either_a_run_or_a_bundle_is_asked_for(tmp_path: Path) -> None:
    for arguments in ([], ["--run", str(tmp_path), "--bundle", str(tmp_path)], ["--bundle", str(tmp_path)]):
        assert CliRunner().invoke(app, ["calibrate", *arguments]).exit_code == 2


def test_unlabelled_slices_cannot_be_calibrated_by(tmp_path: Path) -> None:
    write_phantom(tmp_path / "dicom", ThoraxPhantom(seed=1, slices=3, rows=64))
    bundle = write_model_folder(tmp_path, [np.full((64, 64), 1000, np.uint16)])
    arguments = ["calibrate", "--bundle", str(bundle), "--on", f"dicom:{tmp_path / 'dicom'}"]
    with pytest.raises(DataError, match="no labels"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)
