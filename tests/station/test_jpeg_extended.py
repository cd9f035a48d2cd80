"""JPEG Extended with 12 bits, which no decoder here reads: given as it lies, refused in any other form."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, JPEGExtended12Bit, RLELossless

from node.dicom.pixel_file import PixelFile
from node.dicom.read import read_header
from node.dicom.transcode import possible
from node.dicom.transfer_syntaxes import TARGETS
from node.dicom.write import PhantomLabels, phantom_data_set, save
from node.domain.errors import UnsupportedTransferSyntax
from node.imaging.phantom import ThoraxPhantom
from tests.station.finding_ground import answering
from tests.station.retrieving_ground import Sink, counts, get
from tests.station.wado_ground import parts_of, reading

LABELS = PhantomLabels(identity="extended", signed=False)
STUDY = {"StudyInstanceUID": LABELS.study_instance_uid}
DEEP, SHALLOW = LABELS.sop_instance_uid(0), LABELS.sop_instance_uid(1)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """One image of 12 bits and one of 8, both as JPEG Extended."""
    folder = tmp_path_factory.mktemp("images")
    phantom = ThoraxPhantom(slices=8, rows=64)
    deep = phantom_data_set(phantom, phantom.slice_at(0), 0, LABELS)
    deep.BitsStored, deep.HighBit = 12, 11
    deep.PixelData = (np.arange(64 * 64, dtype="<u2") % 4096).tobytes()
    shallow = phantom_data_set(phantom, phantom.slice_at(1), 1, LABELS)
    shallow.BitsAllocated, shallow.BitsStored, shallow.HighBit = 8, 8, 7
    shallow.add_new(0x7FE00010, "OB", bytes(range(64)) * 64)
    found = {DEEP: folder / "deep.dcm", SHALLOW: folder / "shallow.dcm"}
    for data_set, path in zip((deep, shallow), found.values(), strict=True):
        save(data_set, path)
        subprocess.run(["dcmcjpeg", "+ee", "+un", path, path], check=True)
        assert dcmread(path).file_meta.TransferSyntaxUID == JPEGExtended12Bit
    return found


def test_it_is_decoded_only_as_far_as_its_decoder_can(images: dict[str, Path], tmp_path: Path) -> None:
    np.testing.assert_array_equal(PixelFile(images[SHALLOW]).raw(1), dcmread(images[SHALLOW]).pixel_array)
    with pytest.raises(UnsupportedTransferSyntax, match="12 bits"):
        PixelFile(images[DEEP])
    lying = dcmread(images[DEEP])
    lying.BitsAllocated, lying.BitsStored, lying.HighBit = 8, 8, 7
    lying.save_as(tmp_path / "lying.dcm")
    with pytest.raises(UnsupportedTransferSyntax, match="12 bits"):
        PixelFile(tmp_path / "lying.dcm").raw(1)
    assert not any(possible(JPEGExtended12Bit, wanted) for wanted in TARGETS)


def test_a_peer_that_does_not_take_it_is_told_which_failed(images: dict[str, Path], tmp_path: Path) -> None:
    with answering(tmp_path / "node") as archive:
        for path in images.values():
            archive.add(read_header(path), path.read_bytes())
        sink = Sink()
        *_, (last, failed) = get(archive, sink, ExplicitVRLittleEndian, RLELossless, **STUDY)
        assert (last.Status, counts(last), sink.objects) == (0xA702, (0, 2, 0), {})
        assert set(failed.FailedSOPInstanceUIDList) == {DEEP, SHALLOW}
        *_, (last, _) = get(archive, sink, ExplicitVRLittleEndian, JPEGExtended12Bit, **STUDY)
        assert (last.Status, counts(last)) == (0x0000, (2, 0, 0))


def test_a_client_that_does_not_accept_it_is_told_so(images: dict[str, Path], tmp_path: Path) -> None:
    with reading(tmp_path / "data") as web:
        paths = {uid: web.add(path) for uid, path in images.items()}
        dicom, octets = (
            'multipart/related; type="application/dicom"',
            'multipart/related; type="application/octet-stream"',
        )
        for path, accept in (
            (paths[DEEP], dicom),
            (paths[DEEP] + "/frames/1", octets),
            (paths[DEEP] + "/rendered", "image/png"),
            (paths[DEEP] + "/thumbnail", "image/jpeg"),
        ):
            assert web.get(path, accept).status_code == 406, path
        assert web.get(paths[SHALLOW] + "/rendered", "image/png").status_code == 200
        whole = web.get(paths[DEEP], f"{dicom}; transfer-syntax=*")
        assert parts_of(whole)[0][1] == images[DEEP].read_bytes()
