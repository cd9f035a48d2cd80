from dataclasses import replace

import numpy as np
import pytest

from node.domain.errors import ReportImpossible
from node.domain.model import ModelStatus
from node.domain.result import ResultKind
from node.report.build import build_results
from node.report.identity import device_uid
from tests.unit.report.conftest import SERIES, Case, read


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
