"""Frames of padding on the slices that have no map."""

from __future__ import annotations

from dataclasses import replace

import highdicom
import numpy as np
import pytest

from node.report.request import MapSlice, ReportRequest
from tests.unit.report.conftest import Case, read
from tests.unit.report.test_parametric_map import (
    PLANE,
    SHAPE,
    activation,
    instance,
    maps_of,
    slices,
    whole,
    with_maps,
)
from tests.unit.report.test_radiographs import request as radiographs


def test_slices_without_a_map_hold_padding_that_has_no_real_world_value() -> None:
    request = whole(slices())
    image = read(maps_of(request)[0])
    mapped = {item.slice.sop_instance_uid: item.values for item in request.maps}
    assert image.NumberOfFrames == len(request.finding.slices) > len(mapped)
    assert image.FloatPixelPaddingValue < 0 <= min(values.min() for values in mapped.values())
    (values,) = image.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    slope = values.RealWorldValueSlope
    lowest = values.DoubleFloatRealWorldValueFirstValueMapped * slope
    assert lowest == min(item.min() for item in mapped.values())
    heights = []
    for pixels, own in zip(image.pixel_array, image.PerFrameFunctionalGroupsSequence, strict=True):
        uid = own.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        position = own.PlanePositionSequence[0].ImagePositionPatient
        assert position == instance(request, uid).ImagePositionPatient
        heights.append(float(position[2]))
        assert ("FrameComments" in own.FrameContentSequence[0]) is (uid not in mapped)
        expected = mapped[uid] / slope if uid in mapped else image.FloatPixelPaddingValue
        assert np.array_equal(pixels, np.broadcast_to(expected, SHAPE))
    assert heights == sorted(heights)
    assert "padding" in image.DerivationDescription


def test_highdicom_reads_a_volume_without_gaps() -> None:
    request = whole(slices())
    image = highdicom.pm.ParametricMap.from_dataset(read(maps_of(request)[0]))
    volume = image.get_volume(apply_real_world_transform=False, allow_missing_positions=False)
    assert volume.spatial_shape == (len(request.finding.slices), *SHAPE)


@pytest.mark.parametrize("request_", [whole(slices(), -1), slices(), whole(radiographs(0.9, 0.7, None), 99)])
def test_a_map_that_would_be_too_large_has_frames_with_values_alone(request_: ReportRequest) -> None:
    request = with_maps(request_)
    for made in maps_of(request):
        image = read(made)
        assert "FloatPixelPaddingValue" not in image
        assert image.NumberOfFrames < len(request.finding.slices)


def test_a_slice_that_lies_elsewhere_is_not_filled() -> None:
    request = whole(slices())
    mapped = {item.slice.sop_instance_uid for item in request.maps}
    odd = next(item for item in request.finding.slices if item.sop_instance_uid not in mapped)
    instance(request, odd.sop_instance_uid).Rows = SHAPE[0] + 1
    assert read(maps_of(request)[0]).NumberOfFrames == len(mapped)


def test_a_map_of_a_long_series_is_small_and_its_frames_are_whole() -> None:
    """Padding is deflated once; the frames around it refer to nothing before them."""
    case = Case(source={**PLANE, "Rows": 256, "Columns": 256}, count=200)
    request = case.request()
    for number, header in enumerate(request.evidence):
        header.ImagePositionPatient = ["-150.5", "-149", str(-200 + 2.5 * number)]
    coarse = [np.kron(activation(rank, (8, 8)), np.ones((32, 32), np.float32)) for rank in (1, 2, 3)]
    maps = [
        MapSlice(slice=picture.slice, values=coarse[picture.rank - 1], rank=picture.rank)
        for picture in request.heatmaps
    ]
    (made,) = maps_of(replace(request, maps=maps, map_series_bytes=200 * 4 * 256 * 256))
    assert made.transfer_syntax_uid == "1.2.840.10008.1.2.1.99"
    assert len(made.data) % 2 == 0
    assert len(made.data) < 4 * 256 * 256
    image = read(made)
    assert image.pixel_array.shape == (200, 256, 256)
    uids = [
        own.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        for own in image.PerFrameFunctionalGroupsSequence
    ]
    slope = image.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0].RealWorldValueSlope
    mapped = {item.slice.sop_instance_uid: item.values for item in maps}
    for uid, pixels in zip(uids, image.pixel_array, strict=True):
        assert np.array_equal(pixels * slope, mapped[uid]) if uid in mapped else np.all(pixels == -1)
