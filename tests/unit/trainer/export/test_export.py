"""The whole way on tiny data, Grad-CAM against autograd, and what export refuses."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from typer.testing import CliRunner

from node.domain.input_spec import InputSpec
from node.imaging.prepare import prepare_slice
from trainer.__main__ import main
from trainer.cli.app import app
from trainer.errors import BundleError, RoundTripError
from trainer.export.config import config_text
from trainer.export.golden import Files, golden_and_round_trip
from trainer.export.graph import ServedNet, gradcam_by_autograd, shared_stages
from trainer.export.onnx_file import halved, onnx_model
from trainer.feed.specification import specification
from trainer.fit.recipe import read_recipe
from trainer.judge.runner import read_bundle
from trainer.nets.catalogue import build_net, pooled


def run(*arguments: object) -> str:
    outcome = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    return outcome.output


def members(count: int, name: str = "tiny") -> list[torch.nn.Module]:
    torch.manual_seed(5)
    nets = [build_net(name, 3, 2, 0.0, None).eval() for _ in range(count)]
    for net in nets[1:]:
        pooled(net).stages[0].load_state_dict(pooled(nets[0]).stages[0].state_dict())
    return nets


def test_the_whole_way_index_fit_evaluate_export(tiny_recipe: Path, sars_root: Path, tmp_path: Path) -> None:
    data, folder, bundle = f"sars-cov2-ct:{sars_root}", tmp_path / "run", tmp_path / "models" / "tiny"
    assert "sars" not in run("index", data)
    assert json.loads(run("index", data, "--json"))["parts"][0]["images"] == 40
    assert "AUC a fold" in run(
        "fit", "--recipe", tiny_recipe, "--data", data, "--out", folder, "--threads", "1"
    )
    assert (folder / "fold-0-seed-1" / "log.csv").read_text().startswith("epoch,learning_rate,loss")
    run("export", "--run", folder, "--out", bundle, "--on", data)
    figures = tmp_path / "figures.json"
    run(
        "evaluate", "--bundle", bundle, "--on", data, "--on", f"folder:{sars_root / 'val'}", "--json", figures
    )
    judged = json.loads(figures.read_text())
    assert judged["sets"][0]["images"] == 20
    assert judged["sets"][0]["auc"] == judged["sets"][1]["auc"]
    assert judged["operating_point"]["validated"] is False
    check_bundle(bundle)


def check_bundle(bundle: Path) -> None:
    spec = InputSpec.from_json((bundle / "input_spec.json").read_text())
    assert (spec.model.name, spec.model.version, spec.model.status) == ("tiny", 1, "demonstration")
    config = (bundle / "config.pbtxt").read_text()
    for file in ("input_spec.json", "1/model.onnx"):
        assert hashlib.sha256((bundle / file).read_bytes()).hexdigest() in config
    golden = np.load(bundle / "1" / "golden.npz")
    prepared = np.stack([prepare_slice(v, spec).tensor for v in golden["slices"]])
    np.testing.assert_array_equal(prepared, golden["prepared"])
    assert golden["cam"].min() >= 0
    assert golden["tolerance_f32"].shape == ()
    card = (bundle / "CARD.md").read_text()
    for phrase in (
        "Not a diagnosis",
        "Sensitivity on DICOM is unmeasured",
        "CC BY-NC-SA",
        "Not measured at export",
    ):
        assert phrase in card
    assert "NonCommercial" in (bundle / "LICENSE").read_text()


@pytest.mark.parametrize("count", [1, 3])
def test_the_closed_form_is_grad_cam_by_autograd(count: int) -> None:
    net = ServedNet(members(count), 0)
    images = torch.randn(4, 3, 64, 64)
    probabilities, cam = net(images)
    wanted = gradcam_by_autograd(net, images)
    peak = wanted.amax(dim=(1, 2), keepdim=True)
    assert (peak > 0).any()
    torch.testing.assert_close(cam / peak.clamp(min=1e-12), wanted / peak.clamp(min=1e-12), rtol=0, atol=1e-4)
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(4))


def test_members_are_averaged_before_the_softmax_and_share_what_is_equal() -> None:
    nets = members(2)
    assert shared_stages(nets) == 1
    images = torch.randn(2, 3, 64, 64)
    wanted = torch.softmax((nets[0](images) + nets[1](images)) / 2, dim=1)
    torch.testing.assert_close(ServedNet(nets, 0)(images)[0], wanted)


def test_half_precision_weights_halve_the_file_and_hardly_move_the_scores(tiny_recipe: Path) -> None:
    spec = specification(read_recipe(tiny_recipe).specification, name="tiny", version=1, status="untrained")
    net = ServedNet(members(1), 0)
    whole = onnx_model(net, spec)
    half = halved(whole)
    assert len(half) < len(whole)
    kinds = {tensor.data_type for tensor in onnx.load_from_string(half).graph.initializer}
    assert onnx.TensorProto.FLOAT16 in kinds
    slices = np.full((1, 128, 128), 1000, np.uint16)
    golden, trip = golden_and_round_trip(net, Files(whole=whole, stored=half), slices, spec)
    assert trip.autograd < 1e-4
    assert golden.answer[0].shape == (1, 2)


def test_a_graph_that_answers_otherwise_is_refused(tiny_recipe: Path) -> None:
    spec = specification(read_recipe(tiny_recipe).specification, name="tiny", version=1, status="untrained")
    net, other = (ServedNet([member], 0) for member in members(2))
    for weight in other.heads.parameters():
        torch.nn.init.normal_(weight, std=2.0)
    file = onnx_model(other, spec)
    with pytest.raises(RoundTripError, match="nothing is exported"):
        golden_and_round_trip(
            net, Files(whole=file, stored=file), np.full((1, 128, 128), 1000, np.uint16), spec
        )


def test_the_configuration_quotes_what_it_is_given(tiny_recipe: Path) -> None:
    spec = specification(read_recipe(tiny_recipe).specification, name="tiny", version=1, status="untrained")
    text = config_text(spec, (8, 8), {"source_probe": 'says "no"'})
    assert 'string_value: "says \\"no\\""' in text
    assert text.count("{") == text.count("}")


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no version directory"):
        read_bundle(tmp_path)
    (tmp_path / "1").mkdir()
    with pytest.raises(BundleError, match="not a whole bundle"):
        read_bundle(tmp_path)


def test_errors_end_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["trainer", "index", f"folder:{tmp_path / 'absent'}"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    assert capsys.readouterr().err.startswith("LayoutError: ")
