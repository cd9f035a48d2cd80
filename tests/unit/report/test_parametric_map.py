"""The maps as data: their numbers, their place in the patient, and every validator's verdict."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from node.dicom.read import read_dataset
from node.domain.errors import ReportImpossible
from node.domain.result import ResultKind
from node.report import codes
from node.report.build import BuiltObject, ReportRequest, build_results
from node.report.frame_place import place_of
from node.report.identity import result_series_uid
from node.report.request import MapSlice
from tests.unit.report.conftest import SERIES, STUDY, Case, groups_of, read, results
from tests.unit.report.test_radiographs import request as radiographs

SHAPE = (6, 5)
PLANE = {
    "ImageOrientationPatient": ["1", "0", "0", "0", "0.9998", "0.02"],
    "PixelSpacing": ["0.703125", "0.71"],
    "SliceThickness": "2.5",
    "Rows": SHAPE[0],
    "Columns": SHAPE[1],
}


def activation(rank: int, shape: tuple[int, int] = SHAPE) -> NDArray[np.float32]:
    return np.random.default_rng(rank).random(shape, dtype=np.float32) / 100


def with_maps(request: ReportRequest, shapes: dict[int, tuple[int, int]] | None = None) -> ReportRequest:
    """A request with a map for every heatmap."""
    return replace(
        request,
        maps=[
            MapSlice(
                slice=picture.slice,
                values=activation(picture.rank, (shapes or {}).get(picture.rank, SHAPE)),
                rank=picture.rank,
            )
            for picture in request.heatmaps
        ],
    )


def slices(**attributes: object) -> ReportRequest:
    """A CT study whose slices have a place."""
    request = Case(source={**PLANE, **attributes}).request()
    for number, instance in enumerate(request.evidence):
        instance.ImagePositionPatient = ["-150.5", "-149", str(-200 + 2.5 * number)]
    return with_maps(request)


def along(request: ReportRequest) -> list[MapSlice]:
    """The maps in the order of their slices."""
    return sorted(request.maps, key=lambda item: item.slice.position)


def whole(request: ReportRequest, spare: int = 0) -> ReportRequest:
    """A request for maps of the whole series, of just the size that it has."""
    size = 4 * len(request.finding.slices) * SHAPE[0] * SHAPE[1]
    return replace(request, map_series_bytes=size + spare)


def enhanced() -> ReportRequest:
    """One multi-frame source: spacing and orientation are shared, each frame has its position."""
    request = Case(multi_frame=True, source={"Rows": SHAPE[0], "Columns": SHAPE[1]}).request()
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = PLANE["PixelSpacing"], PLANE["SliceThickness"]
    orientation.ImageOrientationPatient = PLANE["ImageOrientationPatient"]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    image = request.evidence[-1]
    image.SharedFunctionalGroupsSequence = [shared]
    image.PerFrameFunctionalGroupsSequence = []
    for number in range(int(image.NumberOfFrames)):
        position, own = Dataset(), Dataset()
        position.ImagePositionPatient = ["-150.5", "-149", str(number)]
        own.PlanePositionSequence = [position]
        image.PerFrameFunctionalGroupsSequence.append(own)
    return with_maps(request)


def maps_of(request: ReportRequest) -> list[BuiltObject]:
    return [item for item in build_results(request) if item.kind is ResultKind.PARAMETRIC_MAP]


def instance(request: ReportRequest, uid: str) -> Dataset:
    return next(item for item in request.evidence if uid == item.SOPInstanceUID)


def test_the_values_are_the_networks_own() -> None:
    request = slices()
    (made,) = maps_of(request)
    image = read(made)
    expected = np.stack([item.values for item in along(request)])
    assert image["FloatPixelData"].VR == "OF"
    (mapping,) = image.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    slope = mapping.RealWorldValueSlope
    assert np.array_equal(image.pixel_array * np.float32(slope), expected)
    assert mapping.RealWorldValueIntercept == 0
    assert mapping.DoubleFloatRealWorldValueFirstValueMapped * slope == expected.min()
    assert mapping.DoubleFloatRealWorldValueLastValueMapped * slope == expected.max()
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "1"
    (quantity,) = mapping.QuantityDefinitionSequence
    assert quantity.ConceptNameCodeSequence[0].CodeValue == "246205007"
    concept = quantity.ConceptCodeSequence[0]
    assert (concept.CodeValue, concept.CodingSchemeDesignator) == ("130403", "DCM")


@pytest.mark.parametrize("highest", [1e-30, 3e-4, 0.5, 1.0, 7.3, 1e30])
def test_stored_values_reach_from_0_to_about_1_and_are_not_rounded(highest: float) -> None:
    """Viewers that know no real-world values draw 0 to 1, whatever the network's own scale is."""
    request = slices()
    maps = [replace(item, values=item.values * np.float32(100 * highest)) for item in request.maps]
    image = read(maps_of(replace(request, maps=maps))[0])
    assert 0.25 < image.pixel_array.max() < 1
    (mapping,) = image.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    expected = np.stack([item.values for item in along(replace(request, maps=maps))])
    assert np.array_equal(image.pixel_array.astype(float) * mapping.RealWorldValueSlope, expected)


def test_highdicom_reads_values_and_geometry_back() -> None:
    request = slices()
    image = highdicom.pm.ParametricMap.from_dataset(read(maps_of(request)[0]))
    # highdicom 0.28.2 fails to apply any slope but 1 to floats that were read into memory
    (mapping,) = image.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    frames = image.get_frames(apply_real_world_transform=False) * mapping.RealWorldValueSlope
    assert np.array_equal(frames, np.stack([item.values for item in along(request)]))
    assert image.get_volume_geometry() is not None


def test_every_frame_lies_where_its_slice_lies() -> None:
    request = slices()
    image = read(maps_of(request)[0])
    shared = image.SharedFunctionalGroupsSequence[0]
    assert image.NumberOfFrames == len(request.maps) == 3
    assert image.FrameOfReferenceUID == f"{STUDY}.9"
    for item, own in zip(along(request), image.PerFrameFunctionalGroupsSequence, strict=True):
        source = instance(request, item.slice.sop_instance_uid)
        assert own.PlanePositionSequence[0].ImagePositionPatient == source.ImagePositionPatient
        (derivation,) = own.DerivationImageSequence
        (reference,) = derivation.SourceImageSequence
        assert reference.ReferencedSOPInstanceUID == item.slice.sop_instance_uid
        assert reference.SpatialLocationsPreserved == "YES"
        assert "ReferencedFrameNumber" not in reference
    measures = shared.PixelMeasuresSequence[0]
    assert [str(value) for value in measures.PixelSpacing] == PLANE["PixelSpacing"]
    assert measures.SliceThickness == 2.5
    cosines = shared.PlaneOrientationSequence[0].ImageOrientationPatient
    assert [str(value) for value in cosines] == PLANE["ImageOrientationPatient"]
    assert [
        own.FrameContentSequence[0].InStackPositionNumber for own in image.PerFrameFunctionalGroupsSequence
    ] == [
        1,
        2,
        3,
    ]
    (series,) = image.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == SERIES
    assert [item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence] == [
        item.slice.sop_instance_uid for item in along(request)
    ]


def test_frames_of_a_multi_frame_source_are_placed_by_its_functional_groups(
    errors_of: Callable[[BuiltObject], list[str]],
) -> None:
    request = enhanced()
    (made,) = maps_of(request)
    image = read(made)
    assert errors_of(made) == []
    for item, own in zip(along(request), image.PerFrameFunctionalGroupsSequence, strict=True):
        assert own.PlanePositionSequence[0].ImagePositionPatient[2] == item.slice.frame - 1
        reference = own.DerivationImageSequence[0].SourceImageSequence[0]
        assert reference.ReferencedFrameNumber == item.slice.frame
    shared = image.SharedFunctionalGroupsSequence[0]
    assert [str(value) for value in shared.PixelMeasuresSequence[0].PixelSpacing] == PLANE["PixelSpacing"]


def test_the_groups_of_a_long_multi_frame_source_are_read(tmp_path: Path) -> None:
    image = enhanced().evidence[-1]
    image.PerFrameFunctionalGroupsSequence = list(image.PerFrameFunctionalGroupsSequence) * 40
    image.file_meta = pydicom.dataset.FileMetaDataset()
    image.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    path = tmp_path / "long.dcm"
    image.save_as(path, enforce_file_format=True)
    assert path.stat().st_size > 1 << 16
    place = place_of(read_dataset(path), 45)
    assert place.image_position == ("-150.5", "-149", "4")
    assert not place.nominal


def test_a_radiograph_has_a_nominal_place_and_an_image_by_itself(
    errors_of: Callable[[BuiltObject], list[str]],
) -> None:
    request = radiographs(
        0.9,
        0.7,
        None,
        Rows=12,
        Columns=10,
        ImagerPixelSpacing=["0.2", "0.2"],
        PatientOrientation=["L", "F"],
        PixelSpacing=None,
    )
    request = with_maps(request, {2: (4, 10)})
    made = maps_of(request)
    images = [read(item) for item in made]
    assert [item.index for item in made] == [0, 1]
    assert [image.InstanceNumber for image in images] == [1, 1001]
    assert len({image.SOPInstanceUID for image in images}) == 2
    assert len({(image.SeriesInstanceUID, image.FrameOfReferenceUID) for image in images}) == 1
    for item, image in zip(made, images, strict=True):
        assert errors_of(item) == []
        assert "position is nominal" in image.DerivationDescription
        assert "distances may be those at the detector" in image.DerivationDescription
        shared, own = image.SharedFunctionalGroupsSequence[0], image.PerFrameFunctionalGroupsSequence[0]
        assert shared.PlaneOrientationSequence[0].ImageOrientationPatient == [1, 0, 0, 0, 0, -1]
        assert own.PlanePositionSequence[0].ImagePositionPatient == [0, 0, 0]
        source = own.DerivationImageSequence[0].SourceImageSequence[0]
        assert source.SpatialLocationsPreserved == "NO"
    spacings = [
        image.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing for image in images
    ]
    assert spacings == [[0.4, 0.4], [0.6, 0.2]]


@pytest.mark.parametrize(
    ("directions", "cosines"),
    [
        (["R", "F"], ("-1", "0", "0", "0", "0", "-1")),
        (["RA", "FL"], ("-1", "0", "0", "0", "0", "-1")),
        (["r", "f"], ("-1", "0", "0", "0", "0", "-1")),
        (["L"], ("1", "0", "0", "0", "0", "-1")),
        (["L", "R"], ("1", "0", "0", "0", "0", "-1")),
        (["", ""], ("1", "0", "0", "0", "0", "-1")),
    ],
)
def test_the_orientation_of_a_radiograph_is_its_own_or_upright(
    directions: list[str], cosines: tuple[str, ...]
) -> None:
    header = Dataset()
    header.add(DataElement(0x00200020, "CS", directions, validation_mode=config.IGNORE))
    assert place_of(header, 1).image_orientation == cosines


def test_every_frame_of_reference_has_a_series() -> None:
    first, second = (read(maps_of(slices(FrameOfReferenceUID=f"{STUDY}.{number}"))[0]) for number in (9, 10))
    again = read(maps_of(replace(slices(), version=2, recipe="other"))[0])
    assert first.SeriesInstanceUID == again.SeriesInstanceUID != second.SeriesInstanceUID
    assert first.SOPInstanceUID != again.SOPInstanceUID
    assert first.SeriesInstanceUID == result_series_uid(
        STUDY, "covid-ct-lite0", ResultKind.PARAMETRIC_MAP, f"{STUDY}.9"
    )


def test_slices_without_a_frame_of_reference_share_one() -> None:
    (made,) = maps_of(slices(FrameOfReferenceUID=None))
    image = read(made)
    assert image.NumberOfFrames == 3
    assert str(image.FrameOfReferenceUID).startswith("2.25.")


VALID = {
    "slices": slices(),
    "flat": replace(
        slices(), maps=[replace(item, values=np.zeros(SHAPE, np.float32)) for item in slices().maps]
    ),
    "no frame of reference": slices(FrameOfReferenceUID=None),
    "no spacing": slices(PixelSpacing=None),
    "lossy": slices(
        LossyImageCompression="01", LossyImageCompressionRatio=2, LossyImageCompressionMethod="ISO_14495_1"
    ),
    "whole": whole(slices()),
    "whole, no frame of reference": whole(slices(FrameOfReferenceUID=None)),
    "unicode": slices(SpecificCharacterSet="ISO_IR 192", PatientName="Müller^Zoë=山田^太郎"),
}


@pytest.mark.parametrize("name", VALID)
def test_the_validator_finds_no_error(name: str, errors_of: Callable[[BuiltObject], list[str]]) -> None:
    (made,) = maps_of(VALID[name])
    assert errors_of(made) == []


def test_it_says_what_it_is() -> None:
    image = read(maps_of(slices(LossyImageCompression="01", LossyImageCompressionRatio=3))[0])
    assert (image.SeriesNumber, image.InstanceNumber) == (8803, 1)
    assert image.SeriesDescription == "DEMONSTRATION MODEL: AI maps as data, not a diagnosis"
    assert image.ContentQualification == "RESEARCH"
    assert image.LossyImageCompression == "01"
    assert "not normalised" in image.DerivationDescription
    assert "Real World Value Mapping" in image.DerivationDescription
    assert [item.CodingSchemeDesignator for item in image.CodingSchemeIdentificationSequence] == ["99GGLASS"]
    assert len(image.ContentDescription) <= 64


def test_the_report_names_the_frame_of_every_positive_slice() -> None:
    request = slices()
    made = build_results(request)
    report = read(made[-1])
    (as_data,) = maps_of(request)
    shown = [group.first(codes.MAP).instance for group in groups_of(report)[1:]]
    ranks = {item.slice.sop_instance_uid: number for number, item in enumerate(along(request), start=1)}
    named = [item.sop_instance_uid for item in request.finding.slices if item.positive]
    assert shown == [
        f"{as_data.sop_instance_uid} frame {ranks[uid]}" if uid in ranks else "" for uid in named
    ]
    evidence = {
        item.ReferencedSOPInstanceUID
        for series in report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
        if series.SeriesInstanceUID == as_data.series_instance_uid
        for item in series.ReferencedSOPSequence
    }
    assert evidence == {as_data.sop_instance_uid}


def test_the_same_request_gives_the_same_bytes() -> None:
    assert maps_of(slices()) == maps_of(slices())


def test_there_is_none_where_none_is_asked_for() -> None:
    assert {item.kind for item in results("positive")} == {ResultKind.HEATMAP, ResultKind.REPORT}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros(SHAPE, np.float64), "float32"),
        (np.zeros((*SHAPE, 1), np.float32), "float32"),
        (np.zeros((0, 5), np.float32), "float32"),
        (np.full(SHAPE, np.nan, np.float32), "no numbers"),
        (np.zeros((5, 6), np.float32), "does not lie on a slice"),
    ],
)
def test_other_maps_are_refused(values: NDArray[Any], message: str) -> None:
    request = slices()
    with pytest.raises(ReportImpossible, match=message):
        build_results(replace(request, maps=[replace(request.maps[0], values=values)]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3))
def test_any_position_is_kept_within_what_a_decimal_string_holds(position: list[float]) -> None:
    header = read_of("\\".join(map(repr, position)).encode())
    header.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    place = place_of(header, 1)
    assert all(len(value) <= 16 for value in place.image_position)
    assert [float(value) for value in place.image_position] == pytest.approx(position, rel=1e-8, abs=1e-8)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60))
def test_a_malformed_place_is_no_place(value: bytes) -> None:
    header = read_of(value)
    place = place_of(header, 1)
    assert all(len(part) <= 16 for part in place.image_position)
    assert len(place.image_position) == 3


def read_of(value: bytes) -> Dataset:
    """A header whose position is any bytes."""
    encoded = value + b" " * (len(value) % 2)
    element = b"\x20\x00\x32\x00DS" + len(encoded).to_bytes(2, "little") + encoded
    return pydicom.filereader.read_dataset(io.BytesIO(element), False, True)
