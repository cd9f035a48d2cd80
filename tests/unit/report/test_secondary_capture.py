import copy
from dataclasses import replace

import numpy as np
import pytest

from node.decide.shown import on_sheet
from node.domain.errors import ReportImpossible
from node.domain.model import ModelStatus
from node.domain.result import Outcome, ResultKind
from node.report.build import build_results
from node.report.evidence import Evidence
from node.report.identity import device_uid
from node.report.secondary_capture import build_summary
from tests.unit.report.conftest import SERIES, Case, read
from tests.unit.report.test_parametric_map import slices


def heatmap_of(case: Case, rank: int = 1):
    return read(build_results(case.request())[rank - 1])


def test_the_pixels_are_the_picture():
    request = Case().request()
    for picture, item in zip(request.heatmaps, build_results(request), strict=False):
        image = read(item)
        assert np.array_equal(image.pixel_array, picture.rgb)
        assert (image.PhotometricInterpretation, image.SamplesPerPixel) == ("RGB", 3)
        assert (item.kind, item.index) == (ResultKind.HEATMAP, picture.rank)


def test_odd_numbers_of_bytes_are_padded():
    request = Case(heatmaps=1).request()
    picture = replace(request.heatmaps[0], rgb=np.full((3, 5, 3), 7, np.uint8))
    image = read(build_results(replace(request, heatmaps=[picture]))[0])
    assert len(image.PixelData) == 46
    assert np.array_equal(image.pixel_array, picture.rgb)


def test_it_shares_the_studys_identity_and_names_its_source():
    request = Case().request()
    image = read(build_results(request)[0])
    evidence = request.evidence[1]
    for keyword in ("PatientName", "PatientID", "IssuerOfPatientID", "StudyInstanceUID", "AccessionNumber"):
        assert image[keyword].value == evidence[keyword].value
    assert image.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
    source = image.SourceImageSequence[0]
    assert source.ReferencedSOPInstanceUID == request.heatmaps[0].slice.sop_instance_uid
    assert "ReferencedFrameNumber" not in source
    assert image.SeriesInstanceUID != SERIES
    assert image.ContributingEquipmentSequence[1].DeviceUID == device_uid(request.finding.model)
    assert (image.SeriesNumber, image.InstanceNumber) == (8801, 1001)
    assert heatmap_of(Case(version=2), 3).InstanceNumber == 2003


def test_it_says_what_it_is():
    image = heatmap_of(Case())
    assert image.SeriesDescription == "DEMONSTRATION MODEL: AI heatmaps, not a diagnosis"
    assert "not for diagnosis" in image.ImageComments
    assert "not a probability of disease" in image.ImageComments
    assert "Not a lesion outline" in image.DerivationDescription
    assert image.BurnedInAnnotation == "NO"
    assert list(image.PatientOrientation) == ["L", "P"]
    assert image.ImageType[:2] == ["DERIVED", "SECONDARY"]
    validated = heatmap_of(Case(status=ModelStatus.VALIDATED))
    assert validated.SeriesDescription == "AI heatmaps, not a diagnosis"


def test_the_frame_of_a_multi_frame_source_is_named():
    source = heatmap_of(Case(multi_frame=True)).SourceImageSequence[0]
    assert source.ReferencedFrameNumber == 18


@pytest.mark.parametrize("body_part", ["CHEST", "LUNG", None])
def test_laterality_is_never_asked_for(body_part, errors_of):
    item = build_results(Case(source={"BodyPartExamined": body_part}).request())[0]
    assert errors_of(item) == []


def test_a_lossy_source_stays_lossy():
    lossy = {"LossyImageCompression": "01", "LossyImageCompressionRatio": "12.5"}
    assert heatmap_of(Case(source=lossy)).LossyImageCompression == "01"


def test_what_is_made_of_one_lossy_image_among_others_is_lossy():
    """The first image of a series says nothing about the others."""
    request = slices()
    shown = request.heatmaps[0].slice.sop_instance_uid
    evidence = [copy.copy(item) for item in request.evidence]
    for item in evidence:
        item.LossyImageCompression = "01" if item.SOPInstanceUID == shown else "00"
    made = build_results(replace(request, evidence=evidence, summary=np.zeros((8, 8, 3), np.uint8)))
    said = {(item.kind, item.index): read(item).get("LossyImageCompression") for item in made}
    assert said[ResultKind.HEATMAP, 1] == said[ResultKind.SUMMARY, 0] == "01"
    assert said[ResultKind.PARAMETRIC_MAP, 0] == "01"
    assert said[ResultKind.HEATMAP, 2] == "00"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rgb": np.zeros((4, 4), np.uint8)}, "uint8"),
        ({"rgb": np.zeros((4, 4, 3), np.float32)}, "uint8"),
        ({"rgb": np.zeros((0, 4, 3), np.uint8)}, "uint8"),
        ({"rank": 0}, "rank"),
        ({"rank": 1000}, "rank"),
    ],
)
def test_other_pictures_are_refused(changes, message):
    request = Case(heatmaps=1).request()
    with pytest.raises(ReportImpossible, match=message):
        build_results(replace(request, heatmaps=[replace(request.heatmaps[0], **changes)]))


SHEET = np.arange(60 * 41 * 3, dtype=np.uint32).reshape(60, 41, 3).astype(np.uint8)


def summary_of(case: Case):
    """The contact sheet's image of a case, and its request."""
    request = replace(case.request(), summary=SHEET)
    made = [item for item in build_results(request) if item.kind is ResultKind.SUMMARY]
    assert len(made) == 1
    return read(made[0]), request


@pytest.mark.parametrize(
    "case",
    [
        Case(),
        Case(outcome=Outcome.NEGATIVE, positive=0),
        Case(outcome=Outcome.UNDETERMINED, count=3, positive=0),
        Case(multi_frame=True),
        Case(version=2),
    ],
    ids=["positive", "negative", "undetermined", "multi-frame", "version 2"],
)
def test_a_contact_sheet_is_an_image_of_its_own_series(case, errors_of):
    image, request = summary_of(case)
    assert np.array_equal(image.pixel_array, SHEET)
    assert (image.SeriesNumber, image.InstanceNumber) == (8802, case.version)
    assert image.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
    assert image.PatientOrientation is None or list(image.PatientOrientation) == []
    assert image.BurnedInAnnotation == "NO"
    assert "not a diagnosis" in image.SeriesDescription
    assert "not for diagnosis" in image.ImageComments
    assert "Not a lesion outline" in image.DerivationDescription
    [item] = [made for made in build_results(request) if made.kind is ResultKind.SUMMARY]
    assert errors_of(item) == []


def test_a_contact_sheet_refers_to_the_images_that_it_shows():
    image, request = summary_of(Case())
    shown = {request.finding.slices[index].sop_instance_uid for index in on_sheet(request.finding)}
    assert {item.ReferencedSOPInstanceUID for item in image.SourceImageSequence} == shown
    frames, request = summary_of(Case(multi_frame=True))
    [source] = frames.SourceImageSequence
    assert list(source.ReferencedFrameNumber) == sorted(
        request.finding.slices[index].frame for index in on_sheet(request.finding)
    )


def test_without_a_contact_sheet_none_is_built():
    assert ResultKind.SUMMARY not in {item.kind for item in build_results(Case().request())}
    request = Case().request()
    with pytest.raises(ReportImpossible, match="contact sheet"):
        build_summary(request, Evidence(request.evidence, request.finding))


def test_a_contact_sheet_that_is_no_picture_is_refused():
    with pytest.raises(ReportImpossible, match="uint8"):
        build_results(replace(Case().request(), summary=np.zeros((4, 4), np.uint8)))
