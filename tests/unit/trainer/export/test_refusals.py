"""What export refuses, each brought about by breaking one thing."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from node.domain.input_spec import InputSpec
from tests.finished_run import write_run
from trainer.cases.case import Case
from trainer.errors import BundleError, DataError, RoundTripError
from trainer.export import bundle as bundles
from trainer.export.bundle import Order, export_bundle
from trainer.export.golden import Files, RoundTrip, golden_and_round_trip, tolerances
from trainer.export.graph import ServedNet
from trainer.export.judged import judged
from trainer.export.onnx_file import onnx_model
from trainer.export.quantised import calibration_pictures, quantised
from trainer.export.source import Source, Target, read_source
from trainer.judge.evaluate import Scored

SLICE = np.random.default_rng(4).integers(0, 1200, (1, 96, 96)).astype(np.uint16)
TRIP = RoundTrip(autograd=0.0, graph=0.0, half=0.0, bf16=0.01, int8=None)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run") / "raw", "ctset-paper", "tiny", 96, source="covid-ctset")


@pytest.fixture
def source(run: Path) -> Source:
    return read_source(run, Target(name="raw", version=1, status="demonstration"))


@pytest.fixture
def spec(source: Source) -> InputSpec:
    return source.spec


@pytest.fixture(scope="module")
def sound(run: Path) -> bytes:
    found = read_source(run, Target(name="raw", version=1, status="demonstration"))
    return onnx_model(ServedNet(found.members, 0), found.spec)


def test_a_map_that_is_not_grad_cam_is_refused(source: Source, sound: bytes) -> None:
    net = ServedNet(source.members, 0)
    net.heads[0].positive = 1  # the map of the other class
    with pytest.raises(RoundTripError, match=r"closed-form Grad-CAM and autograd differ"):
        golden_and_round_trip(net, Files(whole=sound, stored=sound), SLICE, source.spec)


@pytest.mark.parametrize(
    ("broken", "name"), [("whole", "torch and OpenVINO f32"), ("stored", "stored weights")]
)
def test_a_file_of_other_weights_is_refused(broken: str, name: str, source: Source, sound: bytes) -> None:
    net = ServedNet(source.members, 0)
    other = ServedNet(source.members, 0)
    with torch.no_grad():
        for weight in other.heads.parameters():
            weight.mul_(-3.0).add_(0.5)
    files = {"whole": sound, "stored": sound, broken: onnx_model(other, source.spec)}
    with pytest.raises(RoundTripError, match=f"{name} differ"):
        golden_and_round_trip(net, Files(**files), SLICE, source.spec)


@pytest.mark.parametrize(
    ("found", "allowed"), [(0.001, 0.02), (0.02, 0.06), (0.0999, 0.2997), (0.11, None), (None, None)]
)
def test_a_precision_that_differs_much_has_no_golden_tolerance(
    found: float | None, allowed: float | None
) -> None:
    got = tolerances(dataclasses.replace(TRIP, bf16=found, int8=found))
    assert got["f32"] == 1e-3
    assert got.get("bf16") == got.get("int8") == (None if allowed is None else pytest.approx(allowed))


def scored(*scores: float) -> Scored:
    case = Case(image=Path("1.png"), positive=False, source="folder", split="all", group="1")
    return Scored(
        argument="folder:x",
        kind="folder",
        cases=(case,) * len(scores),
        scores=np.array(scores, dtype=np.float32),
    )


def test_a_decision_is_changed_at_any_operating_point(spec: InputSpec) -> None:
    point = spec.operating_point
    points = (point, dataclasses.replace(point, name="strict", slice_threshold=0.9))
    spec = dataclasses.replace(spec, operating_points=points)
    found = judged("bf16", [scored(0.1, 0.6, 0.95)], [scored(0.2, 0.55, 0.89)], spec)
    assert (found.images, found.changed, found.unchanged) == (3, 1, False)
    assert found.largest == pytest.approx(0.1, abs=1e-6)
    assert judged("bf16", [scored(0.1)], [scored(0.3)], spec).unchanged
    nothing = judged("bf16", [], [], spec)
    assert not nothing.unchanged
    assert nothing.sentence == "bf16: compared on no images"


Export = Callable[..., object]


@pytest.fixture
def export(run: Path, tmp_path: Path) -> Export:
    def made(**order: object) -> object:
        return export_bundle(
            run, tmp_path / "raw", version=1, status="untrained", selection=None, order=Order(**order)
        )

    return made


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ({"weights": "float8"}, "float16 or float32"),
        ({"keep_int8": True}, "--calibrate-on"),
    ],
)
def test_an_order_that_cannot_be_carried_out_is_refused(
    order: dict[str, object], message: str, export: Export
) -> None:
    with pytest.raises(BundleError, match=message):
        export(**order)


def test_a_bundle_beyond_the_limit_leaves_the_former_one(
    export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "CARD.md").write_text("the former one")
    monkeypatch.setattr(bundles, "LARGEST_FOLDER", 1000)
    with pytest.raises(BundleError, match="use fewer folds or seeds"):
        export()
    assert (tmp_path / "raw" / "CARD.md").read_text() == "the former one"


def test_a_folder_that_cannot_be_written_leaves_nothing_behind(
    export: Export, run: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    out = tmp_path / "file" / "raw"
    with pytest.raises(BundleError, match="could not be written"):
        export_bundle(run, out, version=1, status="untrained", selection=None, order=Order())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_int8_without_nncf_names_the_extra(sound: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(BundleError, match=r"groundglass\[int8\]"):
        quantised(sound, [np.zeros((1, 1, 96, 96), np.float32)])


def test_ranges_are_never_taken_from_unlabelled_series(spec: InputSpec, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        calibration_pictures(f"dicom:{tmp_path}", spec)
