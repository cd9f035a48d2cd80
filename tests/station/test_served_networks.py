"""Bundles that no fit of ours made, in the node: a published network, and a quantised one."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from node.domain.model import Precision
from node.domain.result import ResultKind, RunOutcome
from node.infer.bundle import load_bundle
from node.infer.golden import replay
from node.infer.openvino import EmbeddedScorer
from tests import small_sets
from tests.finished_run import write_imported, write_run
from tests.model_folder import of_wide_scope
from tests.screening_ground import Ends, Ground, phantom_series
from trainer.cli.app import app

pytestmark = pytest.mark.heavy


def export(*arguments: object) -> str:
    outcome = CliRunner().invoke(app, ["export", *map(str, arguments)], catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    return outcome.output


@pytest.mark.parametrize("rule", [pytest.param("in-body", marks=pytest.mark.long), "paper"])
def test_a_published_network_reports_on_a_series(
    rule: str, tmp_path: Path, ground: Ground, ends: Ends
) -> None:
    name = "resnet50v2-fpn" if rule == "in-body" else "tiny"
    file = write_imported(tmp_path / "imported.pt", name, 96)
    export("--run", file, "--out", tmp_path / "ctset", "--selection", rule)
    bundle = of_wide_scope(load_bundle(tmp_path / "ctset"))
    ground.receive(phantom_series(patches=6))
    ground.settle("ctset")
    screening = ground.claim()
    ground.pipeline(bundle, ends).run(screening)
    finding = ground.store.screenings.finding(screening.id)
    assert finding.run_outcome is RunOutcome.SUCCEEDED, ends.ends
    assert finding.selected >= bundle.spec.selection.minimum_selected
    kinds = [item.kind for item in ground.store.screenings.results(screening.id)]
    assert ResultKind.REPORT in kinds


def test_a_quantised_network_is_measured_stored_and_served(tmp_path: Path) -> None:
    data = small_sets.sars_cov2_ct(tmp_path / "data", 64)
    run = write_run(
        tmp_path / "run", "default", "tiny", 64, source="sars-cov2-ct", schedule={"whole_seeds": [1]}
    )
    common = ["--run", run, "--on", data, "--int8", "--calibrate-on", data]
    said = export(*common, "--out", tmp_path / "measured")
    assert "int8: 0 of" in said
    assert not list((tmp_path / "measured").rglob("int8*"))
    assert "int8" not in export_precisions(tmp_path / "measured")
    export(*common, "--keep-int8", "--out", tmp_path / "kept")
    assert "int8" in export_precisions(tmp_path / "kept")
    bundle = load_bundle(tmp_path / "kept")
    scorer = EmbeddedScorer(bundle, precision=Precision.INT8, threads=1)
    replay(bundle, scorer)
    assert scorer.identity.weights_sha256 == bundle.int8_sha256


def export_precisions(folder: Path) -> frozenset[str]:
    return frozenset(precision.value for precision in load_bundle(folder).precisions)
