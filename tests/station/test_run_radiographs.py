"""Radiographs from arrival to a real PACS: real store, real engine, phantom chests."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLosslessSV1
from typer.testing import CliRunner

from node.cli.main import app
from node.deliver.courier import Courier
from node.deliver.dicom_sender import DicomSender
from node.deliver.prover import Prover
from node.domain.delivery import DeliveryState
from node.domain.identity import derived_uid
from node.domain.input_spec import InputModality
from node.domain.job import Assignment
from node.domain.network import CapPolicy, DicomDestination
from node.domain.result import Finding, Outcome, ResultKind, RunOutcome
from node.infer.bundle import Bundle
from node.receive.sink import FolderSink
from node.report.identity import SERIES_NUMBERS
from node.report.render import report_text
from node.run.progress import ScreeningEnd
from tests.hostile_frames import SIDE, ends_its_process
from tests.radiograph_objects import (
    HIGHEST,
    STUDY,
    chest,
    digital_object,
    radiograph_bundle,
    radiograph_object,
)
from tests.screening_ground import Ends, Ground, deliveries, of_kind, phantom_series
from tests.station.outbox_ground import BACKOFF, PATIENCE, WAITS
from tests.station.receiving_node import AE_TITLE, TIMEOUTS, CountedUids, WallClock

COMPREHENSIVE_3D_SR = "1.2.840.10008.5.1.4.1.1.88.34"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return radiograph_bundle(tmp_path_factory.mktemp("models"))


def screened(
    ground: Ground, ends: Ends, bundle: Bundle, data_sets: Sequence[Dataset], **changes: object
) -> tuple[Finding, list[Dataset]]:
    """Take objects in, screen their study, and return the finding and the result objects."""
    ground.receive(data_sets)
    ground.settle(bundle.name, incomplete=changes.pop("incomplete", ()))
    screening = ground.claim()
    ground.pipeline(bundle, ends, **changes).run(screening)
    results = [
        pydicom.dcmread(ground.store.files.path(item.object_key))
        for item in ground.store.screenings.results(screening.id)
    ]
    finding = ground.store.screenings.finding(screening.id)
    assert finding is not None
    return finding, results


def errors_of(data_set: Dataset, folder: Path) -> list[str]:
    """Return what dciodvfy finds wrong; DCMTK must be able to read a report at all."""
    path = folder / f"{data_set.SOPInstanceUID}.dcm"
    data_set.save_as(path)
    if data_set.file_meta.TransferSyntaxUID.is_deflated:  # dciodvfy reads no deflated data set
        subprocess.run(["dcmconv", "+te", path, path], check=True)
    if data_set.Modality == "SR":
        subprocess.run(["dsrdump", "+Pl", path], capture_output=True, text=True, check=True)
    tool = Path(sys.executable).with_name("dciodvfy")
    found = subprocess.run([tool, "-new", path], capture_output=True, text=True, check=False)
    return [line for line in (found.stdout + found.stderr).splitlines() if line.startswith("Error")]


def test_opacities_make_a_radiograph_positive(
    ground: Ground, ends: Ends, bundle: Bundle, tmp_path: Path
) -> None:
    finding, made = screened(ground, ends, bundle, [radiograph_object()])
    assert (finding.outcome, finding.run_outcome) == (Outcome.POSITIVE, RunOutcome.SUCCEEDED)
    assert finding.modality is InputModality.CR
    assert (finding.received, finding.selected, finding.positive) == (1, 1, 1)
    assert finding.reason.startswith("1 of 1 frontal image scores 0.5 or more")
    [heatmap], [report] = of_kind(made, ResultKind.HEATMAP), of_kind(made, ResultKind.REPORT)
    assert {item.SeriesNumber for item in made} == {
        number for kind, number in SERIES_NUMBERS.items() if kind is not ResultKind.REJECTION
    }
    assert report.SOPClassUID == COMPREHENSIVE_3D_SR
    assert heatmap.PatientOrientation == ["L", "F"]
    for item in made:
        assert errors_of(item, tmp_path) == []
    shown = report_text(report)
    assert "UNTRAINED MODEL: AI screening of chest radiographs" in shown
    assert "XR unspecified body region" in str(report)
    for text in (shown, str(report), str(heatmap)):
        assert "slice" not in text.lower()
        assert " mm" not in text
        assert "Slice" not in text


def test_without_opacities_it_is_negative(ground: Ground, ends: Ends, bundle: Bundle) -> None:
    finding, made = screened(ground, ends, bundle, [radiograph_object(chest(0))])
    assert (finding.outcome, finding.positive) == (Outcome.NEGATIVE, 0)
    [_, report] = made
    assert "No image reaches the threshold." in report_text(report)


def test_both_polarities_of_one_image_get_the_same_score(ground: Ground, ends: Ends, bundle: Bundle) -> None:
    ways = [
        radiograph_object(),
        radiograph_object(HIGHEST - chest(), number=2, PhotometricInterpretation="MONOCHROME1"),
        digital_object(
            HIGHEST - chest(),
            number=3,
            PhotometricInterpretation="MONOCHROME1",
            PresentationLUTShape="INVERSE",
        ),
        radiograph_object(HIGHEST - chest(), number=4, RescaleSlope=-1, RescaleIntercept=HIGHEST),
        radiograph_object(chest()[:, ::-1], number=5, PatientOrientation=["R", "F"]),
        radiograph_object(HIGHEST - chest(), number=6),  # a negative that says it is none
    ]
    finding, _ = screened(ground, ends, bundle, ways)
    scores = [item.probability for item in finding.slices]
    assert len(set(scores[:5])) == 1
    assert scores[5] != scores[0]


def test_a_lateral_image_is_counted_and_not_scored(ground: Ground, ends: Ends, bundle: Bundle) -> None:
    images = [radiograph_object(), radiograph_object(chest(0), number=2, ViewPosition="LL")]
    finding, made = screened(ground, ends, bundle, images)
    assert (finding.received, finding.selected) == (2, 1)
    assert [item.probability is None for item in finding.slices] == [False, True]
    [report] = of_kind(made, ResultKind.REPORT)
    assert "Chosen: 1 frontal image (PA); 1 other not scored." in report_text(report)


def test_one_of_two_images_is_enough_for_the_share(ground: Ground, ends: Ends, bundle: Bundle) -> None:
    images = [radiograph_object(chest(0)), radiograph_object(number=2)]
    finding, made = screened(ground, ends, bundle, images)
    assert (finding.outcome, finding.positive, finding.selected) == (Outcome.POSITIVE, 1, 2)
    [heatmap] = of_kind(made, ResultKind.HEATMAP)
    assert heatmap.SourceImageSequence[0].ReferencedSOPInstanceUID == images[1].SOPInstanceUID


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"ViewPosition": "LL"}, "not a frontal view (LL)"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1.1", "Modality": "DX"}, "for processing"),
        ({"NumberOfFrames": 2, "PixelData": bytes(4 * 256 * 256)}, "2 frames"),
        ({"PresentationLUTShape": "INVERSE"}, "polarity unknown"),
        ({"PatientAge": "012Y"}, "younger than 18"),
        ({"RescaleSlope": 0, "RescaleIntercept": 0}, "the rescale or look-up table of an image is malformed"),
    ],
)
def test_a_study_without_a_fit_radiograph_is_not_analysed(
    ground: Ground, ends: Ends, bundle: Bundle, tmp_path: Path, attributes: dict[str, object], reason: str
) -> None:
    finding, [report] = screened(ground, ends, bundle, [radiograph_object(**attributes)])
    assert finding.outcome is Outcome.NOT_ANALYSED
    assert finding.modality is InputModality.CR
    assert reason in finding.reason
    assert "NOT ANALYSED" in report_text(report)
    assert errors_of(report, tmp_path) == []


def test_other_body_parts_and_other_modalities_get_no_report(
    ground: Ground, ends: Ends, bundle: Bundle
) -> None:
    hand = radiograph_object(BodyPartExamined="HAND", StudyDescription="XR hand", SeriesDescription="")
    finding, made = screened(ground, ends, bundle, [hand])
    assert made == []
    assert finding.reason == "The study holds no chest radiograph; nothing is sent."
    assert ends.ends[-1][0] is ScreeningEnd.NOTHING_TO_SEND
    _, made = screened(ground, ends, bundle, phantom_series())
    assert made == []


def test_an_unreadable_series_gives_way_to_the_next(ground: Ground, ends: Ends, bundle: Bundle) -> None:
    broken = radiograph_object(series=1, RescaleSlope=0, RescaleIntercept=0)
    finding, _ = screened(ground, ends, bundle, [broken, radiograph_object(series=2, ViewPosition="AP")])
    assert finding.outcome is Outcome.POSITIVE
    assert [item.chosen for item in finding.choices] == [False, True]
    assert "malformed" in finding.choices[0].reason


def test_an_image_that_ends_its_decoder_is_not_analysed(
    ground: Ground, ends: Ends, bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    hostile = radiograph_object(Rows=SIDE, Columns=SIDE)
    hostile.PixelData = encapsulate([ends_its_process()])
    hostile["PixelData"].is_undefined_length = True
    hostile.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    finding, _ = screened(ground, ends, bundle, [hostile])
    assert finding.run_outcome is RunOutcome.FAILED
    assert "cannot be decoded" in finding.reason
    assert "its codec ended by SIGSEGV" in caplog.text


def test_a_damaged_file_is_not_analysed(ground: Ground, ends: Ends, bundle: Bundle) -> None:
    ground.receive([radiograph_object()])
    [instance] = ground.store.studies.instances(ground.study(STUDY).series[0].id)
    path = ground.store.files.path(instance.object_key)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-2] + b"\1\2")
    finding, _ = screened(ground, ends, bundle, [])
    assert finding.run_outcome is RunOutcome.FAILED
    assert "damaged on the disk" in finding.reason


def test_what_was_assumed_is_said(ground: Ground, ends: Ends, bundle: Bundle) -> None:
    bare = radiograph_object(
        **dict.fromkeys(
            (
                "ViewPosition",
                "PatientOrientation",
                "WindowCenter",
                "WindowWidth",
                "PatientAge",
                "BodyPartExamined",
            )
        ),
        PatientBirthDate="",
        StudyDescription="",
        SeriesDescription="",
        ShutterShape="CIRCULAR",
        CenterOfCircularShutter=[128, 128],
        RadiusOfCircularShutter=120,
    )
    finding, made = screened(ground, ends, bundle, [bare], cap_policy=CapPolicy.RUN_AND_FLAG, incomplete=(1,))
    assert finding.run_outcome is RunOutcome.PARTIALLY_SUCCEEDED
    said = "\n".join(finding.warnings)
    for word in (
        "incomplete",
        "age is unknown",
        "view is not named",
        "body part",
        "PatientOrientation",
        "window",
        "display shutter",
    ):
        assert word in said, word
    if len(made) > 1:
        assert not made[0].PatientOrientation


def test_the_same_study_again_changes_nothing_and_a_further_image_does(
    ground: Ground, ends: Ends, bundle: Bundle
) -> None:
    screened(ground, ends, bundle, [radiograph_object()])
    again = Assignment(model_name=bundle.name)
    ground.store.screenings.requeue(ground.study(STUDY).id, again, "tester", "again")
    ground.pipeline(bundle, ends).run(ground.claim())
    assert [end for end, _ in ends.ends] == [ScreeningEnd.STORED, ScreeningEnd.UNCHANGED]
    ground.receive([radiograph_object(series=2, ViewPosition="LL")])
    ground.settle(bundle.name)
    ground.pipeline(bundle, ends).run(ground.claim())
    version = ground.store.screenings.current_version(ground.study(STUDY).id, bundle.name)
    assert version is not None
    assert version.version == 2


def test_an_untrained_model_s_results_reach_the_test_destination_only(
    ground: Ground, ends: Ends, bundle: Bundle, tmp_path: Path
) -> None:
    sinks = {
        name: FolderSink(name.upper(), "127.0.0.1", 0, tmp_path / name, clock=WallClock())
        for name in ("pacs", "demo")
    }
    ports = {name: sink.start() for name, sink in sinks.items()}
    destinations = {
        name: DicomDestination(
            name=name,
            ae_title=name.upper(),
            host="127.0.0.1",
            port=port,
            accept_demonstration=name == "demo",
        )
        for name, port in ports.items()
    }
    try:
        for name in destinations:
            ground.store.operations.go_live(name, "tester", "test")
        _, made = screened(
            ground, ends, bundle, [radiograph_object()], destinations=tuple(destinations.values())
        )
        courier = Courier(
            outbox=ground.store.outbox,
            breakers=ground.store.breakers,
            prover=Prover(
                proofs=ground.store.proofs,
                files=ground.store.files,
                clock=ground.clock,
                uids=CountedUids(),
                waits=WAITS,
                backoff=BACKOFF,
                jitter=lambda: 1.0,
            ),
            files=ground.store.files,
            senders={
                name: DicomSender(item, calling_ae_title=AE_TITLE, timeouts=TIMEOUTS)
                for name, item in destinations.items()
            },
            clock=ground.clock,
            backoff=BACKOFF,
            patience=PATIENCE,
            jitter=lambda: 1.0,
        )
        for name in destinations:
            courier.run_once(name)
    finally:
        for sink in sinks.values():
            sink.stop()
    assert {path.stem for path in sinks["demo"].files()} == {str(item.SOPInstanceUID) for item in made}
    assert list(sinks["pacs"].files()) == []
    assert deliveries(ground) == {
        ("demo", DeliveryState.DELIVERED): len(made),
        ("pacs", DeliveryState.WITHHELD): len(made),
    }


def test_a_large_radiograph_gets_a_heatmap_of_a_bounded_size(
    ground: Ground, ends: Ends, bundle: Bundle
) -> None:
    large = np.repeat(np.repeat(chest(), 10, axis=0), 8, axis=1)
    _, made = screened(ground, ends, bundle, [radiograph_object(large, ImagerPixelSpacing=[0.15, 0.2])])
    [heatmap] = of_kind(made, ResultKind.HEATMAP)
    [as_data] = of_kind(made, ResultKind.PARAMETRIC_MAP)
    assert as_data.pixel_array.shape == (1024, 819)
    measures = as_data.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert measures.PixelSpacing == pytest.approx([0.15 * 2.5, 0.2 * 2048 / 819])
    assert heatmap.Columns == pytest.approx(819 * 0.2 / 0.15, abs=1), "as wide as in the patient"
    assert heatmap.Rows < 1024 + 400
    assert heatmap.SourceImageSequence[0].ReferencedSOPInstanceUID == derived_uid("radiograph", "1", "1")
    assert ResultKind.HEATMAP in {item.kind for item in ground.store.screenings.results(1)}


def test_no_text_of_the_sender_is_drawn_into_the_heatmap(ground: Ground, ends: Ends, bundle: Bundle) -> None:
    """It says BurnedInAnnotation NO, and ViewPosition holds what a person typed."""
    pictures = []
    for position, study in (("PA", STUDY), ("PA DOE JOHN", derived_uid("radiograph", "another study"))):
        image = radiograph_object(ViewPosition=position, StudyInstanceUID=study)
        image.SOPInstanceUID, image.SeriesInstanceUID = f"{study}.1", f"{study}.2"
        _, made = screened(ground, ends, bundle, [image])
        [heatmap] = of_kind(made, ResultKind.HEATMAP)
        pictures.append(heatmap.PixelData)
    assert pictures[0] == pictures[1]


def test_a_study_of_both_kinds_gets_a_report_of_each_model(
    ground: Ground, ends: Ends, bundle: Bundle, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    series = phantom_series(patches=6)
    image = radiograph_object(StudyInstanceUID=series[0].StudyInstanceUID, series=7)
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex"):
        setattr(image, keyword, series[0][keyword].value)
    ground.receive([*series, image])
    ground.settle(tiny_bundle.name)
    again = Assignment(model_name=bundle.name)
    ground.store.screenings.requeue(ground.study().id, again, "tester", "the other kind")
    reports = {}
    for _ in range(2):
        screening = ground.claim()
        served = {one.name: one for one in (bundle, tiny_bundle)}[screening.model_name]
        ground.pipeline(served, ends).run(screening)
        finding = ground.store.screenings.finding(screening.id)
        assert finding is not None
        assert finding.run_outcome is RunOutcome.SUCCEEDED
        made = ground.store.screenings.results(screening.id)
        reports[finding.modality] = next(item for item in made if item.kind is ResultKind.REPORT)
    assert set(reports) == set(InputModality)
    assert len({item.series_instance_uid for item in reports.values()}) == 2

    # Neither answer hides the other from an operator.
    config = tmp_path / "groundglass.toml"
    config.write_text(f'[node]\ndata_dir = "{ground.root}"\n')
    command = ["studies", "list", "--json", "--config", str(config)]
    (listed,) = json.loads(CliRunner().invoke(app, command).output)
    answers = {item["model"]: item["outcome"] for item in listed["outcomes"]}
    assert answers == {tiny_bundle.name: "positive", bundle.name: "positive"}
    assert listed["outcome"] == f"{tiny_bundle.name} positive, {bundle.name} positive"
    study_instance_uid = str(image.StudyInstanceUID)
    shown = CliRunner().invoke(app, ["studies", "show", study_instance_uid, "--config", str(config)]).output
    for modality in InputModality:
        assert f"({modality.value}): positive" in shown
