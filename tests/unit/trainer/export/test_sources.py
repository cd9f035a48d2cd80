"""What is exported: runs, calibrated runs, imported networks, and what their cards say."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from node.domain.input_spec import InputKind, SelectionRule
from node.domain.model import Precision
from node.infer.bundle import Bundle, load_bundle
from node.infer.golden import replay
from node.infer.openvino import EmbeddedScorer
from tests.finished_run import write_imported, write_run
from trainer.cli.app import app
from trainer.cli.fit import recipe_file
from trainer.errors import BundleError, CheckpointError
from trainer.export.card_training import fitting_in_words
from trainer.export.graph import ServedNet
from trainer.export.source import Source, Target, read_source, recalibrated
from trainer.export.terms import DATA, licence_text
from trainer.fit.recipe import read_recipe
from trainer.judge.calibration import Calibration, Fit, write_calibration

TARGET = Target(name="model", version=1, status="demonstration")
CTSET = "covid-ctset"


def exported(path: Path, out: Path, *more: object) -> Bundle:
    arguments = ["export", "--run", path, "--out", out, *more]
    outcome = CliRunner().invoke(app, [str(one) for one in arguments], catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    bundle = load_bundle(out)
    scorer = EmbeddedScorer(bundle, precision=Precision.F32, threads=1)
    replay(bundle, scorer)
    scorer.close()
    return bundle


def card_of(bundle: Bundle) -> str:
    return " ".join((bundle.folder / "CARD.md").read_text().split())


@pytest.fixture
def pictures_run(tmp_path: Path) -> Path:
    return write_run(
        tmp_path / "run", "default", "tiny", 64, source="sars-cov2-ct", schedule={"whole_seeds": [1]}
    )


@pytest.fixture
def raw_run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "raw", "ctset-paper", "tiny", 96, source=CTSET)


def calibration(temperature: float) -> Calibration:
    fit = Fit(ece=0.1, brier=0.2, nll=0.5)
    return Calibration(
        temperature=temperature,
        temperature_interval=(temperature, temperature),
        before=fit,
        after=fit,
        images=80,
        groups=8,
        prevalence=0.5,
        found_on="out_of_fold.csv",
    )


def answers(source: Source, images: torch.Tensor) -> np.ndarray:
    positive = source.spec.outputs.positive_index
    net = ServedNet(source.members, positive, source.temperature)
    return net(images)[0][:, positive].numpy()


@pytest.mark.parametrize("temperature", [0.3, 2.5])
@pytest.mark.parametrize("base", ["deep-ct-net", "deep-ct-net-3"])
def test_a_temperature_moves_scores_and_thresholds_and_no_decision(
    base: str, temperature: float, tmp_path: Path
) -> None:
    run = write_run(tmp_path / "run", base, "tiny", 64, source="ct-cov19")
    before = read_source(run, TARGET)
    write_calibration(run, calibration(temperature))
    after = read_source(run, TARGET)
    images = torch.randn(200, 3, 64, 64) * torch.linspace(0.1, 3, 200)[:, None, None, None]
    old, new = answers(before, images), answers(after, images)
    odds = np.log(old) - np.log1p(-old)
    np.testing.assert_allclose(new, 1 / (1 + np.exp(-odds / temperature)), atol=1e-5)
    ranked = np.sort(old.astype(np.float64))
    for gap in np.argsort(-np.diff(ranked))[:5]:  # midway between two scores: rounding decides nothing
        between = float(ranked[gap : gap + 2].mean())
        point = dataclasses.replace(before.spec.operating_point, slice_threshold=between)
        spec = dataclasses.replace(before.spec, operating_points=(point,))
        moved = recalibrated(spec, temperature).operating_point
        np.testing.assert_array_equal(new >= moved.slice_threshold, old >= between)
        assert "temperature" in moved.chosen_on


def test_a_calibrated_run_says_so(pictures_run: Path, tmp_path: Path) -> None:
    write_calibration(pictures_run, calibration(2.0))
    bundle = exported(pictures_run, tmp_path / "models" / "calibrated")
    assert bundle.spec.operating_point.slice_threshold == pytest.approx(1 / (1 + np.sqrt(0.6 / 0.4)))
    assert "divided by the temperature 2.000" in card_of(bundle)
    assert "no prevalence but that of its own images" in card_of(bundle)


def test_an_imported_network_becomes_a_bundle(tmp_path: Path) -> None:
    file = write_imported(tmp_path / "net.pt", "tiny", 96)
    bundle = exported(file, tmp_path / "models" / "ctset")
    spec = bundle.spec
    assert (spec.input.kind, spec.input.size, spec.input.channels) == (InputKind.CTSET_RAW, (96, 96), 1)
    assert {point.name: (point.slice_threshold, float(point.share)) for point in spec.operating_points} == {
        "paper": (0.5, 0.3),
        "authors-code": (0.5, 0.1),
    }
    assert spec.active_point == "paper"
    assert not any(point.validated for point in spec.operating_points)
    assert spec.selection.rule is SelectionRule.IN_BODY
    card, licence = card_of(bundle), (bundle.folder / "LICENSE").read_text()
    for phrase in ("It was not trained here", "Unknown: which fold", "None were measured", "as HU + 1024"):
        assert phrase in card
    for phrase in ("No DICOM image was used", "lungs' bounding box", "Source probe", "epochs"):
        assert phrase not in card
    assert "terms of the published file are not known" in licence


def test_the_papers_own_selection_is_there_for_imported_networks_alone(raw_run: Path, tmp_path: Path) -> None:
    file = write_imported(tmp_path / "net.pt", "tiny", 64)
    target = dataclasses.replace(TARGET, selection="paper")
    assert read_source(file, target).spec.selection.rule is SelectionRule.PAPER
    with pytest.raises(BundleError, match="in-body, paper"):
        read_source(file, dataclasses.replace(TARGET, selection="all"))
    with pytest.raises(BundleError, match="leave --selection out"):
        read_source(raw_run, target)


def test_several_findings_side_by_side_are_no_bundle(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "deep-cxr-net-part1", "tiny", 64, source="chexpert")
    with pytest.raises(BundleError, match="part of Deep-CXR-Net"):
        read_source(run, TARGET)


@pytest.mark.parametrize("status", ["validated", "approved"])
def test_an_export_claims_no_validation(status: str, raw_run: Path) -> None:
    with pytest.raises(BundleError, match="untrained, demonstration"):
        read_source(raw_run, dataclasses.replace(TARGET, status=status))


def test_what_is_neither_run_nor_import_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "absent.pt"):
        with pytest.raises(CheckpointError):
            read_source(tmp_path / name, TARGET)


def test_slices_with_hu_are_not_called_pictures(raw_run: Path, tmp_path: Path) -> None:
    card = card_of(exported(raw_run, tmp_path / "models" / "raw"))
    for phrase in ("They hold HU", "Validation part: AUC 0.900", "best accuracy", "10% of the training part"):
        assert phrase in card
    for phrase in ("Source probe", "Pictures are not series", "No DICOM image", "of a fold"):
        assert phrase not in card
    assert "do not pass them on" in (tmp_path / "models" / "raw" / "LICENSE").read_text()


def test_slices_of_the_users_own_series_are_called_dicom(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "ctset-paper", "tiny", 64, source="dicom-labelled")
    bundle = exported(run, tmp_path / "models" / "own")
    assert "slices of DICOM series, labelled by whoever gave them" in card_of(bundle)
    assert "data of their own" in (bundle.folder / "LICENSE").read_text()


def test_radiographs_have_a_golden_answer_and_a_card_of_their_own(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "deep-cxr-net-part2", "tiny", 64, source="kaggle-pneumonia")
    bundle = exported(run, tmp_path / "models" / "chests")
    assert bundle.spec.ct_selection is None
    slices = bundle.golden.slices
    assert 200 < slices.max() <= 255
    rows = slices.astype(float).mean(axis=(0, 2))
    assert rows[-20:].mean() > rows[80:120].mean()  # the belly is denser than the lungs: head above
    card = card_of(bundle)
    for phrase in ("one frontal chest radiograph", "40 of them pneumonia", "children of one hospital"):
        assert phrase in card
    for phrase in ("axial", "CT slice", "slice thickness", "Sensitivity on DICOM"):
        assert phrase not in card
    assert "Attribution 4.0" in " ".join((bundle.folder / "LICENSE").read_text().split())


def test_three_classes_are_served_with_covid_as_the_positive_one(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "deep-ct-net-3", "tiny", 64, source="ct-cov19")
    bundle = exported(run, tmp_path / "models" / "three")
    assert bundle.golden.probabilities.shape == (3, 3)
    assert bundle.spec.outputs.positive_class == "covid"
    assert "probabilities of covid, other-pneumonia and normal" in card_of(bundle)


@pytest.mark.parametrize("source", sorted(DATA))
def test_every_data_set_has_terms(source: str, raw_run: Path) -> None:
    spec = read_source(raw_run, TARGET).spec
    text = licence_text(spec, source, published=False, parts=True)
    assert DATA[source] in text
    assert ("NonCommercial" in text) == (source == "sars-cov2-ct")
    assert "other data sets; the terms of those hold as well" in text
    assert max(map(len, text.splitlines())) <= 130


def test_no_line_of_a_card_breaks_off(raw_run: Path, tmp_path: Path) -> None:
    bundle = exported(raw_run, tmp_path / "models" / "raw", "--json", tmp_path / "measured.json")
    assert json.loads((tmp_path / "measured.json").read_text())["precisions"] == ["f32"]
    assert "None" not in card_of(bundle).replace("None were measured", "")


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ("covid-ct", "dense layer alone, by logistic regression"),
        ("deep-ct-net", "at most 50 epochs, of which the one with the best auc"),
        ("default", "8 epochs, moving average of the weights after the last one"),
    ],
)
def test_a_card_says_how_its_network_was_fitted(recipe: str, said: str) -> None:
    assert said in fitting_in_words(read_recipe(recipe_file(recipe)).schedule)
