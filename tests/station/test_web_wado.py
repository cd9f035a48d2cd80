"""WADO-RS: what is stored comes back as it is, in the form that the client accepts, and as a picture."""

from __future__ import annotations

import io
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
)

from node.dicom.codecs import InProcessCodecs
from node.dicom.pixel_file import PixelFile
from node.domain.identity import derived_uid
from tests.station.receiving_node import write_instance
from tests.station.wado_ground import Reading, parts_of, reading, write_image

DICOM = 'multipart/related; type="application/dicom"; transfer-syntax=*'
OCTETS = 'multipart/related; type="application/octet-stream"'
SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)
FRAMES = (np.arange(3 * 40 * 30, dtype="<u2").reshape(3, 40, 30) * 7) % 4096


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reading]:
    with reading(tmp_path_factory.mktemp("web") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def study(web: Reading, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, str]]:
    """Return the files of a study, each in another transfer syntax, and the paths of their instances."""
    folder = tmp_path_factory.mktemp("study")
    files = [
        write_instance(folder / f"{number}.dcm", number, transfer_syntax=syntax)[0]
        for number, syntax in enumerate(SYNTAXES, start=1)
    ]
    return [(file, web.add(file)) for file in files]


@pytest.fixture(scope="module")
def multiframe(web: Reading, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, bytes]:
    """Return the paths of an image of three frames, native and as JPEG-LS, and its second codestream."""
    folder = tmp_path_factory.mktemp("frames")
    native = write_image(folder / "native.dcm", FRAMES, ExplicitVRLittleEndian, SOPInstanceUID="2.25.31")
    layout = PixelFile(native).layout
    streams = [InProcessCodecs().encode(frame.tobytes(), JPEGLSLossless, layout) for frame in FRAMES]
    compressed = pydicom.dcmread(native)
    compressed.SOPInstanceUID = compressed.file_meta.MediaStorageSOPInstanceUID = "2.25.32"
    compressed.PixelData = encapsulate(streams)
    compressed["PixelData"].VR, compressed["PixelData"].is_undefined_length = "OB", True
    compressed.file_meta.TransferSyntaxUID = JPEGLSLossless
    compressed.save_as(folder / "jls.dcm")
    return web.add(native), web.add(folder / "jls.dcm"), streams[1]


def test_study_series_and_instance_come_as_they_are_stored(
    web: Reading, study: list[tuple[Path, str]]
) -> None:
    whole = {file.read_bytes() for file, _ in study}
    file, instance = study[1]
    series = instance.partition("/instances")[0]
    for path, expected in (
        (series.partition("/series")[0], whole),
        (series, whole),
        (instance, {file.read_bytes()}),
    ):
        response = web.get(path, DICOM)
        assert response.status_code == 200
        parts = parts_of(response)
        assert {content for _, content in parts} == expected
        for head, content in parts:
            syntax = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True).file_meta.TransferSyntaxUID
            assert head["content-type"] == f"application/dicom; transfer-syntax={syntax}"
    alone = web.get(instance, "application/dicom; transfer-syntax=*")
    assert alone.content == file.read_bytes()
    assert alone.headers["content-type"].startswith("application/dicom;")


def test_without_a_word_about_it_the_transfer_syntax_is_explicit_little_endian(
    web: Reading, study: list[tuple[Path, str]]
) -> None:
    response = web.get(study[0][1].partition("/series")[0], 'multipart/related; type="application/dicom"')
    assert response.status_code == 200
    found = {}
    for _, content in parts_of(response):
        data_set = pydicom.dcmread(io.BytesIO(content))
        assert data_set.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        found[data_set.SOPInstanceUID] = data_set
    for file, _ in study:
        stored = pydicom.dcmread(file)
        given = found[stored.SOPInstanceUID]
        assert {e.tag: e.value for e in given if e.tag != 0x7FE00010} == {
            e.tag: e.value for e in stored if e.tag != 0x7FE00010
        }
        words = ">u2" if stored.file_meta.TransferSyntaxUID == ExplicitVRBigEndian else "<u2"
        assert np.array_equal(np.frombuffer(given.PixelData, "<u2"), np.frombuffer(stored.PixelData, words))


def test_what_is_not_accepted_is_not_given(
    web: Reading, study: list[tuple[Path, str]], multiframe: tuple[str, str, bytes]
) -> None:
    instance = study[0][1]
    series = instance.partition("/instances")[0]
    jpeg = 'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.50'
    for path, accept in (
        (instance, "image/jpeg"),
        (instance, jpeg),
        (instance, "application/dicom; q=0"),
        (series, "application/dicom"),
        (instance + "/frames/1", 'multipart/related; type="image/jpeg"'),
        (multiframe[0] + "/frames/1,2", "application/octet-stream"),
        (instance + "/rendered", "image/gif"),
        (instance + "/bulkdata/7FE00010", "application/json"),
        (instance + "/rendered?accept=text/plain", "image/jpeg"),
    ):
        assert web.get(path, accept).status_code == 406, (path, accept)
    for path, status in (
        ("/studies/2.25.404", 404),
        (series.replace("/series/", "/series/2"), 404),
        (instance + "0", 404),
        (instance + "/frames/2", 404),
        (instance + "/frames/0", 400),
        (instance + "/frames/1,,2", 400),
        (instance + "/frames/1;2", 400),
        (instance + "/bulkdata/00100020/1", 404),
        (instance + "/bulkdata/..%2f..%2fetc", 404),
        (instance + "/bulkdata/0040A730", 404),
        ("/studies/..%2F..%2F", 404),
        ("/studies/1.2.x", 400),
        (instance + "/rendered?window=40,0", 400),
        (instance + "/rendered?window=40,400,cubic", 400),
        (instance + "/rendered?window=nan,400", 400),
        (instance + "/rendered?viewport=0,10", 400),
        (instance + "/rendered?viewport=10,10,60,60,10,10", 400),
        (instance + "/rendered?viewport=1e9,10", 400),
        (instance + "/rendered?quality=101", 400),
        (instance + "/rendered?annotation=patient", 400),
        (instance + "/frames/2/rendered", 404),
    ):
        response = web.get(path)
        assert response.status_code == status, path
        assert len(response.content) < 200


def test_an_instance_that_cannot_become_what_is_asked_for_is_left_out(web: Reading, tmp_path: Path) -> None:
    lossy = "1.2.840.10008.1.2.4.81"
    for number, syntax in ((1, lossy), (2, ExplicitVRLittleEndian)):
        web.add(write_instance(tmp_path / f"{number}.dcm", number, transfer_syntax=syntax, study="lossy")[0])
    path = "/studies/" + str(pydicom.dcmread(tmp_path / "1.dcm").StudyInstanceUID)
    response = web.get(path, f'multipart/related; type="application/dicom"; transfer-syntax={JPEGLSLossless}')
    assert response.status_code == 206
    assert response.headers["warning"].startswith("299 ")
    assert len(parts_of(response)) == 1
    # Its pixels are noise: that shows when they are decoded, before the answer begins.
    response = web.get(path, 'multipart/related; type="application/dicom"')
    assert response.status_code == 406
    assert "transfer-syntax=*" in response.text


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_frames_that_are_not_compressed_come_little_endian(web: Reading, tmp_path: Path, syntax: str) -> None:
    stored = FRAMES.astype(">u2") if syntax == ExplicitVRBigEndian else FRAMES
    name = f"2.25.{SYNTAXES.index(syntax) + 40}"
    path = web.add(write_image(tmp_path / "a.dcm", stored, syntax, SOPInstanceUID=name))
    parts = parts_of(web.get(path + "/frames/3,1", OCTETS))
    assert [content for _, content in parts] == [FRAMES[2].tobytes(), FRAMES[0].tobytes()]
    assert [head["content-location"].rpartition("/")[2] for head, _ in parts] == ["3", "1"]
    assert web.get(path + "/frames/2", "application/octet-stream").content == FRAMES[1].tobytes()
    assert web.get(path + "/bulkdata/7FE00010", "application/octet-stream").content == FRAMES.tobytes()


def test_compressed_frames_come_as_they_are_or_decoded(
    web: Reading, multiframe: tuple[str, str, bytes]
) -> None:
    native, compressed, stream = multiframe
    stored = JPEGLSLossless
    for accept, kind, content in (
        (OCTETS, "application/octet-stream", FRAMES[1].tobytes()),
        ("*/*", "application/octet-stream", FRAMES[1].tobytes()),
        (OCTETS + "; transfer-syntax=*", "application/octet-stream", stream),
        ('multipart/related; type="image/jls"', "image/jls", stream),
        (f'multipart/related; type="image/jls"; transfer-syntax={stored}', "image/jls", stream),
        ("multipart/related; type=image/*", "image/jls", stream),
        ("image/jls", "image/jls", stream),
        (f"image/jpeg, {OCTETS}; transfer-syntax={stored}", "application/octet-stream", stream),
    ):
        response = web.get(compressed + "/frames/2", accept)
        assert response.status_code == 200, accept
        alone = [({"content-type": response.headers["content-type"]}, response.content)]
        ((head, found),) = alone if accept == "image/jls" else parts_of(response)
        assert (head["content-type"].split(";")[0], found.rstrip(b"\0")) == (kind, content.rstrip(b"\0"))
    every = parts_of(web.get(compressed + "/bulkdata/7fe00010", OCTETS + "; transfer-syntax=*"))
    assert (len(every), every[1][1].rstrip(b"\0")) == (3, stream.rstrip(b"\0"))
    made = web.get(native + "/frames/2", "image/jls")
    assert made.status_code == 200
    assert made.content.rstrip(b"\0") == stream.rstrip(b"\0")


def test_a_representation_that_the_client_has_is_not_sent_again(
    web: Reading, study: list[tuple[Path, str]]
) -> None:
    instance = study[0][1]
    tags = {}
    for path, accept in (
        (instance.partition("/series")[0], DICOM),
        (instance, DICOM),
        (instance, "application/dicom"),
        (instance + "/frames/1", OCTETS),
        (instance + "/bulkdata/7FE00010", "*/*"),
        (instance + "/rendered", "image/jpeg"),
        (instance + "/rendered", "image/png"),
        (instance + "/rendered?quality=40", "image/jpeg"),
    ):
        first = web.get(path, accept)
        assert (first.status_code, first.headers["vary"]) == (200, "Accept")
        tags[path, accept] = tag = first.headers["etag"]
        again = web.get(path, accept, If_None_Match=tag)
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert web.get(path, accept, If_None_Match='"other"').content == first.content
    assert len(set(tags.values())) == len(tags)


def shown(data: bytes) -> np.ndarray:
    """Return the pixels of a picture, colours in the order red, green, blue."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    return pixels[..., ::-1] if pixels.ndim == 3 else pixels


def test_pictures_show_what_the_image_says_or_the_client_asks_for(web: Reading, tmp_path: Path) -> None:
    values = np.tile(np.arange(64, dtype="<i2") * 32 - 1024, (48, 1))[np.newaxis]
    path = web.add(
        write_image(
            tmp_path / "ct.dcm",
            values,
            ExplicitVRLittleEndian,
            SOPInstanceUID="2.25.50",
            RescaleSlope="2",
            RescaleIntercept="100",
            WindowCenter="100",
            WindowWidth="1000",
            PixelPaddingValue=-1024,
        )
    )

    def grey(center: float, width: float) -> np.ndarray:
        level = np.clip((values[0] * 2.0 + 100 - (center - 0.5)) / (width - 1) + 0.5, 0, 1) * 255
        return np.where(values[0] == -1024, 0, np.rint(level)).astype(np.uint8)

    png = "image/png"
    assert np.array_equal(shown(web.get(path + "/rendered", png).content), grey(100, 1000))
    assert np.array_equal(
        shown(web.get(path + "/rendered?window=-300,1400,linear", png).content), grey(-300, 1400)
    )
    sigmoid = shown(web.get(path + "/frames/1/rendered?window=0,500,sigmoid", png).content)
    assert sigmoid[0, 31] == round(255 / (1 + np.exp(-4 * (values[0, 0, 31] * 2 + 100) / 500)))
    part = shown(web.get(path + "/rendered?viewport=32,24,10,0,32,-24", png).content)
    assert np.array_equal(part, grey(100, 1000)[23::-1, 10:42])
    thumbnail = web.get(path + "/thumbnail?viewport=16,16")
    assert thumbnail.headers["content-type"] == "image/jpeg"
    assert shown(thumbnail.content).shape == (12, 16)
    fine = web.get(path + "/rendered?quality=100", "image/jpeg").content
    assert np.abs(shown(fine).astype(int) - grey(100, 1000)).max() < 8
    assert len(web.get(path + "/rendered?quality=10", "image/jpeg").content) < len(fine)
    series = path.partition("/instances")[0]
    for above in (series, series.partition("/series")[0]):
        assert web.get(above + "/thumbnail").status_code == 200


def palette(image: np.ndarray) -> dict[str, object]:
    tables = {}
    for name, column in zip(("Red", "Green", "Blue"), range(3), strict=True):
        tables[f"{name}PaletteColorLookupTableDescriptor"] = [len(image), 0, 16]
        entries = (image[:, column].astype("<u2") * 257).tobytes()
        tables[f"{name}PaletteColorLookupTableData"] = entries
    return tables


def test_colours_are_shown_as_they_are(web: Reading, tmp_path: Path) -> None:
    colours = np.array([[200, 50, 20], [0, 255, 0], [10, 20, 250], [255, 255, 255]], np.uint8)
    places = np.arange(16, dtype=np.uint8).reshape(1, 4, 4) % 4
    red_green_blue = colours[places]
    luminance = cv2.cvtColor(red_green_blue[0], cv2.COLOR_RGB2YCrCb)[np.newaxis][..., [0, 2, 1]]
    made: list[tuple[np.ndarray, dict[str, object]]] = [
        (red_green_blue, {"PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}),
        (
            np.ascontiguousarray(red_green_blue.transpose(0, 3, 1, 2)).reshape(red_green_blue.shape),
            {"PhotometricInterpretation": "RGB", "PlanarConfiguration": 1},
        ),
        (luminance, {"PhotometricInterpretation": "YBR_FULL", "PlanarConfiguration": 0}),
        (places, {"PhotometricInterpretation": "PALETTE COLOR", **palette(colours)}),
    ]
    for number, (pixels, attributes) in enumerate(made, start=60):
        file = write_image(
            tmp_path / f"{number}.dcm",
            pixels,
            ExplicitVRLittleEndian,
            SOPInstanceUID=f"2.25.{number}",
            **attributes,
        )
        found = shown(web.get(web.add(file) + "/rendered", "image/png").content)
        assert np.abs(found.astype(int) - red_green_blue[0]).max() <= 2, attributes


@pytest.mark.parametrize(
    "spoil",
    [
        lambda image: delattr(image, "PixelData"),
        lambda image: setattr(image, "PhotometricInterpretation", "HSV"),
        lambda image: setattr(image, "RescaleSlope", "0"),
        lambda image: setattr(image, "Rows", 65000),
    ],
)
def test_what_is_no_image_has_no_picture(
    web: Reading, tmp_path: Path, spoil: Callable[[pydicom.Dataset], None], request: pytest.FixtureRequest
) -> None:
    image = pydicom.dcmread(
        write_image(tmp_path / "a.dcm", FRAMES[:1], ExplicitVRLittleEndian, RescaleIntercept="0")
    )
    spoil(image)
    name = derived_uid("test", request.node.name)
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = name
    image.save_as(tmp_path / "b.dcm")
    path = web.add(tmp_path / "b.dcm")
    response = web.get(path + "/rendered")
    assert response.status_code == 406
    assert len(response.content) < 200


def test_bulk_data_are_found_by_their_place(web: Reading, tmp_path: Path) -> None:
    image = pydicom.dcmread(write_image(tmp_path / "a.dcm", FRAMES[:1], ExplicitVRLittleEndian))
    item = pydicom.Dataset()
    item.LUTDescriptor, item.LUTExplanation = [300, 0, 16], "table"
    item.add_new(0x00283006, "OW", struct.pack("<300H", *range(300)))
    image.ModalityLUTSequence = [item]
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = "2.25.80"
    image.save_as(tmp_path / "b.dcm")
    path = web.add(tmp_path / "b.dcm") + "/bulkdata/00283000/1/00283006"
    assert web.get(path).content == struct.pack("<300H", *range(300))
    ((head, content),) = parts_of(web.get(path, "multipart/related; type=application/octet-stream"))
    assert head["content-type"] == "application/octet-stream"
    assert content == web.get(path).content


def test_known_clients_read_it(
    web: Reading, study: list[tuple[Path, str]], multiframe: tuple[str, str, bytes], tmp_path: Path
) -> None:
    client = DICOMwebClient(url=web.base)
    uids = study[0][1].split("/")[2::2]
    found = client.retrieve_study(uids[0])
    assert {item.SOPInstanceUID for item in found} == {
        pydicom.dcmread(file).SOPInstanceUID for file, _ in study
    }
    stored = pydicom.dcmread(study[0][0])
    assert client.retrieve_instance(*uids) == stored
    frames = multiframe[1].split("/")[2::2]
    native = (("application/octet-stream", ExplicitVRLittleEndian),)
    (frame,) = client.retrieve_instance_frames(*frames, frame_numbers=[3], media_types=native)
    assert frame == FRAMES[2].tobytes()
    jls = (("image/jls", JPEGLSLossless),)
    assert len(client.retrieve_instance_frames(*frames, frame_numbers=[1, 2], media_types=jls)) == 2
    (bulk,) = client.retrieve_bulkdata(web.base + multiframe[0] + "/bulkdata/7FE00010")
    assert bulk == FRAMES.tobytes()
    assert client.retrieve_instance_rendered(*frames, media_types=("image/png",)).startswith(b"\x89PNG")
    target = tmp_path / "curl.dcm"
    command = ["curl", "-sf", "-H", "Accept: application/dicom; transfer-syntax=*", "-o", str(target)]
    subprocess.run([*command, web.base + study[0][1]], check=True, timeout=20)
    assert target.read_bytes() == study[0][0].read_bytes()
    head = subprocess.run(
        ["curl", "-sfI", web.base + study[0][1]], capture_output=True, text=True, check=True
    )
    assert head.stdout.startswith("HTTP/1.1 200")
