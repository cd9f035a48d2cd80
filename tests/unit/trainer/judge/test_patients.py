"""Series and patients are decided as the node decides them."""

from __future__ import annotations

import dataclasses
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from node.decide.rule import decide
from node.dicom.slices import SliceSource, StoredPixels
from node.dicom.write import PhantomLabels, write_phantom
from node.domain.input_spec import ScopeSpec
from node.domain.model import ModelIdentity, ModelStatus, Precision
from node.domain.result import OperatingPoint, Outcome, SeriesChoice
from node.domain.study import SeriesState, Verdict
from node.imaging.geometry import slice_plane
from node.imaging.phantom import ThoraxPhantom
from node.imaging.prepare import Framing, hu_to_stored
from node.imaging.selection import DarkCount, Plausibility
from node.run.findings import analysed, method
from node.run.looking import LookedAt
from node.run.scoring import Scored as NodeScored
from tests.conftest import ct_header
from tests.model_folder import TinyNet, tiny_spec, write_model_folder
from trainer.cases.case import Case
from trainer.cases.readers import read_cases
from trainer.cli.app import app
from trainer.errors import PictureError
from trainer.judge.patients import decide_all, decide_series, patient_figures
from trainer.judge.series import LookedSeries, look_at_series

SPEC = tiny_spec(
    scope=ScopeSpec(
        minimum_age_years=18,
        slice_thickness_mm=(0.5, 50),
        pixel_spacing_mm=(0.4, 5),
        field_of_view_mm=(200, 550),
    )
)
POINT = SPEC.operating_point
IDENTITY = ModelIdentity(
    name="tiny",
    version=1,
    status=ModelStatus.VALIDATED,
    spec_sha256="0" * 64,
    weights_sha256="1" * 64,
    engine="openvino",
    engine_version="0",
    precision=Precision.F32,
    device="CPU",
)
CHOSEN = SeriesChoice(
    series_instance_uid="1.2.3",
    series_number=2,
    series_description="",
    modality="CT",
    instance_count=12,
    state=SeriesState.COMPLETE,
    verdict=Verdict.GEOMETRY,
    verdict_reason="",
    chosen=True,
    eligible=True,
    reason="Chosen.",
)


def series(
    kept: tuple[int, ...] = (4, 5, 6),
    slices: int = 12,
    *,
    reason: str | None = None,
    patient: str = "a",
    name: str = "a/SR_2",
    positive: bool = True,
) -> LookedSeries:
    case = Case(image=Path("a"), positive=positive, source="covid-ctset", split="all", group=patient)
    return LookedSeries(
        name=name,
        study=patient,
        patient=patient,
        cases=(case,) * slices,
        kept=kept,
        plausibility=Plausibility(reason=reason, runs=1, note=None),
        whole=bool(kept) and kept[0] > 0 and kept[-1] < slices - 1,
        facts=None,
    )


def by_the_node(look: LookedSeries, scores: list[float], point: OperatingPoint) -> Outcome:
    """Return the outcome of the node's own finding for the same evidence."""
    spec = dataclasses.replace(SPEC, operating_points=(point,), active_point=point.name)
    sources = tuple(
        SliceSource(
            header=ct_header(index + 1),
            frame=1,
            plane=slice_plane((0, 0, 5 * index), (1, 0, 0, 0, 1, 0)),
            position=5.0 * index,
            pixels=StoredPixels(Path("a")),
        )
        for index in range(len(look.cases))
    )
    looked = LookedAt(
        sources=sources,
        counts=(DarkCount(count=1, in_body=1),) * len(sources),
        pixel_digests=("",) * len(sources),
        profiles=(np.zeros(8, np.float32),) * len(sources),
        kept=look.kept,
        threshold=Fraction(1),
        plausibility=look.plausibility,
    )
    scored = [
        NodeScored(
            probability=score, cam=np.ones((2, 2), np.float32), box=(0, 2, 0, 2), framing=Framing.LUNG_BOX
        )
        for score in scores
    ]
    how = method(spec, IDENTITY, minimum_slices=None, source_probe="")
    return analysed(how, (CHOSEN,), looked, () if look.plausibility.reason else scored).outcome


@settings(deadline=None, max_examples=60)
@given(
    st.sets(st.integers(0, 13)),
    st.lists(st.floats(0, 1), min_size=14, max_size=14),
    st.sampled_from([None, "no lung was seen"]),
    st.fractions(0, 1),
    st.floats(0, 1),
)
def test_a_series_is_decided_as_by_the_node(
    kept: set[int], scores: list[float], reason: str | None, share: Fraction, threshold: float
) -> None:
    point = dataclasses.replace(POINT, share=share, slice_threshold=threshold)
    look = series(tuple(sorted(kept)), 14, reason=reason)
    own = scores[: len(kept)]
    decision = decide_series(look, np.array(own), SPEC, point)
    assert decision.outcome is by_the_node(look, own, point)
    if not kept:
        assert decision.outcome is Outcome.UNDETERMINED
    elif reason is None and look.whole:
        wanted = decide(
            sum(one >= threshold for one in own), len(own), point, SPEC.selection.minimum_selected
        )
        assert decision == wanted


def test_a_series_too_short_is_not_analysed() -> None:
    decision = decide_series(series((0, 1, 2), 9), np.ones(3), SPEC, POINT)
    assert decision.outcome is Outcome.NOT_ANALYSED


def test_the_first_series_long_enough_answers_for_a_patient_without_headers() -> None:
    looks = [
        series((), 5, name="a/SR_2"),
        series(name="a/SR_3"),
        series(name="a/SR_4"),
        series(patient="b", name="b/SR_2", positive=False),
        series((), 12, reason="no slice", patient="c", name="c/SR_2", positive=False),
    ]
    scores = [np.empty(0), np.ones(3), np.zeros(3), np.zeros(3), np.empty(0)]
    decided, patients = decide_all(looks, scores, SPEC, POINT)
    assert [one.chosen for one in decided] == [False, True, False, True, True]
    assert [one.outcome.value for one in patients] == ["positive", "negative", "undetermined"]
    found = patient_figures(patients)
    assert (found.patients, found.positives, found.undetermined_negatives) == (3, 1, 1)
    assert (found.sensitivity, found.specificity, found.cleared) == (1.0, 1.0, 0.5)


def test_no_patient_decided_gives_no_figure() -> None:
    _, patients = decide_all([series((), 12, reason="no slice")], [np.empty(0)], SPEC, POINT)
    found = patient_figures(patients)
    assert (found.sensitivity, found.found, found.undetermined_positives) == (None, 0.0, 1)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two patients: one with two studies of which the second has two kernels, one with a short study."""
    root = tmp_path_factory.mktemp("archive")
    rows = ["PatientID,label"]
    for patient, study, number, kernel, patches, slices in (
        ("P1", "one", 2, "B70f", 8, 16),
        ("P1", "two", 2, "B30f", 0, 16),
        ("P1", "two", 3, "B70f", 0, 16),
        ("P2", "three", 2, "B30f", 0, 16),
        ("P3", "four", 2, "B30f", 0, 6),
    ):
        labels = PhantomLabels(
            identity=study,
            patient_id=patient,
            series_number=number,
            convolution_kernel=kernel,
            patient_sex="F" if patient == "P1" else "M",
        )
        phantom = ThoraxPhantom(seed=3, slices=slices, rows=128, patches=patches)
        write_phantom(root / f"{study}-{number}", phantom, labels)
    rows += ["P1,covid", "P2,normal", "P3,normal"]
    (root / "labels.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    phantom = ThoraxPhantom(seed=3, slices=16, rows=128)
    return write_model_folder(
        tmp_path_factory.mktemp("models"), [hu_to_stored(phantom.slice_at(8).hu)], net=TinyNet(), spec=SPEC
    )


def test_the_node_chooses_within_each_study(archive: Path) -> None:
    looks = look_at_series(read_cases(f"dicom-labelled:{archive}"), SPEC)
    assert len(looks) == 5
    scores = [np.full(len(look.kept), 0.1) for look in looks]
    decided, patients = decide_all(looks, scores, SPEC, POINT)
    chosen = [one for one in decided if one.chosen]
    assert sorted(one.patient for one in chosen) == ["patient 00001", "patient 00001", "patient 00002"]
    assert any("lung kernel (B70f)" in one.choice for one in chosen)
    assert [one.outcome.value for one in patients] == ["negative", "negative", "not-analysed"]
    assert [one.positive for one in patients] == [True, False, False]


def test_one_positive_study_makes_the_patient_positive(archive: Path) -> None:
    looks = look_at_series(read_cases(f"dicom-labelled:{archive}"), SPEC)
    second = next(look for look in looks if look.patient == "patient 00001")
    scores = [np.full(len(look.kept), 0.9 if look is second else 0.1) for look in looks]
    assert decide_all(looks, scores, SPEC, POINT)[1][0].outcome is Outcome.POSITIVE


def evaluated(bundle: Path, out: Path, *arguments: str) -> dict[str, Any]:
    file = out / "figures.json"
    answer = CliRunner().invoke(
        app,
        ["evaluate", "--bundle", str(bundle), "--json", str(file), "--patients", *arguments],
        catch_exceptions=False,
    )
    assert answer.exit_code == 0, answer.output
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found | {"printed": answer.output}


def test_evaluate_judges_patients_strata_and_draws(bundle: Path, archive: Path, tmp_path: Path) -> None:
    report = evaluated(
        bundle,
        tmp_path,
        *("--on", f"dicom-labelled:{archive}", "--on", f"dicom:{archive / 'two-2'}"),
        *("--plots", str(tmp_path / "plots")),
    )
    labelled, bare = report["sets"]
    point = labelled["patients"]["points"]["tiny"]
    assert [one["patient"] for one in point["patients"]] == [f"patient {number:05d}" for number in (1, 2, 3)]
    assert point["figures"]["undetermined_negatives"] == 1
    assert {one["attribute"] for one in labelled["strata"]} == {"kernel", "sex", "thickness"}
    assert "P1" not in json.dumps(report)
    assert bare["patients"]["points"]["tiny"]["figures"] is None
    assert bare["patients"]["points"]["tiny"]["patients"][0]["positive"] is None
    assert "undetermined or not analysed" in " ".join(report["printed"].split())
    assert sorted(file.name for file in (tmp_path / "plots").iterdir()) == sorted(report["plots"])
    assert "1-dicom-labelled-roc.png" in report["plots"]


def test_a_raw_ctset_is_judged_by_patients(bundle: Path, tmp_path: Path) -> None:
    for group, number in (("covid1", 3), ("normal1", 146)):
        for series_name, slices in (("SR_2", 16), ("SR_3", 4)):
            phantom = ThoraxPhantom(seed=number, slices=slices, rows=128)
            folder = tmp_path / "raw" / group / f"patient{number}" / series_name
            folder.mkdir(parents=True)
            for index in range(slices):
                v = hu_to_stored(phantom.slice_at(index).hu)
                v = cv2.resize(v, (512, 512), interpolation=cv2.INTER_NEAREST)
                Image.fromarray(v).save(folder / f"IM{index + 1:05d}.tif", compression="tiff_lzw")
    report = evaluated(bundle, tmp_path, "--on", f"covid-ctset:{tmp_path / 'raw'}")
    (one,) = report["sets"]
    decided = one["patients"]["points"]["tiny"]["series"]
    assert [(item["series"][-4:], item["chosen"]) for item in decided] == [
        *(("SR_2", True), ("SR_3", False)),
        *(("SR_2", True), ("SR_3", False)),
    ]
    assert all(item["selected"] < item["slices"] for item in decided if item["chosen"])
    assert "SR_2" in one["patients"]["rule"]


def test_radiograph_models_take_no_series(archive: Path) -> None:
    radiographs = dataclasses.replace(SPEC, ct_selection=None)
    with pytest.raises(PictureError, match="takes no series"):
        look_at_series(read_cases(f"dicom-labelled:{archive}"), radiographs)
