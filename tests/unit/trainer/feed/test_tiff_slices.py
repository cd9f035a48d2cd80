"""16-bit TIFF in both byte orders, compressed or not; everything that is not HU + 1024 is refused."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from trainer.errors import PictureError
from trainer.feed.tiff_slices import tiff_slice

RNG = np.random.default_rng(0)
SLICE = (RNG.integers(0, 4096, (48, 64)) // 16 * 16).astype(np.uint16)
NONE, LZW = 1, 5
HORIZONTAL = 2


def saved(file: Path, values: np.ndarray, compression: str | None = "tiff_lzw", **tags: int) -> Path:
    info = {int(tag[1:]): value for tag, value in tags.items()}
    Image.fromarray(values).save(file, "TIFF", compression=compression, tiffinfo=info)
    return file


def strip_of(file: Path) -> bytes:
    """The only strip of a file that Pillow wrote."""
    with Image.open(file) as image:
        (offset,), (count,) = image.tag_v2[273], image.tag_v2[279]
    return file.read_bytes()[offset : offset + count]


def tiff(order: str, shape: tuple[int, int], strip: bytes, changes: Mapping[int, int]) -> bytes:
    """A TIFF of one strip, written by the letter of TIFF 6.0, section 2."""
    rows, columns = shape
    entries = {
        256: columns,
        257: rows,
        258: 16,
        259: NONE,
        262: 1,
        273: 8,
        277: 1,
        278: rows,
        279: len(strip),
    }
    fields = b"".join(
        struct.pack(f"{order}HHI", tag, 4, 1) + struct.pack(f"{order}I", value)
        for tag, value in sorted((entries | dict(changes)).items())
    )
    count = len(entries | dict(changes))
    mark = {"<": b"II", ">": b"MM"}[order]
    head = mark + struct.pack(f"{order}HI", 42, 8 + len(strip))
    return head + strip + struct.pack(f"{order}H", count) + fields + struct.pack(f"{order}I", 0)


def lzw(data: np.ndarray, tmp_path: Path) -> bytes:
    """LZW of the bytes of an array in its own order."""
    pretended = np.frombuffer(data.tobytes(), "<u2").reshape(data.shape)
    return strip_of(saved(tmp_path / "strip.tif", pretended, x278=data.shape[0]))


def differences(values: np.ndarray) -> np.ndarray:
    """Horizontal differencing (TIFF 6.0, section 14)."""
    before = np.pad(values, ((0, 0), (1, 0)))[:, :-1]
    return (values - before).astype(np.uint16)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
@pytest.mark.parametrize("predictor", [1, HORIZONTAL])
def test_what_was_written_is_read(compression: str | None, predictor: int, tmp_path: Path) -> None:
    tags = {"x317": predictor} if compression else {}
    values = tiff_slice(saved(tmp_path / "IM00001.tif", SLICE, compression, **tags))
    np.testing.assert_array_equal(values, SLICE)
    assert values.dtype == np.dtype(np.uint16)
    assert values.dtype.isnative


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("predictor", [1, HORIZONTAL])
def test_lzw_with_differencing_is_read_in_both_byte_orders(
    order: str, predictor: int, tmp_path: Path
) -> None:
    stored = differences(SLICE) if predictor == HORIZONTAL else SLICE
    strip = lzw(stored.astype(f"{order}u2"), tmp_path)
    file = tmp_path / "IM00001.tif"
    file.write_bytes(tiff(order, SLICE.shape, strip, {259: LZW, 317: predictor}))
    values = tiff_slice(file)
    np.testing.assert_array_equal(values, SLICE)
    assert values.dtype.isnative


@pytest.mark.parametrize("order", ["<", ">"])
def test_uncompressed_is_read_in_both_byte_orders(order: str, tmp_path: Path) -> None:
    file = tmp_path / "IM00001.tif"
    file.write_bytes(tiff(order, SLICE.shape, SLICE.astype(f"{order}u2").tobytes(), {}))
    values = tiff_slice(file)
    np.testing.assert_array_equal(values, SLICE)
    assert values.dtype.isnative


def test_an_image_divided_by_its_maximum_is_refused_with_the_reason(tmp_path: Path) -> None:
    scaled = SLICE.astype(np.float32) / SLICE.max()
    with pytest.raises(PictureError, match="divided by the maximum"):
        tiff_slice(saved(tmp_path / "a.tif", scaled, None))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.minimum(SLICE, 255), "8 bits"),
        (np.zeros_like(SLICE), "holds nothing"),
        ((SLICE > 2000).astype(np.uint16), "8 bits"),
        (SLICE * 16 + 15, "scaled to 16 bits"),
        ((SLICE // 16).astype(np.uint8), "mode L"),
    ],
)
def test_values_that_are_no_longer_hounsfield_units_are_refused(
    values: np.ndarray, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(PictureError, match=reason):
        tiff_slice(saved(tmp_path / "a.tif", values))


@pytest.mark.parametrize(("tag", "value", "reason"), [(262, 0, "inverted"), (339, 2, "mode|above|signed")])
def test_inverted_and_signed_values_are_refused(tag: int, value: int, reason: str, tmp_path: Path) -> None:
    signed = (SLICE.astype(np.int32) - 2000).astype("<i2") if tag == 339 else SLICE
    file = tmp_path / "a.tif"
    file.write_bytes(tiff("<", SLICE.shape, signed.tobytes(), {tag: value}))
    with pytest.raises(PictureError, match=reason):
        tiff_slice(file)


def test_a_missing_file_a_page_and_another_format_are_refused(tmp_path: Path) -> None:
    page, png = tmp_path / "page.tif", tmp_path / "png.tif"
    page.write_text("<html></html>", encoding="utf-8")
    Image.fromarray((SLICE // 16).astype(np.uint8)).save(png, "PNG")
    for file in (tmp_path / "absent.tif", page, png):
        with pytest.raises(PictureError, match="fetch it again"):
            tiff_slice(file)


WHOLE = tiff("<", SLICE.shape, SLICE.astype("<u2").tobytes(), {})


@given(cut=st.integers(0, 8 + SLICE.nbytes))
def test_a_truncated_file_is_refused(cut: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("cut") / "a.tif"
    file.write_bytes(WHOLE[:cut])
    with pytest.raises(PictureError):
        tiff_slice(file)


@given(place=st.integers(0, 2000), junk=st.binary(min_size=1, max_size=40))
def test_damage_is_refused_or_read_as_some_slice(
    place: int, junk: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    content = bytearray(saved(folder / "a.tif", SLICE, x317=HORIZONTAL).read_bytes())
    content[place : place + len(junk)] = junk
    (folder / "a.tif").write_bytes(content)
    try:
        values = tiff_slice(folder / "a.tif")
    except PictureError:
        return
    assert values.dtype == np.uint16
    assert values.ndim == 2
