"""Frames as pictures: which window is in force, and what colours become."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit

from node.dicom.codecs import InProcessCodecs
from node.dicom.displayed import DisplayedImage
from node.domain.errors import DecodeFailed, GreyscaleUnknown
from node.imaging.greyscale import Window, WindowFunction

RAMP = np.arange(256, dtype="<u2").reshape(1, 16, 16)
COLOURS = np.full((16, 16, 3), (200, 50, 20), np.uint8)


@pytest.fixture
def image(tmp_path: Path) -> Callable[..., DisplayedImage]:
    """Return a function that stores an image; keywords set attributes, None deletes."""

    def make(
        pixels: np.ndarray | bytes, syntax: str = ExplicitVRLittleEndian, **attributes: object
    ) -> DisplayedImage:
        data_set = Dataset()
        data_set.SOPClassUID, data_set.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "2.25.3"
        data_set.SamplesPerPixel, data_set.PhotometricInterpretation = 1, "MONOCHROME2"
        data_set.Rows = data_set.Columns = 16
        bits = 8 if isinstance(pixels, bytes) else pixels.dtype.itemsize * 8
        data_set.BitsAllocated = data_set.BitsStored = bits
        data_set.HighBit, data_set.PixelRepresentation = bits - 1, 0
        if isinstance(pixels, bytes):
            data_set.add_new(0x7FE00010, "OB", encapsulate([pixels]))
            data_set["PixelData"].is_undefined_length = True
        else:
            data_set.NumberOfFrames = len(pixels)
            data_set.add_new(0x7FE00010, "OW", pixels.tobytes())
        for keyword, value in attributes.items():
            setattr(data_set, keyword, value)
        data_set.file_meta = FileMetaDataset()
        data_set.file_meta.TransferSyntaxUID = UID(syntax)
        data_set.save_as(tmp_path / "image.dcm", enforce_file_format=True)
        return DisplayedImage(tmp_path / "image.dcm", InProcessCodecs())

    return make


def levels(center: float, width: float, values: np.ndarray = RAMP[0]) -> np.ndarray:
    return np.rint(np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1) * 255).astype(np.uint8)


def windowed(center: float, width: float) -> Sequence:
    item = Dataset()
    item.WindowCenter, item.WindowWidth = center, width
    return Sequence([item])


def groups(**sequences: Sequence) -> Dataset:
    found = Dataset()
    for keyword, value in sequences.items():
        setattr(found, keyword, value)
    return found


def test_each_frame_has_the_window_of_its_functional_groups(image: Callable[..., DisplayedImage]) -> None:
    rescale = Dataset()
    rescale.RescaleSlope, rescale.RescaleIntercept = "2", "10"
    made = image(
        np.concatenate([RAMP, RAMP]),
        SharedFunctionalGroupsSequence=Sequence(
            [
                groups(
                    FrameVOILUTSequence=windowed(100, 50),
                    PixelValueTransformationSequence=Sequence([rescale]),
                )
            ]
        ),
        PerFrameFunctionalGroupsSequence=Sequence([groups(), groups(FrameVOILUTSequence=windowed(300, 200))]),
        RepresentativeFrameNumber=2,
    )
    values = RAMP[0] * 2.0 + 10
    assert np.array_equal(made.picture(1), levels(100, 50, values))
    assert np.array_equal(made.picture(2), levels(300, 200, values))
    asked = Window(center=60, width=20, function=WindowFunction.LINEAR)
    assert np.array_equal(made.picture(2, asked), levels(60, 20, values))
    assert (made.representative, made.number_of_frames) == (2, 2)


def test_without_a_window_all_that_is_there_is_shown(image: Callable[..., DisplayedImage]) -> None:
    few = (RAMP % 101) + 40
    expected = np.rint((few[0] - 40.0) / 100 * 255).astype(np.uint8)
    assert np.array_equal(image(few).picture(1), expected)
    inverted = image(few, PhotometricInterpretation="MONOCHROME1").picture(1)
    assert np.abs(inverted.astype(int) - (255 - expected.astype(int))).max() <= 1
    wide = few.astype("<u4") * 30_000_000
    assert np.abs(image(wide, PixelPaddingValue=1).picture(1).astype(int) - expected).max() <= 1
    padded = image(few, PixelPaddingValue=140).picture(1)
    assert (padded[few[0] == 140] == 0).all()
    assert padded.max() == 255
    assert (image(np.full_like(RAMP, 7)).picture(1) == 0).all()


@pytest.mark.parametrize(
    ("form", "syntax", "interpretation", "options"),
    [
        ("JPEG", JPEGBaseline8Bit, "YBR_FULL_422", {"quality": 95}),
        ("JPEG", JPEGBaseline8Bit, "YBR_FULL", {"quality": 95, "subsampling": 0}),
        ("JPEG2000", JPEG2000Lossless, "YBR_RCT", {"no_jp2": True}),
        ("JPEG2000", JPEG2000Lossless, "RGB", {"no_jp2": True, "mct": 0}),
    ],
)
def test_compressed_colours_are_shown_as_they_were(
    form: str,
    syntax: str,
    interpretation: str,
    options: dict[str, object],
    image: Callable[..., DisplayedImage],
) -> None:
    stream = io.BytesIO()
    Image.fromarray(COLOURS).save(stream, form, **options)
    made = image(
        stream.getvalue(),
        syntax,
        SamplesPerPixel=3,
        PlanarConfiguration=0,
        PhotometricInterpretation=interpretation,
    )
    assert np.abs(made.picture(1).astype(int) - COLOURS).max() <= 3


def test_what_cannot_be_shown_is_refused(image: Callable[..., DisplayedImage]) -> None:
    with pytest.raises(GreyscaleUnknown):
        image(RAMP, RescaleSlope="0", RescaleIntercept="1").picture(1)
    with pytest.raises(DecodeFailed, match="no image has"):
        image(RAMP, RescaleSlope="1e300", RescaleIntercept="1").picture(1)
    with pytest.raises(DecodeFailed, match="palette"):
        image(RAMP, PhotometricInterpretation="PALETTE COLOR").picture(1)
    with pytest.raises(DecodeFailed, match="neither"):
        image(RAMP, PhotometricInterpretation="ARGB").picture(1)
    with pytest.raises(DecodeFailed, match="no frame"):
        image(RAMP).picture(2)
    with pytest.raises(DecodeFailed):
        image(RAMP, Rows=65535, Columns=65535)
