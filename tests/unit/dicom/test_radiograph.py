"""Radiographs read from files: view, polarity, tables, orientation."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.sequence import Sequence

from node.dicom.part10 import scan
from node.dicom.pixel_file import IN_PROCESS
from node.dicom.radiograph import RadiographSource, read_view
from node.dicom.radiograph_attributes import WANTED, greyscale_of, read_attributes, view_of
from node.dicom.read import read_header
from node.dicom.write import save
from node.domain.errors import DecodeFailed, GreyscaleUnknown
from node.domain.radiograph import DisplayShutter
from node.imaging.greyscale import LookUpTable, Rescale, Window
from tests.radiograph_objects import HIGHEST, chest, digital_object, radiograph_object, radiograph_spec


@pytest.fixture
def source_of(tmp_path: Path) -> Callable[..., RadiographSource]:
    """Return a function that stores a data set and opens it as a radiograph."""

    def make(data_set: Dataset, syntax: str = "1.2.840.10008.1.2.1") -> RadiographSource:
        path = tmp_path / f"{data_set.SOPInstanceUID}.dcm"
        save(data_set, path, syntax)
        return RadiographSource(header=read_header(path), path=path, view=read_view(path), codecs=IN_PROCESS)

    return make


def table(first: int, entries: list[int], bits: int) -> Sequence:
    item = Dataset()
    item.add_new(0x00283002, "US", [len(entries) % 65536, first % 65536, bits])
    item.add_new(0x00283006, "OW", np.array(entries, dtype="<u2").tobytes())
    return Sequence([item])


def test_the_view_is_read(source_of: Callable[..., RadiographSource]) -> None:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "272479007", "SCT", "postero-anterior"
    view = source_of(digital_object(ViewCodeSequence=[code])).view
    assert view.view_position == "PA"
    assert view.view_code == "272479007"
    assert view.patient_orientation == ("L", "F")
    assert view.presentation_intent == "FOR PRESENTATION"
    assert view.presentation_lut_shape == "IDENTITY"
    assert view.pixel_spacing == (1.5, 1.5)
    assert view.windowed


def test_what_is_absent_or_malformed_is_empty(source_of: Callable[..., RadiographSource]) -> None:
    gone = dict.fromkeys(("ViewPosition", "PatientOrientation", "VOILUTFunction", "ImagerPixelSpacing"))
    view = source_of(radiograph_object(**gone, PixelSpacing=[0, 0], WindowWidth=0)).view
    assert (view.view_position, view.view_code, view.patient_orientation) == ("", "", ())
    assert view.pixel_spacing is None
    assert not view.windowed


def test_the_picture_is_what_pydicom_shows(source_of: Callable[..., RadiographSource]) -> None:
    data_set = radiograph_object(WindowCenter=[1800, 2500], WindowWidth=[2000, 900])
    shown = apply_voi_lut(apply_modality_lut(data_set.pixel_array, data_set), data_set)
    made = source_of(data_set).picture()
    assert np.abs(made - shown / HIGHEST * 255).max() <= 0.51


@pytest.mark.parametrize("signed", [False, True])
def test_a_voi_lut_goes_before_a_window(source_of: Callable[..., RadiographSource], signed: bool) -> None:
    values = chest().astype(np.int32) - (2048 if signed else 0)
    entries = [round(1023 * (i / 2000) ** 0.5) for i in range(2000)]
    data_set = radiograph_object(
        values.astype(np.uint16) & 0x0FFF, VOILUTSequence=table(-900 if signed else 700, entries, 10)
    )
    data_set.PixelRepresentation = int(signed)
    made = source_of(data_set).picture()
    places = np.clip(values - (-900 if signed else 700), 0, 1999)
    assert np.abs(made - np.array(entries)[places] / 1023 * 255).max() <= 0.51


def test_a_table_of_all_16_bits_is_read_whole(source_of: Callable[..., RadiographSource]) -> None:
    entries = list(range(65535, -1, -1))
    source = source_of(radiograph_object(VOILUTSequence=table(0, entries, 16)))
    voi = greyscale_of(read_attributes(source.path)).voi
    assert isinstance(voi, LookUpTable)
    assert len(voi.entries) == 65536
    assert voi.entries[0] == 65535


def test_a_table_of_8_bits_may_be_packed(source_of: Callable[..., RadiographSource]) -> None:
    packed = table(0, [0, 0, 0], 8)
    packed[0].LUTData = bytes([1, 2, 3, 0])
    voi = greyscale_of(read_attributes(source_of(radiograph_object(VOILUTSequence=packed)).path)).voi
    assert isinstance(voi, LookUpTable)
    assert voi.entries.tolist() == [1, 2, 3]


def test_a_malformed_table_leaves_the_window(source_of: Callable[..., RadiographSource]) -> None:
    broken = table(0, [1, 2, 3], 10)
    broken[0].LUTData = b"\1\0"
    greyscale = greyscale_of(read_attributes(source_of(radiograph_object(VOILUTSequence=broken)).path))
    assert isinstance(greyscale.voi, Window)


def test_a_table_with_entries_beyond_its_bits_is_malformed(
    source_of: Callable[..., RadiographSource],
) -> None:
    """Its scale is not known: taken by its descriptor, most of the image would be white."""
    beyond = table(0, [0, 1023, 1024], 10)
    greyscale = greyscale_of(read_attributes(source_of(radiograph_object(VOILUTSequence=beyond)).path))
    assert isinstance(greyscale.voi, Window)


def test_a_malformed_modality_transformation_is_refused(source_of: Callable[..., RadiographSource]) -> None:
    broken = table(0, [1, 2, 3], 10)
    broken[0].LUTData = b"\1\0"
    for attributes in ({"ModalityLUTSequence": broken}, {"RescaleSlope": 0, "RescaleIntercept": 0}):
        with pytest.raises(GreyscaleUnknown):
            source_of(radiograph_object(**attributes)).picture()


def test_a_rescale_that_turns_the_polarity_is_applied(source_of: Callable[..., RadiographSource]) -> None:
    turned = radiograph_object(HIGHEST - chest(), RescaleSlope=-1, RescaleIntercept=HIGHEST)
    assert greyscale_of(read_attributes(source_of(turned).path)).modality == Rescale(
        slope=-1, intercept=HIGHEST
    )
    np.testing.assert_array_equal(source_of(turned).picture(), source_of(radiograph_object()).picture())


@pytest.mark.parametrize("window", [True, False])
def test_monochrome1_and_monochrome2_show_the_same(
    source_of: Callable[..., RadiographSource], window: bool
) -> None:
    gone = {} if window else {"WindowCenter": None, "WindowWidth": None, "VOILUTFunction": None}
    first = source_of(radiograph_object(**gone))
    second = source_of(
        radiograph_object(HIGHEST - chest(), number=2, PhotometricInterpretation="MONOCHROME1", **gone)
    )
    np.testing.assert_array_equal(first.picture(), second.picture())
    assert first.pixel_digest() == second.pixel_digest()


def test_an_image_seen_from_behind_is_set_upright(source_of: Callable[..., RadiographSource]) -> None:
    upright = source_of(radiograph_object()).picture()
    behind = radiograph_object(chest()[:, ::-1], number=2, PatientOrientation=["R", "F"])
    lying = radiograph_object(chest().T, number=3, PatientOrientation=["F", "L"])
    unknown = radiograph_object(number=4, PatientOrientation=None)
    for data_set in (behind, lying, unknown):
        np.testing.assert_array_equal(source_of(data_set).picture(), upright)
    spacing = radiograph_object(number=5, PatientOrientation=["F", "L"], ImagerPixelSpacing=[1, 2])
    assert source_of(spacing).pixel_spacing == (2, 1)


@pytest.mark.parametrize(
    "syntax",
    ["1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"],
)
def test_every_transfer_syntax_has_one_digest(
    source_of: Callable[..., RadiographSource], syntax: str
) -> None:
    digest = source_of(radiograph_object()).pixel_digest()
    assert source_of(radiograph_object(), syntax).pixel_digest() == digest
    assert source_of(radiograph_object(WindowCenter=1000)).pixel_digest() != digest


RECTANGLE = {
    "ShutterShape": "RECTANGULAR",
    "ShutterUpperHorizontalEdge": 33,
    "ShutterLowerHorizontalEdge": 224,
    "ShutterLeftVerticalEdge": 17,
    "ShutterRightVerticalEdge": 240,
}


@pytest.mark.parametrize("behind", [False, True])
def test_what_a_shutter_hides_is_no_image(source_of: Callable[..., RadiographSource], behind: bool) -> None:
    """Whatever lies there, a marker or a white border, neither the picture nor the network shows it."""
    plain = {"WindowCenter": None, "WindowWidth": None, "VOILUTFunction": None}
    values, white = chest().copy(), chest().copy()
    white[:32], white[:, :16], white[224:] = 4095, 4095, 0
    turned = {"PatientOrientation": ["F", "L"]} if behind else {}
    shown = source_of(radiograph_object(values, **RECTANGLE, **plain, **turned))
    same = source_of(radiograph_object(white, number=2, **RECTANGLE, **plain, **turned))
    np.testing.assert_array_equal(shown.picture(), same.picture())
    assert shown.pixel_digest() == same.pixel_digest()
    stored = shown.orientation.restore(shown.picture())
    assert not stored[:32].any()
    assert not stored[224:].any()
    inner = source_of(radiograph_object(values[32:224, 16:240].copy(), number=3, **plain, **turned))
    np.testing.assert_array_equal(stored[32:224, 16:240], inner.orientation.restore(inner.picture()))
    prepared = shown.prepared(radiograph_spec())
    np.testing.assert_array_equal(prepared.tensor, inner.prepared(radiograph_spec()).tensor)
    assert prepared.box == ((16, 240, 32, 224) if behind else (32, 224, 16, 240))


@pytest.mark.parametrize("column", [17, 17 + 62])
def test_a_shutter_that_hides_nearly_everything_leaves_nothing_to_score(
    source_of: Callable[..., RadiographSource], column: int
) -> None:
    source = source_of(radiograph_object(**{**RECTANGLE, "ShutterRightVerticalEdge": column}))
    with pytest.raises(DecodeFailed, match="nearly all"):
        source.prepared(radiograph_spec())


def test_a_shutter_that_hides_everything_leaves_nothing_to_score(
    source_of: Callable[..., RadiographSource],
) -> None:
    source = source_of(
        radiograph_object(
            **{**RECTANGLE, "ShutterUpperHorizontalEdge": 500, "ShutterLowerHorizontalEdge": 600}
        )
    )
    assert not source.picture().any()
    with pytest.raises(DecodeFailed, match="hides all"):
        source.prepared(radiograph_spec())


@pytest.mark.parametrize(
    "attributes",
    [
        {"ShutterShape": "BITMAP"},
        {**RECTANGLE, "ShutterLowerHorizontalEdge": 3},
        {**RECTANGLE, "ShutterLeftVerticalEdge": None},
        {"ShutterShape": "CIRCULAR", "CenterOfCircularShutter": [100, 100], "RadiusOfCircularShutter": 0},
        {"ShutterShape": "POLYGONAL", "VerticesOfThePolygonalShutter": [1, 1, 9, 9]},
        {**RECTANGLE, "ShutterShape": None},
    ],
)
def test_a_shutter_that_cannot_be_read_is_none(
    source_of: Callable[..., RadiographSource], attributes: dict[str, object]
) -> None:
    assert source_of(radiograph_object(**attributes)).view.shutter is None


def test_every_shape_of_a_shutter_is_read(source_of: Callable[..., RadiographSource]) -> None:
    several = {
        **RECTANGLE,
        "ShutterShape": ["RECTANGULAR", "CIRCULAR", "POLYGONAL"],
        "ShutterRightVerticalEdge": 2**31 - 1,
        "CenterOfCircularShutter": [128, 120],
        "RadiusOfCircularShutter": 110,
        "VerticesOfThePolygonalShutter": [1, 1, 1, 256, 256, 128],
    }
    assert source_of(radiograph_object(**several)).view.shutter == DisplayShutter(
        rectangle=(33, 224, 17, 65536), circle=(128, 120, 110), polygon=((1, 1), (1, 256), (256, 128))
    )


@pytest.mark.parametrize(
    "told", [{"ImagerPixelSpacing": [3, 1.5]}, {"ImagerPixelSpacing": None, "PixelAspectRatio": [2, 1]}]
)
def test_pixels_that_are_not_square_reach_the_network_as_square_ones(
    source_of: Callable[..., RadiographSource], told: dict[str, object]
) -> None:
    pairs = (chest()[::2].astype(np.uint32) + chest()[1::2]) // 2
    flat = source_of(radiograph_object(pairs.astype(np.uint16), number=2, **told))
    assert flat.pixel_sides is not None
    assert flat.pixel_sides[0] == 2 * flat.pixel_sides[1]
    square = source_of(radiograph_object()).prepared(radiograph_spec())
    assert np.abs(flat.prepared(radiograph_spec()).tensor - square.tensor).max() < 2 / 255


def test_a_spacing_goes_before_an_aspect_ratio(source_of: Callable[..., RadiographSource]) -> None:
    view = source_of(radiograph_object(PixelAspectRatio=[2, 1])).view
    assert (view.pixel_spacing, view.pixel_aspect) == ((1.5, 1.5), None)
    turned = {"ImagerPixelSpacing": None, "PatientOrientation": ["F", "L"]}
    lying = source_of(radiograph_object(number=2, PixelAspectRatio=[2, 1], **turned))
    assert (lying.pixel_spacing, lying.pixel_sides) == (None, (1, 2))


def test_colours_are_no_radiograph(source_of: Callable[..., RadiographSource]) -> None:
    data_set = radiograph_object(SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    data_set.BitsAllocated, data_set.BitsStored, data_set.HighBit = 8, 8, 7
    data_set.PixelData = bytes(3 * 256 * 256)
    with pytest.raises(DecodeFailed, match="no radiograph"):
        source_of(data_set).picture()


@given(
    descriptor=st.binary(max_size=8),
    data=st.binary(max_size=12),
    center=st.text("0123456789.eE+-\\ x", max_size=12),
    width=st.text("0123456789.eE+-\\ x", max_size=12),
)
def test_whatever_a_header_holds_is_read_or_absent(
    descriptor: bytes, data: bytes, center: str, width: str
) -> None:
    def element(tag: int, vr: bytes, value: bytes) -> bytes:
        value += b" " * (len(value) % 2) if vr == b"DS" else b"\0" * (len(value) % 2)
        long = vr in {b"SQ", b"OW"}
        head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr
        return head + (struct.pack("<HI", 0, len(value)) if long else struct.pack("<H", len(value))) + value

    inner = element(0x00283002, b"US", descriptor) + element(0x00283006, b"OW", data)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner
    body = (
        element(0x00281050, b"DS", center.encode())
        + element(0x00281051, b"DS", width.encode())
        + element(0x00283010, b"SQ", item)
    )
    named = element(0x00080016, b"UI", b"1.2.840.10008.5.1.4.1.1.1\0") + body
    attributes = scan(io.BytesIO(named), WANTED, "1.2.840.10008.1.2.1").attributes
    assert view_of(attributes).windowed == (greyscale_of(attributes).voi is not None)
