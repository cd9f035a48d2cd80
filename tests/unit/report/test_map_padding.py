"""Frames of padding on the slices that have no map."""

from __future__ import annotations

import highdicom
import numpy as np
import pytest

from node.report.request import ReportRequest
from tests.unit.report.conftest import read
from tests.unit.report.test_parametric_map import SHAPE, instance, maps_of, slices, whole, with_maps
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
