"""C-STORE over real associations: bytes kept as received, durable when acknowledged, bad objects refused."""

from __future__ import annotations

import hashlib
import resource
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    MPEG4HP41,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)
from pynetdicom.dsutils import split_dataset

from node.dimse.status import Meaning
from tests.station.receiving_node import SCANNER, Receiving, send_files, write_instance

SYNTAXES = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    JPEG2000Lossless,
    JPEG2000,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    HTJ2K,
    MPEG4HP41,
)


def data_set_of(path: Path) -> bytes:
    """Return the bytes after the File Meta Information."""
    _, offset = split_dataset(path)
    return path.read_bytes()[offset:]


def send(node: Receiving, *paths: Path) -> list[Meaning]:
    return send_files(node.remote, *paths)


def codes(answers: list[Meaning]) -> list[str]:
    return [answer.text[:4] for answer in answers]


def test_every_transfer_syntax_is_kept_byte_for_byte(receiving, tmp_path):
    made = [
        write_instance(tmp_path / f"{number}.dcm", number, transfer_syntax=syntax)
        for number, syntax in enumerate(SYNTAXES)
    ]

    answers = send(receiving, *(path for path, _ in made))

    assert codes(answers) == ["0000"] * len(SYNTAXES)
    for (path, uid), syntax in zip(made, SYNTAXES, strict=True):
        stored, sha256 = receiving.stored(uid)
        assert hashlib.sha256(stored).hexdigest() == sha256
        copy = tmp_path / "stored.dcm"
        copy.write_bytes(stored)
        assert data_set_of(copy) == data_set_of(path), syntax.name
        meta = dcmread(copy, stop_before_pixels=True).file_meta
        assert meta.TransferSyntaxUID == syntax
        assert meta.MediaStorageSOPInstanceUID == uid
    assert receiving.spooled() == []


@pytest.mark.parametrize(
    "sop_class",
    [
        EnhancedCTImageStorage,
        SecondaryCaptureImageStorage,
        "1.3.12.2.1107.5.9.1",
        "1.2.840.10008.5.1.4.1.1.6",
    ],
    ids=["enhanced CT", "secondary capture", "private", "retired"],
)
def test_other_storage_classes_are_taken(receiving, tmp_path, sop_class):
    path, uid = write_instance(tmp_path / "a.dcm", sop_class=sop_class)

    assert codes(send(receiving, path)) == ["0000"]

    assert receiving.rows(f"SELECT sop_class_uid FROM instances WHERE sop_instance_uid = '{uid}'") == [
        (sop_class,)
    ]


def test_the_same_object_again_is_acknowledged_and_kept_once(receiving, tmp_path):
    path, uid = write_instance(tmp_path / "a.dcm")

    assert codes(send(receiving, path, path)) == ["0000", "0000"]
    assert codes(send(receiving, path)) == ["0000"]

    assert receiving.instance_count() == 1
    assert receiving.stored(uid)[0].endswith(data_set_of(path))


def rewritten(path: Path, target: Path, **attributes: str | None) -> Path:
    """Write ``path`` again with other attributes in the data set, but the same File Meta Information."""
    dataset = dcmread(path)
    meta = dataset.file_meta
    for keyword, value in attributes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    prefix = path.read_bytes()[: -len(data_set_of(path))]
    dataset.save_as(target, enforce_file_format=False)
    target.write_bytes(prefix + data_set_of(target))
    assert meta.MediaStorageSOPInstanceUID == dcmread(target).file_meta.MediaStorageSOPInstanceUID
    return target


def test_bad_objects_get_the_status_of_the_standard_and_leave_nothing(receiving, tmp_path):
    good, _ = write_instance(tmp_path / "good.dcm", 9)
    path, _ = write_instance(tmp_path / "a.dcm")
    prefix = path.read_bytes()[: -len(data_set_of(path))]
    page = tmp_path / "page.dcm"
    page.write_bytes(prefix + b"<!DOCTYPE html><html><body>not an image</body></html>")
    truncated = tmp_path / "truncated.dcm"
    truncated.write_bytes(path.read_bytes()[:-1000])
    bad = {
        rewritten(path, tmp_path / "other_uid.dcm", SOPInstanceUID="1.2.3.4"): "A900",
        rewritten(path, tmp_path / "other_class.dcm", SOPClassUID=SecondaryCaptureImageStorage): "A900",
        rewritten(path, tmp_path / "no_study.dcm", StudyInstanceUID=None): "C000",
        rewritten(path, tmp_path / "no_uid.dcm", SOPInstanceUID=None): "C000",
        page: "C000",
        truncated: "C000",
    }

    answers = send(receiving, *bad, good)

    assert codes(answers) == [*bad.values(), "0000"]
    assert receiving.instance_count() == 1
    assert receiving.spooled() == []


def test_an_object_over_the_limit_is_refused_and_the_next_one_taken(receiving_node, tmp_path):
    node = receiving_node(max_object_bytes=200_000)
    large, _ = write_instance(tmp_path / "large.dcm", 1, pixel_bytes=300_032)
    small, uid = write_instance(tmp_path / "small.dcm", 2)

    answers = send(node, large, small)

    assert codes(answers) == ["A700", "0000"]
    assert node.rows("SELECT sop_instance_uid FROM instances") == [(uid,)]
    assert node.spooled() == []


def test_a_full_disk_answers_out_of_resources_and_recovers(receiving, tmp_path):
    path, uid = write_instance(tmp_path / "a.dcm", pixel_bytes=900_096)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (850_000, hard))  # a file that grows beyond is refused: EFBIG
    try:
        full = send(receiving, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert codes(full) == ["A700"]
    assert full[0].retryable
    assert receiving.spooled() == []
    assert codes(send(receiving, path)) == ["0000"]
    assert receiving.stored(uid)[0].endswith(data_set_of(path))


def test_eight_associations_at_once(receiving, tmp_path):
    made = [
        [write_instance(tmp_path / f"{one}-{two}.dcm", two, study=str(one)) for two in range(6)]
        for one in range(8)
    ]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda batch: send(receiving, *(path for path, _ in batch)), made))

    assert [code for batch in answers for code in codes(batch)] == ["0000"] * 48
    assert receiving.instance_count() == 48
    for batch in made:
        for path, uid in batch:
            assert receiving.stored(uid)[0].endswith(data_set_of(path))


@pytest.mark.parametrize(
    "command",
    [
        ["storescu", "--propose-lossless"],
        ["storescu", "--propose-implicit"],
        ["dcmsend", "--no-halt"],
    ],
    ids=" ".join,
)
def test_dcmtk_sends(receiving, tmp_path, command):
    folder = tmp_path / "series"
    folder.mkdir()
    made = [write_instance(folder / f"{number}.dcm", number) for number in range(5)]
    program = shutil.which(command[0])
    assert program, "DCMTK is among the system packages of the tests"

    subprocess.run(
        [
            program,
            *command[1:],
            "-aet",
            SCANNER,
            "-aec",
            receiving.remote.ae_title,
            "127.0.0.1",
            str(receiving.port),
            *(str(path) for path, _ in made),
        ],
        check=True,
        capture_output=True,
        timeout=30,
    )

    assert receiving.instance_count() == 5
    for path, uid in made:
        copy = tmp_path / "stored.dcm"
        copy.write_bytes(receiving.stored(uid)[0])
        assert dcmread(copy).PixelData == dcmread(path).PixelData
