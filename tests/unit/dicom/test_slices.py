"""Slices in display orientation, in their order along the normal, with digests of their values."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from node.dicom.pixel_file import IN_PROCESS
from node.dicom.read import read_header
from node.dicom.slices import SliceSource, slice_sources
from node.dicom.write import save
from node.domain.errors import GeometryError, MixedOrientation, OrientationUnknown
from node.domain.study import Instance
from node.imaging.phantom import ThoraxPhantom

MakeDataSet = Callable[..., Dataset]


@pytest.fixture
def sources_of(tmp_path: Path) -> Callable[..., list[SliceSource]]:
    """Return a function that gives the slice sources of data sets."""

    def make(*data_sets: Dataset) -> list[SliceSource]:
        instances = []
        for number, data_set in enumerate(data_sets):
            save(data_set, tmp_path / str(number))
            instances.append(
                Instance(
                    id=number,
                    series_id=1,
                    object_key=str(number),
                    sha256="",
                    size=0,
                    received_at=datetime(2026, 1, 1, tzinfo=UTC),
                    calling_ae_title="CT1",
                    header=read_header(tmp_path / str(number)),
                )
            )
        return slice_sources(instances, lambda key: tmp_path / key, IN_PROCESS)

    return make


def test_the_order_is_the_positions(
    make_data_set: MakeDataSet, sources_of: Callable[..., list[SliceSource]], phantom: ThoraxPhantom
) -> None:
    order = [5, 0, 7, 3, 1]
    sources = sources_of(*(make_data_set(index) for index in order))
    assert [source.header.instance_number for source in sources] == [1, 2, 4, 6, 8]
    steps = np.diff([source.position for source in sources]) / phantom.slice_spacing_mm
    np.testing.assert_allclose(steps, [1, 2, 2, 2], atol=1e-3)
    expected = np.clip(phantom.slice_at(3).hu.astype(int) + 1024, 0, 4095)
    np.testing.assert_array_equal(sources[2].v(), expected)
    assert sources[2].v().dtype == np.uint16


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        ([1, 0, 0, 0, 1, 0], lambda image: image),
        ([-1, 0, 0, 0, -1, 0], lambda image: image[::-1, ::-1]),
        ([1, 0, 0, 0, -1, 0], lambda image: image[::-1]),
        ([-1, 0, 0, 0, 1, 0], lambda image: image[:, ::-1]),
        ([0, 1, 0, 1, 0, 0], lambda image: image.T),
        ([0, 1, 0, -1, 0, 0], lambda image: image.T[:, ::-1]),
    ],
)
def test_slices_are_turned_for_display(
    make_data_set: MakeDataSet,
    sources_of: Callable[..., list[SliceSource]],
    phantom: ThoraxPhantom,
    orientation: list[int],
    turn: Callable[[np.ndarray], np.ndarray],
) -> None:
    (source,) = sources_of(make_data_set(4, ImageOrientationPatient=orientation, PixelSpacing=[2, 3]))
    expected = np.clip(phantom.slice_at(4).hu.astype(int) + 1024, 0, 4095)
    np.testing.assert_array_equal(source.v(), turn(expected))
    assert source.pixel_spacing == ((3, 2) if orientation[0] == 0 else (2, 3))


def test_the_digest_is_of_the_values(
    make_data_set: MakeDataSet, sources_of: Callable[..., list[SliceSource]]
) -> None:
    (one,) = sources_of(make_data_set(4))
    (same,) = sources_of(make_data_set(4, signed=False))
    digest = one.pixel_digest()
    v, read_digest = one.read()
    assert digest == read_digest == same.pixel_digest()
    np.testing.assert_array_equal(v, one.v())
    (other,) = sources_of(make_data_set(4, RescaleIntercept=-1023))
    assert other.pixel_digest() != digest


def test_frames_of_one_instance(
    make_data_set: MakeDataSet, sources_of: Callable[..., list[SliceSource]]
) -> None:
    first, second = make_data_set(2), make_data_set(3)
    first.NumberOfFrames = 2
    first.PixelData = second.PixelData + first.PixelData
    first.SharedFunctionalGroupsSequence = [_item(RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU")]
    frames = []
    for z in (10, 0):
        frame = Dataset()
        frame.PlanePositionSequence = [Dataset()]
        frame.PlanePositionSequence[0].ImagePositionPatient = [0, 0, z]
        frame.PlaneOrientationSequence = [Dataset()]
        frame.PlaneOrientationSequence[0].ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        frames.append(frame)
    first.PerFrameFunctionalGroupsSequence = frames
    low, high = sources_of(first)
    assert (low.frame, high.frame) == (2, 1)
    np.testing.assert_array_equal(low.v(), sources_of(make_data_set(2))[0].v())


def _item(**attributes: object) -> Dataset:
    item, inner = Dataset(), Dataset()
    for keyword, value in attributes.items():
        setattr(inner, keyword, value)
    item.PixelValueTransformationSequence = [inner]
    return item


@pytest.mark.parametrize(
    ("second", "error"),
    [
        ({"index": 3}, GeometryError),
        ({"index": 4, "ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, MixedOrientation),
        ({"index": 4, "ImageOrientationPatient": None}, OrientationUnknown),
        ({"index": 4, "ImagePositionPatient": None}, OrientationUnknown),
    ],
)
def test_what_is_no_volume(
    make_data_set: MakeDataSet,
    sources_of: Callable[..., list[SliceSource]],
    second: dict[str, object],
    error: type[GeometryError],
) -> None:
    with pytest.raises(error):
        sources_of(make_data_set(3), make_data_set(**second))


def test_without_pixel_spacing_no_areas(
    make_data_set: MakeDataSet, sources_of: Callable[..., list[SliceSource]]
) -> None:
    (source,) = sources_of(make_data_set(4, PixelSpacing=None))
    with pytest.raises(GeometryError, match="PixelSpacing"):
        _ = source.pixel_spacing
